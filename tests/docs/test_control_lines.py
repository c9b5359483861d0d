"""Every line for the sandbox's control connection that the docs show is one that it understands."""

import json
import re
from pathlib import Path

import trio

from tgworker.sandbox import open_sandbox

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "break-the-sandbox.md"
SHOWN = re.compile(r'\{"cmd":[^`\n]*\}')


async def test_the_sandbox_understands_every_control_line_of_the_page() -> None:
    shown = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
    actions = {json.loads(line).get("action") for line in shown} - {None}
    assert actions == {
        "blackhole",
        "drop",
        "delay",
        "rpc_error",
        "flood_wait",
        "accept_mute",
        "accept_drop",
        "half_close",
        "deaf",
        "transport_error",
    }
    async with open_sandbox(users=2, control_port=0, more_dcs=(4,)) as sandbox:
        assert sandbox.control is not None
        host, port = sandbox.control.split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            for line in shown:
                await stream.send_all(line.encode() + b"\n")
                answer = json.loads(await stream.receive_some())
                assert answer["ok"], (line, answer)
