"""What a turn asks of the database, and what it makes of the answers: a scripted server, no database."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from messaging.messaging_fakes import ANNA, BERT, SENT, attempt
from tgworker.messaging.errors import LeaseLost, StoreAway, StoreRefused
from tgworker.messaging.models import MessageId, Secret
from tgworker.messaging.outcomes import Settled
from tgworker.supabase import Holder, SupabaseLeases, SupabaseStore, open_rest
from tgworker.supabase.errors import SchemaDiffers
from tgworker.supabase.turns import MOST_ITEMS, MOST_PAGES

Json = dict[str, Any]
NOTHING = {"attempts": [], "withdrawn": [], "lost": [], "more": False}
ROW: Json = {
    "message_id": "m",
    "account": ANNA,
    "conversation_id": "c",
    "to": "77",
    "peer": None,
    "text": "hello",
    "part": 0,
    "random_id": 5,
    "number": 1,
    "claim": 9,
    "parse_mode": None,
    "text_limit": 4096,
    "parts": 1,
    "known_id": None,
    "expires_in_s": None,
    "doubt": None,
    "message_type": "text",
    "files": [],
    "caption_limit": 1024,
    "more_random_ids": [],
}
CLAIMING = {"p_holder", "p_slots", "p_known", "p_text_limit", "p_caption_limit", "p_attachments_wait_s"}


class Ticks:
    """Answers ticks with what `script` says; keeps what was asked."""

    def __init__(self, script: Callable[[int], Json]) -> None:
        self.script = script
        self.asked: list[Json] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        function = request.url.path.rpartition("/")[2]
        asked = json.loads(await request.aread())
        if function == "tgworker_acquire_leases":
            leases = [{"account": account, "fence": 3} for account in asked["p_accounts"]]
            return httpx.Response(200, json={"leases": leases, "elsewhere": [], "not_ours": []})
        assert function == "tgworker_tick"
        self.asked.append(asked)
        answer = {"claim": None, "error": None, **self.script(len(self.asked))}
        if "p_slots" in asked and answer["error"] is None and answer["claim"] is None:
            answer["claim"] = NOTHING
        return httpx.Response(200, json=answer)


@asynccontextmanager
async def opened(script: Callable[[int], Json]) -> AsyncGenerator[tuple[SupabaseStore, Ticks]]:
    ticks = Ticks(script)
    transport = httpx.MockTransport(ticks)
    async with open_rest("http://project", Secret("key"), transport=transport) as rest:
        leases = SupabaseLeases(rest, Holder(UUID(int=7), 1, "w"), clock=lambda: 0.0)
        assert await leases.acquire([ANNA]) == {}
        yield SupabaseStore(rest, leases), ticks


async def test_a_turn_is_one_request() -> None:
    async with opened(lambda _: {"claim": {**NOTHING, "attempts": [ROW]}}) as (store, ticks):
        (found,) = (
            await store.turn([Settled(attempt("1"), SENT)], {ANNA: 4}, known=[MessageId("2"), MessageId("3")])
        ).attempts
    (asked,) = ticks.asked
    assert [item["message_id"] for item in asked["p_settled"]] == ["1"]
    assert asked["p_slots"] == [{"account": ANNA, "fence": 3, "free": 4}]
    assert asked["p_known"] == ["2", "3"]
    assert (found.message_id, found.fence) == ("m", 9)


async def test_what_there_is_not_is_not_asked_for() -> None:
    async with opened(lambda _: {}) as (store, ticks):
        await store.turn([Settled(attempt("1"), SENT)], {}, known=())
        await store.turn((), {ANNA: 4}, known=())
        await store.turn((), {}, known=())
        await store.turn((), {ANNA: 0}, known=())
    settling, claiming = ticks.asked
    assert set(settling) == {"p_holder", "p_settled"}
    assert set(claiming) == CLAIMING


async def test_what_is_in_hand_is_asked_about_also_while_no_account_takes_more() -> None:
    async with opened(lambda _: {"claim": {**NOTHING, "withdrawn": ["1"]}}) as (store, ticks):
        turn = await store.turn((), {}, known=[MessageId("1"), MessageId("2")])
    assert (list(turn.attempts), list(turn.withdrawn)) == ([], ["1"])
    (asked,) = ticks.asked
    assert (asked["p_slots"], asked["p_known"]) == ([], ["1", "2"])


async def test_more_than_one_call_settles_is_settled_before_anything_is_claimed() -> None:
    settled = [Settled(attempt(str(number)), SENT) for number in range(2 * MOST_ITEMS + 1)]
    async with opened(lambda _: {}) as (store, ticks):
        await store.turn(settled, {ANNA: 4}, known=())
    assert [len(asked["p_settled"]) for asked in ticks.asked] == [MOST_ITEMS, MOST_ITEMS, 1]
    assert ["p_slots" in asked for asked in ticks.asked] == [False, False, True]


async def test_where_there_is_more_to_take_in_the_claim_goes_on_without_end_but_bounded() -> None:
    def script(number: int) -> Json:
        return {"claim": {**NOTHING, "attempts": [ROW] if number == 1 else [], "more": True}}

    async with opened(script) as (store, ticks):
        assert (
            len((await store.turn([Settled(attempt("1"), SENT)], {ANNA: 4}, known=[MessageId("2")])).attempts)
            == 1
        )
    assert len(ticks.asked) == MOST_PAGES
    assert ["p_settled" in asked for asked in ticks.asked[:3]] == [True, False, False]
    assert [asked["p_known"] for asked in ticks.asked[:3]] == [["2"], ["2", "m"], ["2", "m"]]
    assert [asked["p_slots"][0]["free"] for asked in ticks.asked[:3]] == [4, 3, 3]


@pytest.mark.parametrize(
    ("code", "error"), [("55P03", StoreAway), ("42P01", SchemaDiffers), ("23514", StoreRefused)]
)
async def test_the_error_of_a_claim_that_settled_nonetheless_is_raised(
    code: str, error: type[Exception]
) -> None:
    async with opened(lambda _: {"error": {"code": code, "message": "…"}}) as (store, _):
        with pytest.raises(error, match=rf"^Supabase \(tgworker_tick\) answered 500 {code}: "):
            await store.turn([Settled(attempt("1"), SENT)], {ANNA: 4}, known=())


async def test_an_account_that_is_lost_is_said_once_everything_is_settled() -> None:
    async with opened(lambda _: {"claim": {**NOTHING, "lost": [ANNA]}}) as (store, ticks):
        with pytest.raises(LeaseLost):
            await store.turn([Settled(attempt("1"), SENT)], {ANNA: 4}, known=())
        with pytest.raises(LeaseLost):
            await store.turn([Settled(attempt("1"), SENT)], {ANNA: 4, BERT: 1}, known=())
    assert [set(asked) for asked in ticks.asked] == [
        {*CLAIMING, "p_settled"},
        {"p_holder", "p_settled"},
    ]
