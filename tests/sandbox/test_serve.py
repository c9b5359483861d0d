"""The sandbox as a program: one line of JSON, then service until it is stopped."""

import json
import stat
from pathlib import Path
from random import Random

import pytest
import trio
from telethon.crypto import rsa
from telethon.tl import functions

from sandbox.mini_client import key_of, open_mini
from tgworker.sandbox import (
    KeyFileUnusable,
    PortTaken,
    Sandbox,
    SandboxError,
    SandboxUser,
    ServerKey,
    open_control,
    open_sandbox,
    run_sandbox,
)


async def test_it_announces_itself_in_one_line_and_serves_until_it_is_stopped(tmp_path: Path) -> None:
    lines: list[str] = []
    said = trio.Event()

    def emit(line: str) -> None:
        lines.append(line)
        said.set()

    key_file = tmp_path / "sandbox" / "key.pem"
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await run_sandbox(
                users=3, two_step=1, bots=1, port=0, control_port=0, emit=emit, key_file=key_file
            )
            lines.append("stopped")

        nursery.start_soon(serve)
        await said.wait()
        (line,) = lines
        assert "\n" not in line
        facts = json.loads(line)
        assert set(facts) == {"server", "key_file", "dc", "control", "dcs", "users", "bots"}
        fields = {"id", "phone", "username", "session", "login_code", "password"}
        assert [set(user) for user in facts["users"]] == [fields] * 3
        assert [user["login_code"] for user in facts["users"]] == ["12345"] * 3
        assert [user["password"] for user in facts["users"]] == ["open sesame 1001", None, None]
        assert [user["id"] for user in facts["users"]] == [1001, 1002, 1003]
        (bot,) = facts["bots"]
        assert set(bot) == {"id", "username", "token", "session"}
        assert (bot["id"], bot["token"].partition(":")[0]) == (1004, "1004")
        assert facts["dc"] == 2
        check_key_file(facts["key_file"])
        async with open_control(facts["control"]) as control:
            sent = await control.send_text(1001, 1002, "hello")
            assert sent.recipient_message_id == 1
            host, port = facts["server"].split(":")
            async with await trio.open_tcp_stream(host, int(port)):
                assert (await control.statistics()).open <= 1
            await control.stop()
    assert lines[-1] == "stopped"


def check_key_file(path: str) -> None:
    rsa.add_key(Path(path).read_text(), old=False)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


async def test_it_can_be_cancelled(tmp_path: Path) -> None:
    said = trio.Event()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await run_sandbox(
                users=1, port=0, control_port=0, emit=lambda _: said.set(), key_file=tmp_path / "key.pem"
            )

        nursery.start_soon(serve)
        await said.wait()
        nursery.cancel_scope.cancel()
    assert (tmp_path / "key.pem").exists()


async def test_a_busy_port_is_one_clear_line(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(PortTaken) as taken:
        await run_sandbox(
            users=1, port=sandbox.port, control_port=0, emit=print, key_file=tmp_path / "key.pem"
        )
    assert str(taken.value) == (
        f"port {sandbox.port} on 127.0.0.1 is taken: choose another with --port, or 0 for any"
    )
    with pytest.raises(PortTaken, match="--control-port"):
        async with open_sandbox(control_port=sandbox.port):
            pass


@pytest.mark.parametrize("users", [0, -1, 10_001])
async def test_a_senseless_number_of_users_is_refused(tmp_path: Path, users: int) -> None:
    with pytest.raises(SandboxError, match="--users must be between 1 and 10000"):
        await run_sandbox(users=users, port=0, control_port=0, emit=print, key_file=tmp_path / "key.pem")


@pytest.mark.parametrize("two_step", [-1, 3])
async def test_a_senseless_number_of_passwords_is_refused(tmp_path: Path, two_step: int) -> None:
    with pytest.raises(SandboxError, match=r"--two-step must be between 0 and --users \(2\)"):
        await run_sandbox(
            users=2, two_step=two_step, port=0, control_port=0, emit=print, key_file=tmp_path / "key.pem"
        )


@pytest.mark.parametrize("port", [-1, 65536])
async def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(SandboxError, match=f"--port must be between 0 and 65535, not {port}"):
        async with open_sandbox(port=port):
            pass


async def test_a_key_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileUnusable, match=r"cannot write the key file .*key\.pem"):
        await run_sandbox(users=1, port=0, control_port=0, emit=print, key_file=tmp_path / "file" / "key.pem")


def test_a_private_key_is_kept_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    made = ServerKey.load_or_create(path)
    again = ServerKey.load_or_create(path)
    assert made.public_pem == again.public_pem
    assert made.fingerprint == again.fingerprint
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(made)


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN RSA PRIVATE KEY-----\nx\n"])
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "server.pem"
    path.write_text(content)
    with pytest.raises(KeyFileUnusable, match="is not an RSA private key"):
        ServerKey.load_or_create(path)
    assert path.read_text() == content


def test_secrets_are_in_no_repr(sandbox_user: SandboxUser) -> None:
    assert sandbox_user.session not in repr(sandbox_user)
    assert sandbox_user.phone not in repr(sandbox_user)
    assert "12345" not in repr(sandbox_user)
    assert "sesame" not in repr(sandbox_user)


@pytest.fixture
def sandbox_user() -> SandboxUser:
    return SandboxUser(1001, "999661001", "user1001", "1secret", login_code="12345", password="open sesame")


async def test_a_seeded_sandbox_is_the_same_each_time(server_key: ServerKey) -> None:
    seen: list[tuple[str, int]] = []
    for _ in range(2):
        async with open_sandbox(rng=Random(7), key=server_key) as sandbox:
            alice, bob = sandbox.users
            async with open_mini(sandbox, alice.session) as client:
                found = await client.ask(functions.contacts.ResolveUsernameRequest(bob.username))
                key = key_of(alice.session).hex()
                seen.append((key, found.users[0].access_hash))
    assert seen[0] == seen[1]
