"""What message jobs ask of Telegram, each as one raw request."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from telethon.errors import RPCError
from telethon.tl import functions, types

from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.job_outcomes import Done, JobAnswer
from tgworker.messaging.models import Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused, Unknown
from tgworker.messaging.pacing import STRANGERS_S
from tgworker.telegram.client import AccountClient
from tgworker.telegram.peers import bare_id, input_peer
from tgworker.telegram.rpc_errors import (
    PEER_FLOOD,
    RANDOM_ID_DUPLICATE,
    account_refusal,
    error_name,
    held_up_by,
    is_passing,
    wait_of,
)

AT_ONCE = 100
"""Messages in one request to delete them."""

CUSTOM = "custom:"

ALREADY: Final = frozenset({"MESSAGE_NOT_MODIFIED", "CHAT_NOT_MODIFIED", RANDOM_ID_DUPLICATE})
"""Errors that say that it is so already: what a repeat hopes for."""

REMEDIES: Final[Mapping[str, str]] = {
    "MESSAGE_EDIT_TIME_EXPIRED": "Telegram lets a message be edited for 48 hours: send another one",
    "MESSAGE_AUTHOR_REQUIRED": "only who wrote a message may edit it",
    "MESSAGE_ID_INVALID": "Telegram has no such message: somebody has deleted it",
    "MSG_ID_INVALID": "Telegram has no such message: somebody has deleted it",
    "MESSAGE_DELETE_FORBIDDEN": "only an admin may delete messages of others for everybody: ask one",
    "CHAT_ADMIN_REQUIRED": "only an admin of the group may do that: ask one",
    "CHAT_WRITE_FORBIDDEN": "the account may not write there",
    "CHAT_FORWARDS_RESTRICTED": "its messages may not be forwarded: send the text anew",
    "CHANNEL_PRIVATE": "the account is no longer a member there",
    "USER_BANNED_IN_CHANNEL": "the account may not write in groups now: ask @SpamBot",
    "PEER_ID_INVALID": "the account does not know this chat: let it be written to from there first",
    "REACTION_INVALID": "this chat does not take that reaction: choose another",
    "REACTIONS_TOO_MANY": "the message has as many kinds of reactions as it takes: choose one of them",
    "PREMIUM_ACCOUNT_REQUIRED": "only accounts with Premium may do that",
    "MESSAGE_TOO_LONG": "shorten the text",
    "MEDIA_CAPTION_TOO_LONG": "shorten the caption",
    "MESSAGE_EMPTY": "the text is empty: delete the message instead",
    "PIN_RESTRICTED": "the account may not pin messages there",
}
"""What a person can do about a final no."""

ONLY_FOR_ALL: Final = Refused(
    'in a channel or supergroup a message is deleted for everybody or not at all: {"revoke": true}'
)


def job_outcome(error: RPCError) -> JobAnswer:
    """What became of a job that Telegram answered with an error.

    Raises:
        RPCError: The same one, where it is a final no to the account.
    """
    name = error_name(error)
    if name in ALREADY:
        return Done()
    seconds = wait_of(error)
    if seconds is not None:
        return Deferred(seconds, name, held_up_by(error))
    if name == PEER_FLOOD:
        return Deferred(STRANGERS_S, name, HoldsUp.STRANGERS)
    if account_refusal(error) is not None:
        raise error
    if is_passing(error):
        return Unknown(name)
    remedy = REMEDIES.get(name)
    return Refused(name if remedy is None else f"{name}: {remedy}")


class JobLine:
    """Asks on one line; see `tgworker.messaging.job_ports.JobConnection`.

    Every method may raise `LineLost`, and `RPCError` where the account itself was refused.

    Args:
        client: A connected client.
    """

    def __init__(self, client: AccountClient) -> None:
        self._client = client

    async def edit_aio(
        self, peer: Peer, telegram_id: int, text: FormattedText, entities: Sequence[Any]
    ) -> JobAnswer:
        """See the port; ``entities`` are the formatting as Telegram's objects."""
        request = functions.messages.EditMessageRequest(
            input_peer(peer), telegram_id, message=text.text, entities=list(entities) or None
        )
        return await self._ask_aio(request)

    async def delete_aio(self, peer: Peer, telegram_ids: Sequence[int], for_both: bool) -> JobAnswer:
        """See the port."""
        if peer.kind is PeerKind.CHANNEL and not for_both:
            return ONLY_FOR_ALL
        for start in range(0, len(telegram_ids), AT_ONCE):
            some = list(telegram_ids[start : start + AT_ONCE])
            request: Any = functions.messages.DeleteMessagesRequest(some, revoke=for_both or None)
            if peer.kind is PeerKind.CHANNEL:
                request = functions.channels.DeleteMessagesRequest(_channel(peer), some)
            answer = await self._ask_aio(request)
            if not isinstance(answer, Done):
                return answer
        return Done()

    async def mark_read_aio(self, peer: Peer, up_to: int) -> JobAnswer:
        """See the port."""
        request: Any = functions.messages.ReadHistoryRequest(input_peer(peer), up_to)
        if peer.kind is PeerKind.CHANNEL:
            request = functions.channels.ReadHistoryRequest(_channel(peer), up_to)
        return await self._ask_aio(request)

    async def set_typing_aio(self, peer: Peer) -> JobAnswer:
        """See the port."""
        typing = types.SendMessageTypingAction()
        return await self._ask_aio(functions.messages.SetTypingRequest(input_peer(peer), typing))

    async def react_aio(self, peer: Peer, telegram_id: int, emoji: str | None) -> JobAnswer:
        """See the port."""
        reaction: list[Any] = []
        if emoji is not None and emoji.startswith(CUSTOM):
            reaction = [types.ReactionCustomEmoji(int(emoji.removeprefix(CUSTOM)))]
        elif emoji is not None:
            reaction = [types.ReactionEmoji(emoji)]
        return await self._ask_aio(
            functions.messages.SendReactionRequest(input_peer(peer), telegram_id, reaction=reaction)
        )

    async def pin_aio(
        self,
        peer: Peer,
        telegram_id: int,
        pinned: bool,
        notify: bool,
        for_both: bool,
    ) -> JobAnswer:
        """See the port."""
        request = functions.messages.UpdatePinnedMessageRequest(
            input_peer(peer),
            telegram_id,
            silent=not notify or None,
            unpin=not pinned or None,
            pm_oneside=(peer.kind is PeerKind.USER and not for_both) or None,
        )
        return await self._ask_aio(request)

    async def forward_aio(
        self, peer: Peer, telegram_ids: Sequence[int], to: Peer, random_ids: Sequence[int]
    ) -> JobAnswer:
        """See the port."""
        request = functions.messages.ForwardMessagesRequest(
            input_peer(peer), list(telegram_ids), input_peer(to), random_id=list(random_ids)
        )
        return await self._ask_aio(request)

    async def _ask_aio(self, request: Any) -> JobAnswer:
        try:
            await self._client.ask_aio(request)
        except RPCError as error:
            return job_outcome(error)
        return Done()


def _channel(peer: Peer) -> Any:
    return types.InputChannel(bare_id(peer.chat_id), peer.access_hash or 0)
