"""Rows of ``tgworker_login_requests``."""

from collections.abc import Collection, Sequence
from typing import Any

from tgworker.messaging.login_ports import LoginGone, LoginId, LoginNews, LoginRequest, LoginState
from tgworker.messaging.models import AccountId, Secret
from tgworker.messaging.values import new_id, storable
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row


class _Request(Row):
    id: LoginId
    method: str | None
    phone: str | None
    name: str | None
    config: dict[str, Any]


class _Claimed(Row):
    logins: list[_Request]


class _Told(Row):
    ours: bool


class _Answer(Row):
    ours: bool
    answer: str | None


class _Stored(Row):
    id: AccountId | None


class Logins:
    """Fills `tgworker.messaging.login_ports.LoginStore`, but for the count. Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def claim_logins(
        self, ticket: str, *, known: Collection[LoginId], limit: int
    ) -> Sequence[LoginRequest]:
        """See the port."""
        arguments = {"p_ticket": ticket, "p_known": sorted(known), "p_limit": limit}
        claimed = await self._rest.call("tgworker_claim_logins", arguments, _Claimed)
        return [
            LoginRequest(
                id=row.id, method=row.method or "", phone=row.phone, name=row.name, config=row.config
            )
            for row in claimed.logins
        ]

    async def tell_login(self, ticket: str, login_id: LoginId, news: LoginNews) -> None:
        """See the port."""
        told = {
            "state": news.state.value,
            "error": _text(news.error),
            "left": news.left,
            "hint": _text(news.hint),
            "qr_url": news.qr_url,
            "qr_lives_s": news.qr_lives_s,
        }
        arguments = {"p_ticket": ticket, "p_login": login_id, "p_news": told}
        _check(login_id, await self._rest.call("tgworker_tell_login", arguments, _Told))

    async def take_answer(self, ticket: str, login_id: LoginId) -> Secret | None:
        """See the port. Two calls, because the first one's answer may be lost."""
        ours = {"p_ticket": ticket, "p_login": login_id}
        found = await self._rest.call("tgworker_login_answer", ours, _Answer)
        _check(login_id, found)
        if found.answer is None:
            return None
        arguments = {**ours, "p_answer": found.answer}
        _check(login_id, await self._rest.call("tgworker_empty_answer", arguments, _Told))
        return Secret(found.answer)

    async def end_login(self, ticket: str, login_id: LoginId, state: LoginState, error: str) -> None:
        """See the port."""
        arguments = {"p_ticket": ticket, "p_login": login_id, "p_state": state.value}
        await self._rest.do("tgworker_end_login", {**arguments, "p_error": storable(error)})

    async def store_login(
        self, ticket: str, login_id: LoginId, secrets_encrypted: str, *, user_id: int, phone: str | None
    ) -> AccountId:
        """See the port."""
        with raised_for(None, None):
            answer = await self._rest.call(
                "tgworker_store_login",
                {
                    "p_ticket": ticket,
                    "p_login": login_id,
                    "p_id": new_id(),
                    "p_secrets": secrets_encrypted,
                    "p_user_id": user_id,
                    "p_phone": phone,
                },
                _Stored,
            )
        if answer.id is None:
            raise LoginGone(login_id)
        return answer.id


def _check(login_id: LoginId, answer: _Told | _Answer) -> None:
    if not answer.ours:
        raise LoginGone(login_id)


def _text(text: str | None) -> str | None:
    return None if text is None else storable(text)
