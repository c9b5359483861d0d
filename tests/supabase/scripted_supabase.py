"""A project behind a scripted HTTP server: the functions of the database, kept by the embedded store.

What is tested with it is the worker and its clock. That the functions keep their promises is what the
contract tests say of the real ones.
"""

import itertools
import json
from collections import Counter
from datetime import datetime
from typing import Any, Literal

import httpx
import msgspec
import trio

from tgworker.embedded import EmbeddedStore
from tgworker.messaging.models import (
    AccountId,
    AccountState,
    Attempt,
    ChatMessage,
    Peer,
    Position,
    UpdateBatch,
)
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Released, Sent, Settled, Unknown
from tgworker.messaging.pacing import Scope, ScopeKind, StoredWait

Weather = Literal["fair", "unreachable", "unavailable", "hanging", "deaf"]
"""``deaf``: what is asked is done, and never answered."""

Json = dict[str, Any]


class ScriptedSupabase:
    """Answers what the worker asks; `weather` says how.

    Args:
        store: What keeps it all.
    """

    def __init__(self, store: EmbeddedStore) -> None:
        self.weather: Weather = "fair"
        self.asked: Counter[str] = Counter()
        self.heartbeats: list[tuple[float, str]] = []
        self._store = store
        self._claims: dict[int, Attempt] = {}
        self._tokens = itertools.count(1)
        self._rang = trio.Event()

    @property
    def transport(self) -> httpx.MockTransport:
        """What httpx takes for the network."""
        return httpx.MockTransport(self._handle)

    def ring(self) -> None:
        """The application has written something."""
        self._rang.set()
        self._rang = trio.Event()

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        function = request.url.path.rpartition("/")[2]
        self.asked[function] += 1
        match self.weather:
            case "unreachable":
                raise httpx.ConnectError("no route", request=request)
            case "unavailable":
                return httpx.Response(503, json={"code": "PGRST000"}, headers={"Retry-After": "600"})
            case "hanging":
                await trio.sleep_forever()
            case "deaf":
                await self._answer(function, request)
                await trio.sleep_forever()
            case "fair":
                pass
        return httpx.Response(200, content=msgspec.json.encode(await self._answer(function, request)))

    async def _answer(self, function: str, request: httpx.Request) -> object:
        answer = getattr(self, f"_{function.removeprefix('tgworker_')}")
        answered: object = await answer(json.loads(await request.aread()))
        return answered

    async def _heartbeat(self, args: Json) -> object:
        self.heartbeats.append((trio.current_time(), args["p_status"]))
        return {"written": True}

    async def _active_accounts(self, _args: Json) -> object:
        return [
            {
                "id": account.id,
                "owner_id": account.owner_id,
                "workspace_id": account.workspace_id,
                "name": account.name,
                "secrets_encrypted": account.secrets_encrypted,
                "config": account.config,
            }
            for account in await self._store.active_accounts()
        ]

    async def _acquire_leases(self, args: Json) -> object:
        leases = [{"account": account, "fence": 1} for account in args["p_accounts"]]
        return {"leases": leases, "elsewhere": [], "not_ours": []}

    async def _renew_leases(self, args: Json) -> object:
        return {"leases": args["p_leases"], "lost": []}

    async def _release_leases(self, args: Json) -> object:
        return {"released": [lease["account"] for lease in args["p_leases"]]}

    async def _record_account(self, args: Json) -> object:
        await self._store.record_account(
            args["p_account"],
            AccountState(args["p_state"]),
            last_error=args["p_last_error"],
            user_id=args["p_user_id"],
        )
        return None

    async def _record_synced(self, args: Json) -> object:
        await self._store.record_synced([each["account"] for each in args["p_accounts"]])
        return {"lost": []}

    async def _count_pending(self, _args: Json) -> object:
        return {"history": await self._store.count_history(), "jobs": await self._store.count_jobs()}

    async def _sweep(self, _args: Json) -> object:
        return {"deleted": 0, "repaired": 0, "compared": False, "more": False}

    async def _wait(self, args: Json) -> object:
        with trio.move_on_after(args["p_timeout_s"]) as waited:
            await self._rang.wait()
        return {"work": not waited.cancelled_caught}

    async def _tick(self, args: Json) -> object:
        settled = [
            Settled(self._claims[item["claim"]], _outcome(item))
            for item in args.get("p_settled", ())
            if item["claim"] in self._claims
        ]
        slots = {AccountId(slot["account"]): slot["free"] for slot in args.get("p_slots", ())}
        attempts: list[Json] = []
        turn = await self._store.turn(settled, slots, known=args.get("p_known", ()))
        for attempt in turn.attempts:
            token = next(self._tokens)
            self._claims[token] = attempt
            attempts.append(
                {
                    "message_id": attempt.message_id,
                    "account": attempt.account_id,
                    "conversation_id": attempt.conversation_id,
                    "to": attempt.to,
                    "peer": attempt.peer and msgspec.to_builtins(attempt.peer),
                    "text": attempt.text,
                    "part": attempt.part,
                    "random_id": attempt.random_id,
                    "number": attempt.number,
                    "claim": token,
                    "parse_mode": attempt.parse_mode,
                    "text_limit": attempt.text_limit,
                    "parts": attempt.parts,
                    "known_id": attempt.known_id,
                    "expires_in_s": attempt.expires_in_s,
                    "doubt": attempt.doubt and msgspec.to_builtins(attempt.doubt),
                }
            )
        answer = {"attempts": attempts, "withdrawn": list(turn.withdrawn), "lost": [], "more": False}
        claim = answer if "p_slots" in args else None
        return {"claim": claim, "error": None}

    async def _position(self, args: Json) -> object:
        position = await self._store.position(args["p_account"])
        if position is None:
            return None
        channels = {str(channel): pts for channel, pts in position.channels.items()}
        return {**msgspec.to_builtins(position), "channels": channels}

    async def _peers_of(self, args: Json) -> object:
        return [msgspec.to_builtins(peer) for peer in await self._store.peers(args["p_account"])]

    async def _save_peers(self, args: Json) -> object:
        await self._store.save_peers(args["p_account"], msgspec.convert(args["p_peers"], list[Peer]))
        return None

    async def _waits_of(self, args: Json) -> object:
        return [
            {"kind": wait.scope.kind, "key": wait.scope.key, "left_s": wait.left_s, "reason": wait.reason}
            for wait in await self._store.waits(args["p_account"])
        ]

    async def _save_waits(self, args: Json) -> object:
        waits = [
            StoredWait(Scope(ScopeKind(sent["kind"]), sent["key"]), sent["left_s"], sent["reason"])
            for sent in args["p_waits"]
        ]
        await self._store.save_waits(args["p_account"], waits)
        return None

    async def _is_acquainted(self, args: Json) -> object:
        return await self._store.is_acquainted(args["p_account"], args["p_conversation"])

    async def _unnamed(self, args: Json) -> object:
        assert not await self._store.unnamed(args["p_account"]), "answers are never lost on this line"
        return []

    async def _ingest(self, args: Json) -> object:
        sent = args["p_batch"]
        batch = UpdateBatch(
            messages=msgspec.convert(sent["messages"], tuple[ChatMessage, ...]),
            peers=msgspec.convert(sent["peers"], tuple[Peer, ...]),
            sent_ids=tuple((random_id, telegram_id) for random_id, telegram_id in sent["sent_ids"]),
            position=_position(sent["position"]),
        )
        return {"new": await self._store.ingest(args["p_account"], batch)}


def _position(sent: Json | None) -> Position | None:
    if sent is None:
        return None
    channels = {int(channel): pts for channel, pts in sent["channels"].items()}
    return Position(sent["pts"], sent["qts"], sent["date"], sent["seq"], channels)


def _outcome(item: Json) -> Outcome:
    match item["outcome"]:
        case "sent":
            sent_at = item["sent_at"]
            return Sent(item["telegram_id"], None if sent_at is None else datetime.fromisoformat(sent_at))
        case "deferred":
            return Deferred(item["retry_after_s"], item["reason"])
        case "refused":
            return Refused(item["reason"])
        case "unknown":
            return Unknown(item["reason"])
        case _:
            return Released(item["reason"])
