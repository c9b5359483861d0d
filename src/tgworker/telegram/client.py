"""Telethon's client, reduced to what is wanted of it: keys, the wire, and the order of updates."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from telethon import TelegramClient, errors
from telethon._updates import SessionState
from telethon.errors import RPCError
from telethon.sessions import MemorySession
from telethon.tl import functions, types

from tgworker.messaging.errors import AccountRefused
from tgworker.telegram.invoke import invoke_aio
from tgworker.telegram.line import LineSender, connection_for
from tgworker.telegram.quiet_log import QuietLogger
from tgworker.telegram.raw_updates import RawUpdates, packet_of, too_long
from tgworker.telegram.rpc_errors import account_refusal, error_name, wait_of
from tgworker.telegram.settings import Appearance, TelegramSettings
from tgworker.telegram.update_box import ACCOUNT, RETRY_FROM_S, RETRY_MAX_S, UpdateBox

DIFFERENCE_S = 30.0
"""How long an answer to a difference may take. Telethon waits for ever, and takes nothing meanwhile."""

OF_A_CHANNEL_LEFT = (errors.ChannelPrivateError, errors.ChannelInvalidError)
"""The account is no longer in the channel: nothing is asked for there any more."""

KNOWN_CHANNELS = 50_000
"""Access hashes of channels held in memory; Telethon drops those of users at the same size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHooks:
    """What a client tells its connection. All is called from asyncio code and must not block.

    Attributes:
        on_updates_aio: Gets ``(client, updates, users, chats)`` in order; the client waits for it.
        on_lost: The line is over, and why (``None``: it was closed).
        on_refused: Telegram's final no to the account, in answer to any request.
        on_heard: Something came in.
        on_difference_delayed: Seconds until Telegram is asked again what was missed, and its error name.
        on_overflow: Packets of updates that were dropped to be asked for again.
        on_new_session: The server has forgotten the line; what was missed in logs is asked for already.
        aside: Gets each packet of updates before it is queued; whether it has taken it.
        hash_of: The stored access hash of a channel, by its bare id.
        permit: Asked before every write to the socket: whether the account is still ours.
    """

    on_updates_aio: "Callable[[AccountClient, Sequence[Any], Sequence[Any], Sequence[Any]], Awaitable[None]]"
    on_lost: Callable[[BaseException | None], None]
    on_refused: Callable[[AccountRefused], None]
    on_heard: Callable[[], None]
    on_difference_delayed: Callable[[float, str], None]
    on_overflow: Callable[[int], None]
    on_new_session: Callable[[], None] = lambda: None
    aside: Callable[[Any], bool] = lambda _packet: False
    hash_of: Callable[[int], int | None] = lambda _channel_id: None
    permit: Callable[[], bool] = lambda: True


class AccountClient(TelegramClient):  # type: ignore[misc] # Telethon has no types
    """A disposable client: one line, one attempt per request, no event handlers.

    Args:
        session: Key, server and position.
        settings: The application.
        appearance: How the account shows itself: as which device, and from where.
        hooks: Whom it tells.
        logger: What Telethon logs to.
        listens: Whether updates are wanted. Without them the account is only asked who it is.
        is_bot: Whether the account is a bot, which may not ask for its dialogs.
    """

    def __init__(
        self,
        session: MemorySession,
        settings: TelegramSettings,
        appearance: Appearance,
        hooks: ClientHooks,
        logger: QuietLogger,
        *,
        listens: bool = True,
        is_bot: bool = False,
    ) -> None:
        device = appearance.device
        proxy: Any = appearance.proxy  # handed on to what makes lines, as it is
        super().__init__(
            session,
            settings.api_id,
            settings.api_hash,
            connection=connection_for(appearance.proxy),
            proxy=proxy,
            use_ipv6=":" in str(session.server_address),  # otherwise Telethon puts its own address in place
            base_logger=logger,
            catch_up=True,
            receive_updates=listens,
            auto_reconnect=False,
            flood_sleep_threshold=0,
            entity_cache_limit=KNOWN_CHANNELS,
            device_model=device.device_model,
            system_version=device.system_version,
            app_version=device.app_version,
            lang_code=device.lang_code,
            system_lang_code=device.system_lang_code,
        )
        self._hooks = hooks
        self.permit = hooks.permit
        self._listens = listens
        self._is_bot = is_bot
        self._message_box = self.box = UpdateBox(self._log["messagebox"], hooks.hash_of)
        self._updates_queue = RawUpdates(hooks.on_overflow, hooks.aside)
        self._sender = LineSender(
            session.auth_key,
            loggers=self._log,
            updates_queue=self._updates_queue,
            on_heard=hooks.on_heard,
            on_lost=hooks.on_lost,
            permit=hooks.permit,
            on_new_session=self._on_new_session,
        )

    @property
    def server_time(self) -> int:
        """Telegram's clock, in seconds since 1970, when the last message that came in was sent."""
        seconds: int = self._sender.server_time
        return seconds

    def _on_new_session(self) -> None:
        self.catch_up_nowait()
        self._hooks.on_new_session()

    def catch_up_nowait(self, channels: Iterable[int] = ()) -> None:
        """Ask Telegram what was missed: in the account's own log, and in those of channels (bare ids)."""
        self._updates_queue.put_nowait(types.UpdatesTooLong())
        for channel_id in channels:
            self._updates_queue.put_nowait(too_long(channel_id))

    def tell_nowait(self, updates: Sequence[Any]) -> None:
        """Take updates that were made of what Telegram has answered, after all that it has pushed so far."""
        if updates:
            self._updates_queue.put_nowait(packet_of(updates))

    async def _call(
        self,
        sender: Any,
        request: Any,
        ordered: bool = False,  # noqa: ARG002, FBT # Telethon's
        flood_sleep_threshold: int | None = None,  # noqa: ARG002 # there are no sleeps
    ) -> Any:
        """Every request of Telethon's own comes here: one attempt.

        Telethon's own retries, sleeps over flood waits, and refuses later requests by its memory of them.
        """
        match request:
            case functions.updates.GetDifferenceRequest() | functions.updates.GetChannelDifferenceRequest():
                return await self._difference_aio(sender, request)
            case _:
                return await self.ask_aio(request, sender=sender)

    async def ask_aio(self, request: Any, *, sender: Any = None) -> Any:
        """One attempt of one request; see `invoke_aio`. A final no to the account is told to the hooks."""
        if not self._listens:
            request = functions.InvokeWithoutUpdatesRequest(request)
        try:
            return await invoke_aio(self._sender if sender is None else sender, request)
        except RPCError as error:
            self.hear_refusal(error)
            raise

    def hear_refusal(self, error: RPCError) -> None:
        """Tell the hooks if an answer to the account's own line was a final no to the account."""
        refusal = account_refusal(error)
        if refusal is not None:
            self._hooks.on_refused(refusal)

    async def _difference_aio(self, sender: Any, request: Any) -> Any:
        """One attempt; the box asks again at its time, and Telethon goes on with other logs meanwhile."""
        channel_id = request.channel.channel_id if hasattr(request, "channel") else None
        log = ACCOUNT if channel_id is None else int(channel_id)
        try:
            async with asyncio.timeout(DIFFERENCE_S):
                difference = await self.ask_aio(request, sender=sender)
        except TimeoutError:
            self._ask_again(log, self.box.trouble(log), f"no answer within {DIFFERENCE_S:g} s")
            raise errors.ServerError(request, "no answer") from None  # what Telethon goes on after
        except RPCError as error:
            if account_refusal(error) is None and not isinstance(error, OF_A_CHANNEL_LEFT):
                wait_s = wait_of(error)
                self._ask_again(
                    log,
                    self.box.trouble(log) if wait_s is None else wait_s,
                    error_name(error),
                    is_announced=wait_s is not None,
                )
            raise
        except errors.TypeNotFoundError:
            difference = await self._unreadable_aio(request)
        self.box.had(log)
        if isinstance(difference, types.updates.DifferenceTooLong | types.updates.ChannelDifferenceTooLong):
            self.box.missed.append(log)
        return difference

    async def _unreadable_aio(self, request: Any) -> Any:
        """What stands for a difference with something in it that this Telethon cannot read.

        To ask again would bring the same again, for ever; so it is passed over like one that is too long.

        Raises:
            TypeNotFoundError: It cannot be passed over either: this ends the line.
        """
        if isinstance(request, functions.updates.GetDifferenceRequest):
            state: Any = await self.ask_patiently_aio(functions.updates.GetStateRequest())
            return types.updates.DifferenceTooLong(state.pts)
        channel: Any = request.channel
        if self._is_bot:
            whole: Any = await self.ask_patiently_aio(functions.channels.GetFullChannelRequest(channel))
            dialog = _dialog_at(channel.channel_id, whole.full_chat.pts)
            return types.updates.ChannelDifferenceTooLong(dialog, [], whole.chats, whole.users, final=True)
        peer = types.InputDialogPeer(types.InputPeerChannel(channel.channel_id, channel.access_hash))
        found: Any = await self.ask_patiently_aio(functions.messages.GetPeerDialogsRequest([peer]))
        return types.updates.ChannelDifferenceTooLong(
            found.dialogs[0], [], found.chats, found.users, final=True
        )

    def _ask_again(self, log: int, wait_s: float, reason: str, *, is_announced: bool = False) -> None:
        self.box.ask_again(log, wait_s, is_announced=is_announced)
        self._hooks.on_difference_delayed(wait_s, reason)

    async def _on_login(self, user: Any) -> Any:
        """Start an account that has no position from the server's current state.

        Telethon's own also asks for the difference from there and throws it away, and with it whatever came
        in between the two requests. Here the update loop asks for it, and nothing is thrown away.
        """
        # Not as a bot: Telethon would ask for 100,000 updates of a channel in one piece, and nothing here
        # is made for that.
        self._mb_entity_cache.set_self_user(user.id, False, user.access_hash)
        self._authorized = True
        if not self._listens:
            return user
        self.box.is_fresh = True
        state: Any = await self(functions.updates.GetStateRequest())
        self._message_box.load(
            SessionState(0, 0, False, state.pts, state.qts, int(state.date.timestamp()), state.seq, None), []
        )
        await self._hooks.on_updates_aio(self, (), (), ())
        return user

    async def ask_patiently_aio(self, request: Any) -> Any:
        """One request, again and again until Telegram answers it: for what must be known to go on.

        Raises:
            LineLost: The line broke.
            RPCError: Telegram's final no to the account.
        """
        pause_s = RETRY_FROM_S
        while True:
            try:
                async with asyncio.timeout(DIFFERENCE_S):
                    return await self.ask_aio(request)
            except TimeoutError:
                wait_s, reason = None, f"no answer within {DIFFERENCE_S:g} s"
            except RPCError as error:
                if account_refusal(error) is not None:
                    raise
                wait_s, reason = wait_of(error), error_name(error)
            if wait_s is None:
                wait_s, pause_s = pause_s, min(2 * pause_s, RETRY_MAX_S)
            self._hooks.on_difference_delayed(wait_s, reason)
            await asyncio.sleep(wait_s)

    async def _preprocess_updates(
        self, updates: Sequence[Any], users: Sequence[Any], chats: Sequence[Any]
    ) -> Sequence[Any]:
        """The seam: batches in order, the message box standing after this one. Nothing is left over."""
        self._mb_entity_cache.extend(users, chats)
        await self._hooks.on_updates_aio(self, updates, users, chats)
        return ()

    async def _update_loop(self) -> None:
        if self._listens:
            await super()._update_loop()
        else:
            await asyncio.get_running_loop().create_future()  # until it is cancelled

    async def _keepalive_loop(self) -> None:
        """Nothing: Telethon's own pings would reconnect by themselves, or notice a dead line after 120 s."""

    async def _save_states_and_entities(self) -> None:
        """Nothing: positions are stored with the messages before them."""

    async def disconnect(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] # awaited by Telethon
        """What Telethon calls after a fatal error in its update loop: end the line with that error."""
        self._sender.lose(self._updates_error)


def _dialog_at(channel_id: int, pts: int) -> Any:
    """A dialog that says where a channel's log stands, and nothing else."""
    return types.Dialog(
        types.PeerChannel(channel_id),
        top_message=0,
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
        pts=pts,
    )
