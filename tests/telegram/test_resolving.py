"""Whom ``to`` names: known peers, contacts, dialogs, usernames, phone numbers."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
import trio_asyncio
from telethon.errors import RPCError, rpc_message_to_error
from telethon.tl import functions, types
from trio.testing import MockClock

from telegram.telegram_world import open_world
from tgworker.messaging.models import Met, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused, Sent
from tgworker.telegram.dialogs import DIALOG_PAGES
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peer_lists import LISTS_EVERY_S, MOST_PAGES
from tgworker.telegram.resolving import NOT_FOUND, NOT_UNDERSTOOD, Resolver
from tgworker.telegram.rpc_errors import RETRY_AFTER_TROUBLE_S

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def user(number: int) -> Any:
    return types.User(id=number, access_hash=number * 10, username=f"user{number}")


def peer(number: int) -> Peer:
    return Peer(number, PeerKind.USER, number * 10, username=f"user{number}")


class Script:
    """A client that answers as it is told, and remembers what it was asked."""

    def __init__(self, **answers: Callable[[Any], Any]) -> None:
        self._answers = answers
        self.asked: list[Any] = []

    async def ask_aio(self, request: Any) -> Any:
        self.asked.append(request)
        answer = self._answers[type(request).__name__.removesuffix("Request")](request)
        if isinstance(answer, types.RpcError):
            raise rpc_message_to_error(answer, request)
        return answer

    @property
    def names(self) -> list[str]:
        return [type(request).__name__.removesuffix("Request") for request in self.asked]


def contacts(*numbers: int) -> Callable[[Any], Any]:
    return lambda _: types.contacts.Contacts([], 0, [user(number) for number in numbers])


def dialog(number: int) -> Any:
    make: Any = types.Dialog
    counts = """read_inbox_max_id read_outbox_max_id unread_count unread_mentions_count
        unread_reactions_count unread_poll_votes_count"""
    return make(
        peer=types.PeerUser(number),
        top_message=number,
        notify_settings=types.PeerNotifySettings(),
        **dict.fromkeys(counts.split(), 0),
    )


def dialogs(pages: Sequence[Sequence[int]]) -> Callable[[Any], Any]:
    """Pages of dialogs, each with a user of the number; pages are told apart by where they start."""

    def answer(request: Any) -> Any:
        starts = [0, *(page[-1] for page in pages if page)]
        number = starts.index(request.offset_id)
        page = pages[number] if number < len(pages) else []
        return types.messages.DialogsSlice(
            len(pages),
            [dialog(n) for n in page],
            [types.Message(id=n, peer_id=types.PeerUser(n), date=NOON, message="") for n in page],
            [],
            [user(n) for n in page],
        )

    return answer


async def resolve(to: str, script: Script, *known: Peer) -> Peer | Refused | Deferred:
    (answer,) = await resolve_all([to], script, *known)
    return answer


async def resolve_all(wanted: Sequence[str], script: Script, *known: Peer) -> list[Peer | Refused | Deferred]:
    resolver = Resolver(script, PeerBook(known))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # all it uses
    async with trio_asyncio.open_loop():
        return [await trio_asyncio.aio_as_trio(resolver.resolve_aio)(to) for to in wanted]


async def test_a_known_id_asks_nobody() -> None:
    script = Script()
    assert await resolve("5", script, peer(5)) == peer(5)
    assert script.asked == []


async def test_an_unknown_id_is_looked_for_among_the_contacts() -> None:
    script = Script(GetContacts=contacts(4, 5))
    assert await resolve("5", script) == peer(5)
    assert script.names == ["GetContacts"]


async def test_then_among_the_dialogs_page_by_page() -> None:
    script = Script(GetContacts=contacts(), GetDialogs=dialogs([[100, 99], [98, 97], [96, 5], [4]]))
    assert await resolve("5", script) == peer(5)
    assert script.names == ["GetContacts", "GetDialogs", "GetDialogs", "GetDialogs"]
    assert script.asked[2].offset_peer == types.InputPeerUser(99, 990)
    assert script.asked[2].offset_date == NOON


async def test_the_dialogs_have_an_end_and_a_bound() -> None:
    script = Script(GetContacts=contacts(), GetDialogs=dialogs([[100]]))
    assert await resolve("5", script) == Refused(NOT_FOUND)
    assert script.names == ["GetContacts", "GetDialogs", "GetDialogs"]
    endless = Script(GetContacts=contacts(), GetDialogs=dialogs([[n] for n in range(1000, 800, -1)]))
    assert await resolve("5", endless) == Refused(NOT_FOUND)
    assert endless.names.count("GetDialogs") == MOST_PAGES


async def test_the_lists_are_not_read_again_for_each_unknown_id(autojump_clock: MockClock) -> None:
    script = Script(GetContacts=contacts(), GetDialogs=dialogs([[]]))
    resolver = Resolver(script, PeerBook())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # all it uses
    async with trio_asyncio.open_loop():
        ask = trio_asyncio.aio_as_trio(resolver.resolve_aio)
        for number in range(1, 50):
            assert await ask(str(number)) == Refused(NOT_FOUND)
        assert script.names == ["GetContacts", "GetDialogs"]
        await trio.sleep(LISTS_EVERY_S)
        assert await ask("5") == Refused(NOT_FOUND)
    assert script.names == ["GetContacts", "GetDialogs"] * 2


async def test_several_unknown_ids_at_once_read_the_lists_once(autojump_clock: MockClock) -> None:
    script = Script(GetContacts=contacts(5), GetDialogs=dialogs([[6]]))
    resolver = Resolver(script, PeerBook())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # all it uses
    found: dict[str, object] = {}

    async def look(to: str) -> None:
        found[to] = await trio_asyncio.aio_as_trio(resolver.resolve_aio)(to)

    async with trio_asyncio.open_loop(), trio.open_nursery() as nursery:
        for to in ("6", "5", "7", "8"):
            nursery.start_soon(look, to)
    assert found == {"6": peer(6), "5": peer(5), "7": Refused(NOT_FOUND), "8": Refused(NOT_FOUND)}
    assert script.names.count("GetContacts") == 1


async def test_a_search_that_ended_early_goes_on_where_it_stopped() -> None:
    script = Script(GetContacts=contacts(), GetDialogs=dialogs([[100, 99], [98, 97], [96, 95]]))
    assert await resolve_all(["99", "98", "95", "94"], script) == [
        peer(99),
        peer(98),
        peer(95),
        Refused(NOT_FOUND),
    ]
    assert script.names == ["GetContacts", *["GetDialogs"] * 4]


async def test_a_page_that_telegram_refuses_is_asked_for_again() -> None:
    pages = dialogs([[100, 99], [98, 97]])
    errors = [None, types.RpcError(420, "FLOOD_WAIT_9")]
    script = Script(GetContacts=contacts(), GetDialogs=lambda r: (errors and errors.pop(0)) or pages(r))
    assert await resolve_all(["97", "97"], script) == [Deferred(9, "FLOOD_WAIT_9", HoldsUp.METHOD), peer(97)]
    assert [r.offset_id for r in script.asked[1:]] == [0, 99, 99]


async def test_a_basic_group_needs_no_introduction() -> None:
    script = Script(GetContacts=contacts(), GetDialogs=dialogs([[]]))
    assert await resolve("-77", script) == Peer(-77, PeerKind.CHAT)
    assert await resolve("-1000000000077", script) == Refused(NOT_FOUND)


async def test_a_username_is_always_asked_for() -> None:
    found = types.contacts.ResolvedPeer(types.PeerUser(6), [], [user(6)])
    script = Script(ResolveUsername=lambda _: found)
    assert await resolve("@User5", script, peer(5)) == peer(6)  # the name has a new owner
    assert script.asked == [functions.contacts.ResolveUsernameRequest("User5")]


async def test_a_channels_name_is_a_channel() -> None:
    channel = types.Channel(4, "C", types.ChatPhotoEmpty(), NOON, access_hash=44)
    script = Script(
        ResolveUsername=lambda _: types.contacts.ResolvedPeer(types.PeerChannel(4), [channel], [])
    )
    assert await resolve("@channel", script) == Peer(-1_000_000_000_004, PeerKind.CHANNEL, 44, title="C")


async def test_a_phone_number_is_asked_for() -> None:
    found = types.contacts.ResolvedPeer(types.PeerUser(6), [], [user(6)])
    script = Script(ResolvePhone=lambda _: found)
    assert await resolve("+4915112345", script) == peer(6)
    assert script.asked == [functions.contacts.ResolvePhoneRequest("4915112345")]


@pytest.mark.parametrize(
    "to", ["", "0", "five", "user5", "@", "@5five", "+", "+12a", "05", "--5", "5 ", "٥", "1.0"]
)
async def test_what_is_not_understood_asks_nobody(to: str) -> None:
    script = Script()
    assert await resolve(to, script) == Refused(NOT_UNDERSTOOD)


@pytest.mark.parametrize(
    ("code", "name", "expected"),
    [
        (420, "FLOOD_WAIT_300", Deferred(300, "FLOOD_WAIT_300", HoldsUp.METHOD)),
        (400, "USERNAME_NOT_OCCUPIED", Refused("USERNAME_NOT_OCCUPIED")),
        (500, "INTERNAL", Deferred(RETRY_AFTER_TROUBLE_S, "INTERNAL")),
    ],
)
async def test_errors_are_answers(code: int, name: str, expected: Refused | Deferred) -> None:
    script = Script(ResolveUsername=lambda _: types.RpcError(code, name))
    assert await resolve("@someone", script) == expected


async def test_a_flood_in_the_middle_of_the_lists_reads_them_again_later() -> None:
    answers = [types.RpcError(420, "FLOOD_WAIT_9"), types.contacts.Contacts([], 0, [user(5)])]
    script = Script(GetContacts=lambda _: answers.pop(0))
    assert await resolve_all(["5", "5"], script) == [Deferred(9, "FLOOD_WAIT_9", HoldsUp.METHOD), peer(5)]


async def test_a_refused_account_is_no_answer_about_the_peer() -> None:
    script = Script(ResolveUsername=lambda _: types.RpcError(401, "SESSION_REVOKED"))
    resolver = Resolver(script, PeerBook())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # all it uses
    async with trio_asyncio.open_loop():
        with pytest.raises(RPCError):
            await trio_asyncio.aio_as_trio(resolver.resolve_aio)("@someone")


async def meet(script: Script, *, between: Sequence[str] = ()) -> list[Met | Refused | Deferred]:
    """Read the lists to their end as an introduction does; between two pages somebody looks for these ids."""
    resolver = Resolver(script, PeerBook())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # all it uses
    said: list[Met | Refused | Deferred] = []
    seen, wanted = 0, list(between)
    async with trio_asyncio.open_loop():
        while not said or not isinstance(said[-1], Met) or not said[-1].is_all:
            page = await trio_asyncio.aio_as_trio(resolver.meet_aio)(seen)
            said.append(page)
            seen += len(page.peers) if isinstance(page, Met) else 0
            if isinstance(page, Refused):
                break
            if wanted:
                await trio_asyncio.aio_as_trio(resolver.resolve_aio)(wanted.pop())
    return said


async def test_an_account_meets_its_contacts_and_then_its_chats_page_by_page() -> None:
    script = Script(GetContacts=contacts(1, 2), GetDialogs=dialogs([[100, 99], [98]]))
    assert await meet(script) == [
        Met((peer(1), peer(2)), False),
        Met((peer(100), peer(99)), False),
        Met((peer(98),), False),
        Met((), False),
        Met((), True),
    ]
    assert script.names == ["GetContacts", *["GetDialogs"] * 3]


async def test_whom_somebody_else_found_on_the_way_is_met_as_well() -> None:
    script = Script(GetContacts=contacts(1), GetDialogs=dialogs([[100], [99], [98]]))
    assert await meet(script, between=["99"]) == [
        Met((peer(1),), False),
        Met((peer(100), peer(99), peer(98)), False),
        Met((), False),
        Met((), True),
    ]
    assert script.names == ["GetContacts", *["GetDialogs"] * 4], "no page is read twice"


async def test_a_flood_among_the_lists_is_told_and_the_page_asked_for_again() -> None:
    pages = dialogs([[100]])
    errors = [types.RpcError(420, "FLOOD_WAIT_9")]
    script = Script(GetContacts=contacts(), GetDialogs=lambda r: (errors and errors.pop(0)) or pages(r))
    assert await meet(script) == [
        Met((), False),
        Deferred(9, "FLOOD_WAIT_9", HoldsUp.METHOD),
        Met((peer(100),), False),
        Met((), False),
        Met((), True),
    ]


async def test_a_huge_account_meets_its_newest_chats_and_who_is_wanted_is_looked_for_further_down() -> None:
    script = Script(GetContacts=contacts(), GetDialogs=dialogs([[n] for n in range(1000, 800, -1)]))
    resolver = Resolver(script, PeerBook())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # all it uses
    async with trio_asyncio.open_loop():
        met = [await trio_asyncio.aio_as_trio(resolver.meet_aio)(0) for _ in range(DIALOG_PAGES + 1)]
        assert [isinstance(page, Met) and page.is_all for page in met] == [False] * DIALOG_PAGES + [True]
        assert script.names.count("GetDialogs") == DIALOG_PAGES
        assert await trio_asyncio.aio_as_trio(resolver.resolve_aio)("950") == peer(950)
        assert script.names.count("GetDialogs") == 51


async def test_a_real_account_meets_whom_it_knows(autojump_clock: MockClock) -> None:
    async with open_world(users=3) as world, world.online(0) as line:
        seen: list[Peer] = []
        while True:
            page = await line.meet(len(seen))
            assert isinstance(page, Met)
            seen += page.peers
            if page.is_all:
                break
        assert {world.id(1), world.id(2)} <= {each.chat_id for each in seen}
        assert isinstance(await line.send_text(seen[0], "hi", random_id=1), Sent)


async def test_a_real_account_finds_its_contacts_by_id_name_and_phone(autojump_clock: MockClock) -> None:
    async with open_world(users=3) as world, world.online(0) as line:
        user = world.sandbox.users[2]
        found = {await line.resolve(to) for to in (str(user.id), f"@{user.username}", f"+{user.phone}")}
        (found_peer,) = found
        assert isinstance(found_peer, Peer)
        assert isinstance(await line.send_text(found_peer, "hi", random_id=1), Sent)
        assert await line.resolve("@nobody_at_all") == Refused("USERNAME_NOT_OCCUPIED")
        assert await line.resolve("99999999") == Refused(NOT_FOUND)
        me = await line.resolve(str(world.id(0)))
        assert isinstance(me, Peer)
        assert me.is_self
    assert world.texts(2, 0) == ["hi"]
