"""``tgworker sandbox``: a loopback Telegram server."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from tgworker.cli._errors import Usage
from tgworker.cli._options import Json
from tgworker.operations.signals import run_until_signalled
from tgworker.sandbox import SandboxError, run_sandbox


def sandbox(
    *,
    users: int = 2,
    two_step: int = 0,
    bots: int = 0,
    port: int = 0,
    control_port: int = 0,
    key_file: Path | None = None,
    more_dcs: Annotated[list[int] | None, Parameter(negative="", consume_multiple=False)] = None,
    json: Json = False,  # noqa: ARG001 - the line is JSON in any case
) -> int:
    """Run a Telegram server on 127.0.0.1 that speaks the real protocol, until SIGTERM or Ctrl-C.

    One line of JSON says where it listens, where its public key and its control connection are, and who its
    users are: each with his phone, the code (and the two-step password) that 'tgworker login' asks for, and
    a session that 'tgworker login --session -' takes.

    Args:
        users: How many users there are.
        two_step: How many of them, the first ones, have a two-step password.
        bots: How many bots there are besides, each with the token that 'tgworker login --bot' asks for.
        port: TCP port; 0 for any.
        control_port: TCP port of the control connection (JSON lines); 0 for any.
        key_file: Where to write the public key; by default in a temporary folder that goes with the sandbox.
        more_dcs: The number of a further data centre, on a port of its own; the first is 2. Repeatable.
        json: The line is JSON in any case.
    """
    with tempfile.TemporaryDirectory(prefix="tgworker-sandbox-") as folder:
        serve = partial(
            run_sandbox,
            users=users,
            two_step=two_step,
            bots=bots,
            port=port,
            control_port=control_port,
            emit=partial(print, flush=True),
            more_dcs=more_dcs or (),
            key_file=key_file or Path(folder) / "server_key.pem",
        )
        try:
            trio.run(run_until_signalled, serve)
        except SandboxError as error:
            raise Usage(str(error)) from None
    return 0
