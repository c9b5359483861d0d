"""Whoever follows the pushes, or asks for the difference at any time, ends up with what the mailbox holds."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import functions, types
from telethon.utils import get_peer_id

from sandbox.mini_client import RpcFailure, open_mini, peer, send
from tgworker.sandbox import Behaviour, Sandbox, update_log
from tgworker.sandbox.accounts import Account
from tgworker.sandbox.auth_keys import KeyRecord
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.membership import create_group
from tgworker.sandbox.post import delete, deliver, edit, read
from tgworker.sandbox.requests.call import Call
from tgworker.sandbox.requests.updates import get_difference
from tgworker.sandbox.unpacking import read_object
from tgworker.sandbox.update_log import NewMessage, NumberedMessage, UpdateLog


@dataclass(eq=False)
class Copy:
    """A client's copy of a mailbox, kept up to date by updates alone."""

    pts: int = 1
    texts: dict[int, str] = field(default_factory=dict[int, str])
    read_in: dict[int, int] = field(default_factory=dict[int, int])
    read_out: dict[int, int] = field(default_factory=dict[int, int])
    numbered: dict[int, int] = field(default_factory=dict[int, int])

    def apply(self, update: Any) -> None:
        match type(update).__name__:
            case "UpdateNewMessage" | "UpdateEditMessage":
                self.texts[update.message.id] = update.message.message or ""
            case "UpdateDeleteMessages":
                for each in update.messages:
                    self.texts.pop(each, None)
            case "UpdateReadHistoryInbox":
                self.read_in[get_peer_id(update.peer)] = update.max_id
            case "UpdateReadHistoryOutbox":
                self.read_out[get_peer_id(update.peer)] = update.max_id
            case "UpdateMessageID":
                self.numbered[update.random_id] = update.id
            case other:
                raise AssertionError(other)

    def push(self, body: bytes) -> None:
        """Pushes come without gaps: each begins where the one before ended."""
        for update in read_object(body).updates:
            assert update.pts == self.pts + update.pts_count
            self.pts = update.pts
            self.apply(update)

    def catch_up(self, cloud: Cloud, account: Account) -> None:
        call = Call(cloud, KeyRecord(b"", 0, 2, user_id=account.id), account, self, dc_id=2)
        while True:
            request = functions.updates.GetDifferenceRequest(self.pts, None, 0)
            answer: Any = get_difference(call, request)
            if type(answer) is types.updates.DifferenceEmpty:
                return
            answer = read_object(bytes(answer))
            for message in answer.new_messages:
                self.texts[message.id] = message.message or ""
            known = {get_peer_id(each) for each in (*answer.users, *answer.chats)}
            for update in answer.other_updates:
                self.apply(update)
                named = getattr(update, "peer", None)
                assert (account.id if named is None else get_peer_id(named)) in known
            if type(answer).__name__ == "Difference":
                self.pts = answer.state.pts
                return
            self.pts = answer.intermediate_state.pts


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["send", "send", "group", "edit", "delete", "revoke", "read", "read group", "catch up"]
        ),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(0, 30),
    ),
    max_size=60,
)


@given(steps=STEPS, limit=st.integers(1, 7))
def test_every_copy_becomes_the_mailbox(steps: list[tuple[str, int, int, int]], limit: int) -> None:
    cloud = Cloud(
        dc_id=2,
        rng=Random(1),
        calendar=lambda: 1e9,
        clock=lambda: 0.0,
        behaviour=Behaviour(difference_limit=limit),
    )
    accounts = [cloud.directory.add() for _ in range(3)]
    group, _ = create_group(cloud, accounts[0], accounts[1:], "Choir")
    live = [Copy(account.mailbox.log.pts, {1: ""}) for account in accounts]
    late = [Copy() for _ in accounts]
    for account, copy in zip(accounts, live, strict=True):
        account.lines.add(copy)
    sent: dict[tuple[int, int], int] = {}
    for number, (act, who, whom, which) in enumerate(steps):
        me, other = accounts[who], accounts[whom]
        ids = sorted(me.mailbox.letters)
        chosen = ids[which % len(ids)] if ids else 0
        match act:
            case "send":
                letter = deliver(cloud, me, other, f"text {number}", random_id=number)
                sent[who, number] = letter.id
            case "group":
                sent[who, number] = deliver(cloud, me, group, f"text {number}", random_id=number).id
            case "edit" if ids and me.mailbox.letters[chosen].author_id == me.id and chosen > 1:
                edit(cloud, me, me.mailbox.letters[chosen], f"edit {number}", ())
            case "delete" | "revoke" if ids:
                delete(cloud, me, [chosen, chosen, 10_000], revoke=act == "revoke")
            case "read":
                read(cloud, me, other, which)
            case "read group":
                read(cloud, me, group, which)
            case "catch up":
                late[who].catch_up(cloud, me)
            case _:
                pass
    for index, account in enumerate(accounts):
        late[index].catch_up(cloud, account)
        held = {letter.id: letter.text for letter in account.mailbox.letters.values()}
        chats = account.mailbox.chats
        for copy in (live[index], late[index]):
            assert copy.texts == held
            assert copy.pts == account.mailbox.log.pts
            assert copy.read_in == {p: c.read_inbox_max_id for p, c in chats.items() if c.read_inbox_max_id}
            assert copy.read_out == {
                p: c.read_outbox_max_id for p, c in chats.items() if c.read_outbox_max_id
            }
        assert late[index].numbered == {n: i for (who, n), i in sent.items() if who == index}
        for chat in chats.values():
            assert chat.ids == sorted(chat.ids)
            assert set(chat.unread) <= set(chat.ids)
    everything = [i for a in accounts for c in a.mailbox.chats.values() for i in c.ids]
    assert len(everything) == sum(len(a.mailbox.letters) for a in accounts)


def test_a_log_forgets_its_beginning_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_log, "KEPT", 10)
    log = UpdateLog()
    for number in range(1, 20):
        log.append(NewMessage(number))
    assert len(log.since(1, 100) or ()) == 19
    log.append(NewMessage(20))
    assert log.since(10, 100) is None
    assert [entry.event for entry in log.since(11, 100) or ()] == [NewMessage(n) for n in range(11, 21)]


def test_lines_with_one_pts_are_never_torn_apart() -> None:
    log = UpdateLog()
    for number in range(1, 4):
        log.append(NewMessage(number))
        log.append(NumberedMessage(number, 100 + number), 0)
    first = log.since(1, 1) or []
    assert [entry.event for entry in first] == [NewMessage(1), NumberedMessage(1, 101)]
    second = log.since(first[-1].pts, 3) or []
    assert [entry.pts for entry in second] == [3, 3, 4, 4]


async def test_a_difference_from_nowhere_is_refused(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        for pts, error in ((0, "PERSISTENT_TIMESTAMP_EMPTY"), (-1, "PERSISTENT_TIMESTAMP_INVALID")):
            with pytest.raises(RpcFailure, match=error):
                await client.ask(functions.updates.GetDifferenceRequest(pts, None, 0))


async def test_a_difference_that_is_too_long_says_so(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update_log, "KEPT", 10)
    alice, bob, _ = sandbox.users
    for number in range(25):
        sandbox.send_text(bob.id, alice.id, str(number))
    async with open_mini(sandbox, alice.session) as client:
        answer = await client.ask(functions.updates.GetDifferenceRequest(1, None, 0))
        assert (type(answer), answer.pts) == (types.updates.DifferenceTooLong, 26)
        answer = await client.ask(functions.updates.GetDifferenceRequest(16, None, 0))
        assert len(answer.new_messages) == 10


async def test_an_edit_of_a_new_message_is_no_update_of_its_own(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client:
        to = await peer(client, bob)
        old = await client.ask(send(to, "old", 1))
        before = await client.ask(functions.updates.GetStateRequest())
        new = await client.ask(send(to, "new", 2))
        for sent in (old, new):
            await client.ask(functions.messages.EditMessageRequest(to, sent.id, message=f"edit of {sent.id}"))
        difference = await client.ask(functions.updates.GetDifferenceRequest(before.pts, None, 0))
        assert [m.message for m in difference.new_messages] == ["edit of 2"]
        edits = [u.message.message for u in difference.other_updates if hasattr(u, "message")]
        assert edits == ["edit of 1"]


async def test_the_id_of_a_lost_answer_is_in_the_difference(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client:
        before = await client.ask(functions.updates.GetStateRequest())
        answer = await client.ask(send(await peer(client, bob), "hello", 99))
        difference = await client.ask(functions.updates.GetDifferenceRequest(before.pts, None, 0))
        assert difference.other_updates == [types.UpdateMessageID(answer.id, 99)]
        assert [m.id for m in difference.new_messages] == [answer.id]
