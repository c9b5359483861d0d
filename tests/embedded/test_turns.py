"""A turn settles and claims in one transaction; yet a claim that fails undoes nothing but itself."""

from pathlib import Path

import pytest

from contracts.store_kit import OWNER, Inbox
from embedded.embedded_kit import open_kit
from tgworker.embedded import StoreSuperseded
from tgworker.embedded.outbox import Claims
from tgworker.messaging.outcomes import Sent, Settled


async def test_a_worker_that_was_superseded_still_says_what_it_sent(tmp_path: Path) -> None:
    with open_kit(tmp_path / "data") as kit:
        inbox = Inbox(kit, await kit.store.add_account("ada", OWNER, "token", user_id=1))
        chat = inbox.chat("500")
        first, second = inbox.write(chat, "first"), inbox.write(chat, "second")
        attempt = await inbox.claim_one()
        heir = kit.take_over()
        settled = Settled(attempt, Sent(77, kit.calendar.today))
        with pytest.raises(StoreSuperseded, match="belongs to a newer worker"):
            await kit.store.turn([settled], {inbox.account: 10}, known=())
        assert inbox.message(first)["external_message_id"] == "77"
        assert inbox.message(second)["external_message_id"] == "local-second"
        turn = await heir.turn((), {inbox.account: 10}, known=())
        assert [(one.message_id, one.doubt) for one in turn.attempts] == [(second, None)]


async def test_a_claim_that_fails_leaves_what_was_settled_and_claims_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BugError(Exception):
        pass

    whole = Claims.claim

    def claim(*args: object, **named: object) -> None:
        whole(*args, **named)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        raise BugError

    with open_kit(tmp_path / "data") as kit:
        inbox = Inbox(kit, await kit.store.add_account("ada", OWNER, "token", user_id=1))
        chat = inbox.chat("500")
        first, second = inbox.write(chat, "first"), inbox.write(chat, "second")
        settled = Settled(await inbox.claim_one(), Sent(77, kit.calendar.today))
        with monkeypatch.context() as patched:
            patched.setattr(Claims, "claim", claim)
            with pytest.raises(BugError):
                await kit.store.turn([settled], {inbox.account: 10}, known=())
        assert inbox.message(first)["external_message_id"] == "77"
        (again,) = await inbox.claim()
        assert (again.message_id, again.number, again.doubt) == (second, 1, None), "as if never claimed"
