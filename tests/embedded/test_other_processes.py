"""Several processes on one file: the application writes while the worker claims; workers are killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from contracts.store_kit import OWNER
from embedded.embedded_kit import EmbeddedKit
from tgworker.embedded import DataFolder, in_threads, open_store
from tgworker.messaging.outcomes import Sent, Settled
from tgworker.messaging.records import OutboxState

pytestmark = pytest.mark.slow

APPLICATION = textwrap.dedent(
    """
    import sqlite3, sys
    path, account, conversations, rows = sys.argv[1], sys.argv[2], sys.argv[3].split(","), int(sys.argv[4])
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    for number in range(rows):
        connection.execute(
            "insert into messages (owner_id, conversation_id, integration_account_id, channel, direction,"
            " text, external_message_id)"
            " values ('0f000000-0000-4000-8000-000000000001', ?, ?, 'telegram', 'outbound', ?, ?)",
            (conversations[number % len(conversations)], account, f"{number:05d}", f"local-{number}"),
        )
    """
)

#: Claims and settles until it is killed; says what it "sent", before the store knows. Its lines are long: a
#: pipe of `PIPE_BYTES` holds few of them, so that it cannot be far ahead of a slow reader.
WORKER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import trio
    from tgworker.embedded import DataFolder, in_threads, open_store
    from tgworker.messaging.outcomes import Sent, Settled

    async def main():
        folder = DataFolder(Path(sys.argv[1]))
        with folder.hold(), open_store(folder, as_worker=True, run_sync=in_threads()) as store:
            print("up", flush=True)
            while True:
                attempts = (await store.turn((), {sys.argv[2]: 10}, known=())).attempts
                for attempt in attempts:
                    said = f"{attempt.random_id} {attempt.conversation_id} {attempt.text}"
                    print(said.ljust(1000), flush=True)
                outcomes = [Settled(attempt, Sent(int(attempt.text) + 1)) for attempt in attempts]
                await store.turn(outcomes, {}, known=())
                await trio.sleep(0 if attempts else 0.01)

    trio.run(main)
    """
)
PIPE_BYTES = 4096


async def test_the_application_inserts_from_another_process_while_the_worker_claims(kit: EmbeddedKit) -> None:
    account = await kit.store.add_account("ada", OWNER, "token", user_id=1)
    with open_store(kit.folder, as_worker=True, run_sync=in_threads()) as store:
        chats = [
            kit.app.insert("conversations", owner_id=OWNER, primary_identity_id=identity)
            for identity in (
                kit.app.insert("contact_identities", owner_id=OWNER, type="telegram_user", value=str(500 + n))
                for n in range(7)
            )
        ]
        writers = [
            subprocess.Popen(  # noqa: ASYNC220 - the test waits for nothing else
                [sys.executable, "-c", APPLICATION, str(kit.folder.database), account, ",".join(chats), "300"]
            )
            for _ in range(2)
        ]
        sent: dict[str, list[str]] = {chat: [] for chat in chats}
        total = 0
        deadline = time.monotonic() + 40
        while total < 600 and time.monotonic() < deadline:
            attempts = (await store.turn((), {account: 5}, known=())).attempts
            await store.turn(
                [Settled(attempt, Sent(total + n + 1)) for n, attempt in enumerate(attempts)], {}, known=()
            )
            for attempt in attempts:
                sent[attempt.conversation_id].append(attempt.message_id)
            total += len(attempts)
        assert [writer.wait(10) for writer in writers] == [0, 0]
        assert total == 600
        records = await store.list_outbox([OutboxState.SENT], limit=1000)
    for chat in chats:
        assert sent[chat] == [record.message_id for record in records if record.conversation_id == chat]


async def test_workers_that_are_killed_again_and_again_lose_nothing_and_keep_the_order(
    kit: EmbeddedKit,
) -> None:
    account = await kit.store.add_account("ada", OWNER, "token", user_id=1)
    texts = [f"{number:05d}" for number in range(200)]
    for number, text in enumerate(texts):
        await kit.store.enqueue(account, str(500 + number % 4), [text])
    heard: list[tuple[str, str, str]] = []
    for _ in range(4):
        worker = subprocess.Popen(  # noqa: ASYNC220 - the test waits for nothing else
            [sys.executable, "-c", WORKER, str(kit.folder.path), account],
            stdout=subprocess.PIPE,
            pipesize=PIPE_BYTES,
            text=True,
        )
        with worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "up\n"
            heard += [_heard(worker.stdout.readline()) for _ in range(30)]
            worker.send_signal(signal.SIGKILL)
            heard += [_heard(line) for line in worker.stdout if line.endswith("\n")]
    heir = kit.take_over()
    while attempts := (await heir.turn((), {account: 10}, known=())).attempts:
        heard += [(str(attempt.random_id), attempt.conversation_id, attempt.text) for attempt in attempts]
        await heir.turn([Settled(attempt, Sent(int(attempt.text) + 1)) for attempt in attempts], {}, known=())

    # Telegram keeps the first of each random id: every message once, in the order of its chat.
    accepted: dict[str, tuple[str, str]] = {}
    for random_id, chat, text in heard:
        accepted.setdefault(random_id, (chat, text))
    assert sorted(text for _, text in accepted.values()) == texts
    for chat in {chat for chat, _ in accepted.values()}:
        of_chat = [text for where, text in accepted.values() if where == chat]
        assert of_chat == sorted(of_chat)
    assert await heir.list_outbox() == []


def _heard(line: str) -> tuple[str, str, str]:
    random_id, chat, text = line.split()
    return random_id, chat, text


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with open_store(folder, as_worker=True):
        pass
    script = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('begin immediate'); print('locked', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(folder.database)], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with open_store(folder, as_worker=True) as store:
        assert store.incarnation == 2
