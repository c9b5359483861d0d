"""The page about bots: its commands and its statement do what it shows, and its table is the code's."""

import json
import re
import shlex
from pathlib import Path

import pytest
import trio

from cli.cli_kit import Shell
from contracts.store_kit import OWNER, Inbox
from embedded.embedded_kit import open_kit
from tgworker.messaging.account_kinds import LACKS, Ability, AccountKind
from tgworker.sandbox import open_sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "run-a-bot.md").read_text(encoding="utf-8")
SHOWN = re.compile(r"^\$ python -m tgworker (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)
CONTROL = re.compile(r'\{"cmd":[^`\n]*?\}')


async def test_every_command_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_sandbox(users=2) as sandbox:
        bot = sandbox.add_bot()
        shell = Shell(tmp_path, monkeypatch, capsys)
        shell.configure()
        (shell.folder / "server.pem").write_text(sandbox.public_key_pem)
        shell.set(TGWORKER_TELEGRAM_SERVER=sandbox.server)
        shell.hide(bot.token)
        commands = SHOWN.findall(PAGE)
        assert len(commands) == PAGE.count("$ python") == 5
        for line, shown in commands:
            if line.startswith("sandbox "):
                assert bot.username in shown
                continue
            ran = await shell.along(*shlex.split(line), stdin=bot.token + "\n")
            assert ran.code == 0, (line, ran)
            said = " ".join((ran.err + ran.out).split())
            pattern = ".*".join(re.escape(piece.strip()) for piece in " ".join(shown.split()).split("…"))
            assert re.fullmatch(pattern, said), (line, said)
        assert sandbox.logins(bot.id) == 2  # its own, and the first login: the second was ended


async def test_an_answer_in_the_conversation_goes_out_as_the_bot(tmp_path: Path) -> None:
    (statement,) = re.findall(r"^```sql\n(.*?);\n```", PAGE, re.MULTILINE | re.DOTALL)
    with open_kit(tmp_path / "data") as kit:
        await kit.store.add_account("ada", OWNER, "token", user_id=1)
        bot = await kit.store.add_account("helper", OWNER, "token", user_id=7, kind=AccountKind.BOT)
        inbox = Inbox(kit, bot)
        chat = inbox.chat("500")
        heard = {"channel": "telegram", "direction": "inbound", "text": "/start", "external_message_id": "1"}
        kit.app.insert("messages", owner_id=OWNER, conversation_id=chat, integration_account_id=bot, **heard)
        kit.app._connection.execute(statement, {"owner": OWNER, "conversation": chat})
        assert (await inbox.claim_one()).text == "How can I help?"


async def test_the_sandbox_understands_what_the_page_says_to_it() -> None:
    async with open_sandbox(users=2, control_port=0) as sandbox:
        bot = sandbox.add_bot()
        shown = CONTROL.findall(PAGE)
        assert [json.loads(line)["cmd"] for line in shown] == ["add_bot", "renew_token", "block"]
        host, _, port = (sandbox.control or "").partition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            for line in shown:
                await stream.send_all(line.encode() + b"\n")
                answer = json.loads(await stream.receive_some())
                assert answer["ok"], (line, answer)
        assert sandbox.bots[0].id == bot.id
        assert sandbox.bots[0].token != bot.token


def test_every_lack_that_people_meet_stands_on_the_page_with_its_reason() -> None:
    met = dict(LACKS[AccountKind.BOT])
    del met[Ability.READ_APP_CONFIG]  # of which nobody hears
    assert [reason for reason in met.values() if f"`{reason}`" not in PAGE] == []
