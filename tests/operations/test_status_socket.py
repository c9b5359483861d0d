"""The status socket: who may ask, what is answered, and what a killed worker leaves behind."""

import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tgworker.operations.status_socket import SOCKET_NAME, Answer, StatusUnavailable, ask, serve_status

ANSWERS: Mapping[str, Answer] = {"status": lambda: {"state": "online", "path": Path("/x")}}


@asynccontextmanager
async def serving(
    data_dir: Path, answers: Mapping[str, Answer] = ANSWERS, **options: Any
) -> AsyncGenerator[Path]:
    async with trio.open_nursery() as nursery:
        path = await nursery.start(partial(serve_status, answers, data_dir=data_dir, **options))
        yield path
        nursery.cancel_scope.cancel(reason="the test is over")


@asynccontextmanager
async def stranger(data_dir: Path) -> AsyncGenerator[Path]:
    """Somebody else's server on the same path, that takes a connection and says nothing."""
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    with listening:
        await listening.bind(str(data_dir / SOCKET_NAME))
        listening.listen(1)
        yield data_dir / SOCKET_NAME


def connected(path: Path) -> AbstractAsyncContextManager[trio.SocketStream]:
    @asynccontextmanager
    async def connect() -> AsyncGenerator[trio.SocketStream]:
        async with await trio.open_unix_socket(str(path)) as stream:
            yield stream

    return connect()


async def everything(stream: trio.SocketStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def test_a_question_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert await ask(tmp_path, "status") == {"state": "online", "path": "/x"}
        assert await ask(tmp_path, "status") == {"state": "online", "path": "/x"}


async def test_the_answer_is_made_anew_for_each_question(tmp_path: Path) -> None:
    asked: list[int] = []

    def count() -> Mapping[str, Any]:
        asked.append(1)
        return {"asked": len(asked)}

    async with serving(tmp_path, {"status": count}):
        assert [await ask(tmp_path, "status") for _ in range(2)] == [{"asked": 1}, {"asked": 2}]


async def test_an_answer_larger_than_the_socket_buffers_arrives_whole(tmp_path: Path) -> None:
    answer = {f"account {number}": "x" * 1000 for number in range(2000)}
    async with serving(tmp_path, {"status": lambda: answer}):
        assert await ask(tmp_path, "status", within_s=20) == answer


async def test_only_the_worker_s_user_may_ask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        async with serving(tmp_path) as path:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)


async def test_the_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:
        assert path.is_socket()
    assert not path.exists()


async def test_a_socket_that_a_killed_worker_left_is_replaced(tmp_path: Path) -> None:
    async with stranger(tmp_path) as path:
        pass
    assert path.is_socket()
    assert await ask(tmp_path, "status") is None
    async with serving(tmp_path):
        assert await ask(tmp_path, "status") is not None


async def test_a_living_worker_is_not_pushed_aside(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:
        with pytest.raises(StatusUnavailable) as caught:
            await serve_status(ANSWERS, data_dir=tmp_path)
        assert str(caught.value) == (
            f"another worker answers on {path}: stop it, or give this one its own TGWORKER_DATA_DIR"
        )
        assert await ask(tmp_path, "status") is not None


async def test_a_worker_with_a_full_backlog_is_alive(tmp_path: Path) -> None:
    async with stranger(tmp_path) as path:
        waiting: list[socket.socket] = []
        try:
            while True:  # connect until the kernel takes no more
                client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                waiting.append(client)
                client.setblocking(False)
                if client.connect_ex(str(path)):
                    break
            with pytest.raises(StatusUnavailable, match="another worker answers"):
                await serve_status(ANSWERS, data_dir=tmp_path)
        finally:
            for client in waiting:
                client.close()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("precious")
    with pytest.raises(StatusUnavailable, match=r"status\.sock is not a socket: move it away"):
        await serve_status(ANSWERS, data_dir=tmp_path)
    assert (tmp_path / SOCKET_NAME).read_text() == "precious"


async def test_a_socket_that_was_replaced_meanwhile_is_not_removed(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:
        path.unlink()
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"


async def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    async with serving(deep) as path:
        assert path.is_socket()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await ask(deep, "status") is not None
        with pytest.raises(StatusUnavailable, match="another worker answers"):
            await serve_status(ANSWERS, data_dir=deep)
    assert not path.exists()
    assert await ask(deep, "status") is None


async def test_a_long_path_on_a_system_without_proc_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    with pytest.raises(StatusUnavailable, match="the path is too long for a socket: give a shorter one"):
        await serve_status(ANSWERS, data_dir=deep)


async def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StatusUnavailable) as caught:
        await serve_status(ANSWERS, data_dir=tmp_path / "nowhere")
    assert str(caught.value) == (
        f"{tmp_path}/nowhere/status.sock cannot be made (No such file or directory): "
        "make TGWORKER_DATA_DIR a folder that this user may write to"
    )


async def test_nobody_there_is_none(tmp_path: Path) -> None:
    assert await ask(tmp_path, "status") is None
    assert await ask(tmp_path / "nowhere", "status") is None


async def test_a_worker_that_says_nothing_is_none_after_two_seconds(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with stranger(tmp_path):
        assert await ask(tmp_path, "status") is None
    assert trio.current_time() == 2


async def test_a_worker_that_hangs_up_is_none(tmp_path: Path) -> None:
    async with serving(tmp_path, client_within_s=0):
        assert await ask(tmp_path, "status") is None


async def test_a_client_that_says_nothing_is_hung_up_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(tmp_path, client_within_s=3) as path, connected(path) as silent:
        assert await everything(silent) == b""
        assert trio.current_time() == 3
        assert await ask(tmp_path, "status") is not None


async def test_a_client_that_takes_no_answer_is_hung_up_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    answers: Mapping[str, Answer] = {"status": lambda: {"much": "x" * 10_000_000}}
    async with serving(tmp_path, answers, client_within_s=3) as path, connected(path) as deaf:
        await deaf.send_all(b'{"command": "status"}\n')
        await trio.sleep(4)
        assert len(await everything(deaf)) < 10_000_000


async def test_one_client_too_many_is_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path, most_clients=1, client_within_s=30) as path, connected(path) as first:
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(StatusUnavailable, match="ask again"):
            await ask(tmp_path, "status")
        await first.send_all(b'{"command": "status"}\n')
        assert json.loads(await everything(first))["ok"] is True
        await trio.testing.wait_all_tasks_blocked()
        assert await ask(tmp_path, "status") is not None


async def test_a_client_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:
        async with connected(path) as hasty:
            await hasty.send_all(b'{"command": "status"}\n')
        async with connected(path):
            pass
        assert await ask(tmp_path, "status") is not None


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (b'{"command": "stacks"}\n', "the worker does not know 'stacks': ask for one of status"),
        (b"status\n", 'a question is one line of JSON: {"command": "status"}'),
        (b'["status"]\n', 'a question is one line of JSON: {"command": "status"}'),
        (b"\xff\n", 'a question is one line of JSON: {"command": "status"}'),
        (b"x" * 2_000, 'a question is one line of JSON: {"command": "status"}'),
        (b"[" * 1_023 + b"\n", 'a question is one line of JSON: {"command": "status"}'),
    ],
    ids=["unknown", "no JSON", "no object", "no UTF-8", "too long", "deep"],
)
async def test_a_bad_question_gets_one_clear_line(question: bytes, error: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as path, connected(path) as stream:
        await stream.send_all(question)
        assert json.loads(await everything(stream)) == {"ok": False, "error": error}


async def test_an_unknown_command_is_told_to_who_asks(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(StatusUnavailable, match="does not know 'stacks'"):
            await ask(tmp_path, "stacks")


async def test_a_client_that_never_comes_to_an_end_is_hung_up_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as path, connected(path) as endless:
        with pytest.raises(trio.BrokenResourceError):
            await endless.send_all(b"x" * 10_000_000)
        assert await ask(tmp_path, "status") is not None


async def test_a_socket_of_another_user_is_one_clear_line(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:
        path.chmod(0)
        with not_as_root(), pytest.raises(StatusUnavailable, match="belongs to another user"):
            await ask(tmp_path, "status")


@contextmanager
def not_as_root() -> Generator[None]:
    """Root may connect to every socket: be nobody for a while."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)
