"""One attempt to send a text, and what is known afterwards."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from telethon.errors import BadMessageError, RPCError, TypeNotFoundError
from telethon.tl import functions, types

from tgworker.messaging.models import Peer, Position
from tgworker.messaging.outcomes import Outcome, Refused, Released, Sent, Unknown
from tgworker.telegram.answers import sent_id, sent_of
from tgworker.telegram.batches import date_of
from tgworker.telegram.books import LineLost, NeverSent
from tgworker.telegram.client import AccountClient
from tgworker.telegram.peers import input_peer
from tgworker.telegram.rpc_errors import RANDOM_ID_DUPLICATE, error_name, send_outcome

REMEMBERED = 10_000
"""How many ids that the update log or an answer told of are remembered."""

READ_BACK_UPDATES = 1000
READ_BACK_SLICES = 10
"""How far a lost id is looked for in the update log: beyond this the chat's history is the better place."""


class Sender:
    """Sends texts, once each, and remembers what became of their ``random_id``.

    Args:
        client: A connected client.
    """

    def __init__(self, client: AccountClient) -> None:
        self._client = client
        self._ids: OrderedDict[int, int] = OrderedDict()

    def learn(self, sent_ids: tuple[tuple[int, int], ...]) -> None:
        """Remember ids that the update log told of: ``(random_id, telegram_id)``."""
        for random_id, telegram_id in sent_ids:
            self._ids[random_id] = telegram_id
            if len(self._ids) > REMEMBERED:
                self._ids.popitem(last=False)

    async def send_text_aio(
        self,
        peer: Peer,
        text: str,
        random_id: int,
        log_at: Position,
        *,
        entities: Sequence[Any] = (),
    ) -> Outcome:
        """One attempt. See `tgworker.messaging.ports.Connection.send_text`.

        Args:
            peer: Whom to send to.
            text: What to send.
            random_id: Telegram's idempotency key.
            log_at: How far the update log was read before the attempt.
            entities: The formatting, as Telegram's objects.
        """
        request = functions.messages.SendMessageRequest(
            input_peer(peer), text, random_id=random_id, entities=list(entities) or None
        )
        return await self.attempt_aio(request, [random_id], log_at)

    async def attempt_aio(self, request: Any, random_ids: Sequence[int], log_at: Position) -> Outcome:
        """One attempt of one request that makes messages.

        Args:
            request: It.
            random_ids: Telegram's idempotency keys in it, that of the first message first.
            log_at: How far the update log was read before the attempt.
        """
        try:
            answer = await self._client.ask_aio(request)
        except NeverSent as error:
            return Released(str(error))
        except LineLost as error:
            return Unknown(str(error))
        except RPCError as error:
            if error_name(error) == RANDOM_ID_DUPLICATE:
                return Sent(await self._read_back_aio(random_ids[0], log_at))
            return send_outcome(error)
        except (BadMessageError, TypeNotFoundError) as error:
            # The server did not take the envelope, or its answer is of a type that this Telethon cannot read.
            return Unknown(type(error).__name__)
        except ValueError:
            return Refused("MESSAGE_TOO_LONG")  # Telethon's packer: more than 1 MB
        sent = sent_of(answer, random_ids)
        if sent.telegram_id is not None:
            self.learn(((random_ids[0], sent.telegram_id), *sent.more))
        return sent

    async def _read_back_aio(self, random_id: int, log_at: Position) -> int | None:
        """The id of a message that Telegram already had: the log told it, or is about to.

        Whatever the log says up to ``log_at`` was learned; so only what comes after it is asked for.
        """
        if random_id in self._ids:
            return self._ids[random_id]
        try:
            return await self._search_log_aio(random_id, log_at)
        except (LineLost, RPCError, TypeNotFoundError):
            return None  # it is sent, that much is certain; the id can be found in the history

    async def _search_log_aio(self, random_id: int, at: Position) -> int | None:
        pts, qts, date = at.pts, at.qts, date_of(at)
        for _ in range(READ_BACK_SLICES):
            difference: Any = await self._client.ask_aio(
                functions.updates.GetDifferenceRequest(
                    pts=pts, date=date, qts=qts, pts_total_limit=READ_BACK_UPDATES
                )
            )
            match difference:
                case types.updates.Difference():
                    return sent_id(difference.other_updates, random_id)
                case types.updates.DifferenceSlice():
                    found = sent_id(difference.other_updates, random_id)
                    if found is not None:
                        return found
                    state: Any = difference.intermediate_state
                    pts, qts, date = state.pts, state.qts, state.date
                case _:
                    return None
        return None
