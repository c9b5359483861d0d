"""Many claimers at once: one attempt of a conversation at a time, in its order, nothing lost, nothing twice.

Real connections in threads. Whatever a thread learns it checks against what the others do at the same moment.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from supabase_schema.world import Process, World, inbound, settled

CHATS = 24
MESSAGES = 240
CLAIMERS = 6
ACCOUNTS_EACH = 2


class Telegram:
    """Accepts each random id once; knows who is in flight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[int, int] = {}
        self._flying: dict[str, str] = {}
        self.texts: dict[str, list[str]] = defaultdict(list)
        self.wrong: list[str] = []

    def take_off(self, attempt: dict[str, Any]) -> None:
        with self._lock:
            chat, message = attempt["conversation_id"], attempt["message_id"]
            other = self._flying.setdefault(chat, message)
            if other != message:
                self.wrong.append(f"{message} and {other} in flight in {chat}")

    def accept(self, attempt: dict[str, Any]) -> int:
        with self._lock:
            if attempt["random_id"] not in self._ids:
                self._ids[attempt["random_id"]] = 1000 + len(self._ids)
                self.texts[attempt["conversation_id"]].append(attempt["text"])
            return self._ids[attempt["random_id"]]

    def land(self, attempt: dict[str, Any]) -> None:
        """Before the store is told: from then on the next one may fly."""
        with self._lock:
            self._flying.pop(attempt["conversation_id"], None)


class Claimer:
    """A worker that loses answers, forgets what it has, is unsure, and dies."""

    def __init__(self, world: World, telegram: Telegram, accounts: list[str], seed: int) -> None:
        self.world = world
        self.telegram = telegram
        self.accounts = accounts
        self.random = Random(seed)
        self.holder = uuid4()
        self.process = self.start(1)
        self.held: dict[str, dict[str, Any]] = {}
        self.items: list[dict[str, Any]] = []
        self.stale: set[str] = set()
        self.sent = 0

    def start(self, incarnation: int) -> Process:
        process = self.world.worker(holder=self.holder, incarnation=incarnation)
        assert len(process.acquire(*self.accounts)["leases"]) == len(self.accounts)
        return process

    def turn(self) -> bool:
        """One turn of the loop; returns whether there was anything."""
        told = list(self.items)
        answer = self.process.tick(told, self.random.randint(1, 6), known=list(self.held))
        assert answer["error"] is None
        assert set(answer["settled"]["stale"]) == self.stale
        assert answer["claim"]["lost"] == []
        attempts = answer["claim"]["attempts"]
        conversations = [attempt["conversation_id"] for attempt in attempts]
        assert len(set(conversations)) == len(conversations)
        assert not {attempt["message_id"] for attempt in attempts} & set(self.held)
        if self.random.random() < 0.1:
            # The answer was lost: the next turn settles the same, which is done, and is handed these again.
            self.stale = {item["message_id"] for item in told}
            return True
        self.items.clear()
        self.stale.clear()
        self.held |= {attempt["message_id"]: attempt for attempt in attempts}
        if self.random.random() < 0.03:
            for attempt in self.held.values():
                self.telegram.land(attempt)  # no byte leaves the dead; what was deleted is not claimed again
            self.held.clear()
            self.process = self.start(self.process.incarnation + 1)
            return True
        for message, attempt in list(self.held.items()):
            self.telegram.take_off(attempt)
            is_heard_of = False
            match self.random.randrange(10):
                case 0:
                    continue  # takes its time
                case 1:
                    self.telegram.accept(attempt)
                    item = settled(attempt, "unknown", reason="no answer")
                case 2:
                    item = settled(attempt, "deferred", retry_after_s=0.01, reason="FLOOD_WAIT")
                case 3:
                    item = settled(attempt, "released", reason="went away")
                case _:
                    item = settled(attempt, "sent", telegram_id=self.telegram.accept(attempt))
                    self.sent += 1
                    is_heard_of = self.random.random() < 0.2
            self.telegram.land(attempt)
            if is_heard_of:  # from here on the next of its chat may be in flight elsewhere
                self.hear_of(attempt, item["telegram_id"])
            del self.held[message]
            self.items.append(item)
        self.random.shuffle(self.items)
        return bool(attempts or told or self.items or self.held)

    def hear_of(self, attempt: dict[str, Any], telegram_id: int) -> None:
        """The update comes before the answer: what is settled then is known already."""
        echo = inbound(int(attempt["to"]), telegram_id, attempt["text"], outgoing=True)
        answer = inbound(int(attempt["to"]), 1_000_000 + telegram_id)
        sent_ids = [[attempt["random_id"], telegram_id]]
        self.process.ingest(attempt["account"], echo, answer, sent_ids=sent_ids)
        self.stale.add(attempt["message_id"])


def run_all(*works: Callable[[], None]) -> None:
    """Run works in threads; raises what they raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(45)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.mark.slow
def test_order_and_one_in_flight_hold_with_claimers_and_an_application_at_once(world: World) -> None:
    # An unknown outcome is repeated at once, and not after a second.
    world.app.execute(
        "create or replace function tgworker_retry_delay_s(p_attempts integer) returns double precision"
        " language sql immutable set search_path = pg_catalog, public, pg_temp as 'select 0.01::float8'"
    )
    accounts = [world.account() for _ in range(CLAIMERS * ACCOUNTS_EACH)]
    chats = [world.chat(str(500 + number)) for number in range(CHATS)]
    telegram = Telegram()
    claimers = [
        Claimer(world, telegram, accounts[n * ACCOUNTS_EACH : (n + 1) * ACCOUNTS_EACH], n)
        for n in range(CLAIMERS)
    ]
    written: list[tuple[str, str, str]] = []
    done = threading.Event()

    def write() -> None:
        random = Random(99)
        try:
            for number in range(MESSAGES):
                # Not always the same account: a conversation's rows wait for each other all the same.
                chat = random.randrange(CHATS)
                text = f"{number:05d}"
                message = world.write(chats[chat], text, random.choice(accounts))
                written.append((chats[chat], message, text))
                if random.random() < 0.1:
                    world.sql("delete from messages where id = %s", random.choice(written)[1])
        finally:
            done.set()

    def claim(claimer: Claimer) -> None:
        idle = 0
        while not done.is_set() or idle < 10:
            if claimer.turn():
                idle = 0
            else:
                idle += 1
                threading.Event().wait(0.02)

    run_all(write, *(lambda claimer=claimer: claim(claimer) for claimer in claimers))
    # Whoever went to rest early left work to others; now everything goes well.
    for _ in range(MESSAGES):
        turns = [claimer.turn() for claimer in claimers]
        if not any(turns):
            break

    assert telegram.wrong == []
    for chat, texts in telegram.texts.items():
        assert texts == sorted(texts), f"{chat} out of order"
    delivered = [text for texts in telegram.texts.values() for text in texts]
    assert len(delivered) == len(set(delivered))
    states = {str(row["message_id"]): row["state"] for row in world.sql("select * from tgworker_outbox")}
    for _, message, text in written:
        assert states[message] in ("sent", "cancelled")
        assert (text in delivered) or states[message] == "cancelled"
        assert states[message] != "sent" or text in delivered
    assert world.one("select count(*) from tgworker_lanes") == 0
    assert world.one("select count(*) from messages where external_message_id like 'local-%%'") == 0


def test_two_calls_of_one_worker_at_once_hand_nothing_over_twice(world: World) -> None:
    """A claim that was given up at its deadline still runs while the next one comes."""
    account = world.account()
    for number in range(30):
        world.write(world.chat(str(500 + number)), f"m{number}", account)
    holder = uuid4()
    processes = [world.worker(holder=holder) for _ in range(4)]
    for process in processes:
        process.acquire(account)
    answers: list[list[dict[str, Any]]] = []
    slow = world.connect("service_role", autocommit=False)
    # The first one has its answer ready, and does not commit.
    slow.execute(
        "select tgworker_claim(%s, %s)",
        (processes[0].holder, f'[{{"account": "{account}", "fence": 1, "free": 5}}]'),
    )
    run_all(*(lambda process=process: answers.append(process.claim(5)) for process in processes[1:]))
    taken = [attempt["claim"] for answer in answers for attempt in answer]
    # What one of them committed before the other looked may be handed over again (nobody said `known`), with
    # another token; but never is one claim given to two.
    assert len(taken) == len(set(taken))
    slow.commit()
    in_flight = world.sql("select conversation_id from tgworker_outbox where state = 'sending'")
    assert len(in_flight) == len({row["conversation_id"] for row in in_flight})
