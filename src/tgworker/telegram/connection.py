"""One account's line to Telegram, as trio code sees it."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any, TypeVar

import trio
from telethon.errors import BadMessageError, RPCError, TypeNotFoundError
from telethon.tl import functions, types

from tgworker.messaging.account_kinds import Ability, AccountKind, lack, mismatch
from tgworker.messaging.errors import AccountRefused, TelegramAway, TelegramFloods
from tgworker.messaging.formatted import Entity, FormattedText
from tgworker.messaging.hearing import Heard, Told
from tgworker.messaging.job_outcomes import JobAnswer
from tgworker.messaging.media import PartialUpload
from tgworker.messaging.media_ports import MediaMessage, PartsForgotten, RemoteFile
from tgworker.messaging.models import (
    AccountId,
    AccountState,
    ChatList,
    HistoryPage,
    Look,
    Met,
    Peer,
    PeerKind,
    Position,
    Secret,
)
from tgworker.messaging.outcomes import Deferred, NotYetAllowed, Outcome, Refused, Unknown
from tgworker.messaging.presence import Presence
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.telegram.books import LineLost
from tgworker.telegram.client import AccountClient, ClientHooks
from tgworker.telegram.closing import hard_close_aio, sever
from tgworker.telegram.comparing import Comparison
from tgworker.telegram.doubts import KeyDoubts
from tgworker.telegram.downloading import LineDownload
from tgworker.telegram.equipment import Equipment
from tgworker.telegram.events import (
    CloseWedged,
    DifferenceDelayed,
    Observer,
    TelethonWarned,
    UpdatesOverflowed,
    UpdatesSkipped,
)
from tgworker.telegram.evidence import asyncio_stacks
from tgworker.telegram.history import Histories
from tgworker.telegram.inbox import Inbox
from tgworker.telegram.intake import Intake
from tgworker.telegram.limits import REFRESH_S, LimitsQuestion, TextLimits
from tgworker.telegram.line_errors import OF_THE_LINE, in_words, is_key_unknown, is_transport_flood
from tgworker.telegram.line_statistics import LineStatistics
from tgworker.telegram.looking import look_aio
from tgworker.telegram.loop_watch import watch_loops
from tgworker.telegram.loss import CLOSED, FLOODED, KEY_DOUBTED, Loss
from tgworker.telegram.markup import entities_for
from tgworker.telegram.media_line import MediaLine
from tgworker.telegram.message_jobs import JobLine
from tgworker.telegram.missed_reactions import MissedReactions
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import CHANNEL_MARK, input_user, peer_of
from tgworker.telegram.presence import presence_of, presence_only
from tgworker.telegram.proxies import PROXIED_WITHIN_S
from tgworker.telegram.proxy_blame import blaming
from tgworker.telegram.quiet_log import QuietLogger
from tgworker.telegram.renaming import Renaming
from tgworker.telegram.resolving import Resolver
from tgworker.telegram.rpc_errors import KEY_NOT_FOUND, error_name
from tgworker.telegram.sending import Sender
from tgworker.telegram.session import AccountSession
from tgworker.telegram.settings import Appearance, TelegramSettings
from tgworker.telegram.statuses import Statuses
from tgworker.telegram.takeouts import Takeouts
from tgworker.telegram.update_box import ACCOUNT
from tgworker.telegram.uploading import LineUpload

T = TypeVar("T")

CLOSE_PATIENCE_S = 1.0
"""How long the tasks of a closed connection have to die. They take milliseconds."""


class TelethonConnection:
    """Fills `tgworker.messaging.ports.Connection`. Made by `TelethonTelegram.open`, never by hand.

    Args:
        account_id: Whose connection it is, for events.
        session: The account's StringSession.
        settings: The application.
        appearance: How the account shows itself: as which device, and from where.
        loop: The account's own asyncio loop.
        observer: Gets what happens.
        doubts: Keys that Telegram did not know the last time.
        listens: Whether updates are wanted.
        permit: Whether the account is still ours: asked before every write to the socket.
        kind: What the account is; ``None``: whatever the session turns out to be.
    """

    def __init__(
        self,
        account_id: AccountId,
        session: Secret,
        settings: TelegramSettings,
        appearance: Appearance,
        *,
        loop: Any,
        observer: Observer,
        doubts: KeyDoubts,
        listens: bool,
        permit: Callable[[], bool] = lambda: True,
        kind: AccountKind | None = None,
    ) -> None:
        self._account_id = account_id
        self._session = session
        self._settings = settings
        self._appearance = appearance
        self._loop = loop
        self._observer = observer
        self._doubts = doubts
        self._listens = listens
        self._permit = permit
        self._row_kind = kind
        self._kind = kind or AccountKind.USER
        self._inbox = Inbox()
        self._book = PeerBook()
        self._hear: Callable[[Presence], None] = lambda _presence: None
        self._renaming = Renaming(self._inbox, self._book)
        self._missed_reactions = MissedReactions(self._inbox, self._book)
        self._statuses = Statuses(self._on_presence)
        self._client: AccountClient | None = None
        self._equipment: Equipment | None = None
        self._intake = Intake(
            self._inbox,
            self._book,
            self._renaming,
            lambda chats, private: self._observer(UpdatesSkipped(account_id, chats, private)),
            self._on_presence,
        )
        self._limits = TextLimits()
        self._is_premium = False
        self._self_id = 0
        self._key: tuple[AccountId, int] | None = None
        self._loss = Loss(self._kind)
        self._closed = False
        self._last_heard_at = trio.current_time()

    # ------------------------------------------------ the port

    async def connect(self, position: Position | None, peers: Sequence[Peer]) -> Peer:
        """See the port. A second call raises `TelegramAway`: a connection connects once."""
        if self._client is not None:
            raise TelegramAway("a connection connects once: open a new one")
        proxy = self._appearance.proxy
        if proxy is None:
            return await self._cross(self._connect_aio, position, peers)
        with blaming(proxy), trio.move_on_after(PROXIED_WITHIN_S):
            return await self._cross(self._connect_aio, position, peers)
        raise TelegramAway(f"{proxy} gave us no line to Telegram within {PROXIED_WITHIN_S:g} s")

    async def send_text(
        self, peer: Peer, text: str, *, random_id: int, entities: Sequence[Entity] = ()
    ) -> Outcome:
        """See the port. `Released` where the line was gone before any byte of the message left."""
        try:
            return await self._cross(self._send_text_aio, peer, text, random_id, entities)
        except TelegramAway as away:
            return Unknown(str(away))

    async def look_for(
        self, peer: Peer, text: str, *, above: int, entities: Sequence[Entity] = ()
    ) -> Look | Deferred | Refused:
        """See the port."""
        if (cannot := self._lacks(Ability.READ_HISTORY)) is not None:
            return cannot
        return await self._cross(self._look_for_aio, peer, text, above, entities)

    def upload(self, file: PartialUpload) -> LineUpload:
        """See the port. Raises `TelegramAway` where there is no line."""
        return self._ready().media.upload(file)

    async def send_media(self, peer: Peer, messages: Sequence[MediaMessage]) -> Outcome | PartsForgotten:
        """See the port."""
        try:
            return await self._cross(self._send_media_aio, peer, messages)
        except TelegramAway as away:
            return Unknown(str(away))

    async def look_for_media(
        self, peer: Peer, messages: Sequence[MediaMessage], *, above: int
    ) -> Look | Deferred | Refused:
        """See the port."""
        if (cannot := self._lacks(Ability.READ_HISTORY)) is not None:
            return cannot
        return await self._cross(self._ready().media.look_aio, peer, messages, above)

    async def find_files(
        self, peer: Peer, telegram_ids: Sequence[int]
    ) -> Mapping[int, RemoteFile | Refused] | Deferred | Refused:
        """See the port."""
        return await self._cross(self._ready().media.find_aio, peer, telegram_ids)

    async def find_avatar(self, peer: Peer, photo_id: int) -> RemoteFile | Deferred | Refused:
        """See the port."""
        return await self._cross(self._ready().media.avatar_aio, peer, photo_id)

    def download(self, file: RemoteFile, *, begin: int = 0) -> AbstractAsyncContextManager[LineDownload]:
        """See the port."""
        return self._ready().media.download(file, begin)

    async def edit(self, peer: Peer, telegram_id: int, text: FormattedText) -> JobAnswer:
        """See the port."""
        entities = entities_for(text.entities, self._input_user)
        return await self._cross(self._ready().jobs.edit_aio, peer, telegram_id, text, entities)

    async def delete(self, peer: Peer, telegram_ids: Sequence[int], *, for_both: bool) -> JobAnswer:
        """See the port."""
        return await self._cross(self._ready().jobs.delete_aio, peer, telegram_ids, for_both)

    async def mark_read(self, peer: Peer, *, up_to: int) -> JobAnswer:
        """See the port."""
        if (cannot := self._lacks(Ability.MARK_READ)) is not None:
            return cannot
        return await self._cross(self._ready().jobs.mark_read_aio, peer, up_to)

    async def set_typing(self, peer: Peer) -> JobAnswer:
        """See the port."""
        return await self._cross(self._ready().jobs.set_typing_aio, peer)

    async def react(self, peer: Peer, telegram_id: int, emoji: str | None) -> JobAnswer:
        """See the port."""
        return await self._cross(self._ready().jobs.react_aio, peer, telegram_id, emoji)

    async def pin(
        self, peer: Peer, telegram_id: int, *, pinned: bool, notify: bool, for_both: bool
    ) -> JobAnswer:
        """See the port."""
        cannot = self._lacks(Ability.PIN_FOR_ITSELF)
        if cannot is not None and peer.kind is PeerKind.USER and not for_both:
            return cannot
        return await self._cross(self._ready().jobs.pin_aio, peer, telegram_id, pinned, notify, for_both)

    async def forward(
        self, peer: Peer, telegram_ids: Sequence[int], to: Peer, random_ids: Sequence[int]
    ) -> JobAnswer:
        """See the port."""
        return await self._cross(self._ready().jobs.forward_aio, peer, telegram_ids, to, random_ids)

    async def history(
        self, peer: Peer, *, below: int, limit: int, ahead: int = 0, takeout: int | None = None
    ) -> HistoryPage | Refused | Deferred:
        """See the port."""
        if (cannot := self._lacks(Ability.READ_HISTORY)) is not None:
            return cannot
        return await self._cross(self._ready().histories.page_aio, peer, below, limit, ahead, takeout)

    async def open_takeout(self) -> int | NotYetAllowed | Refused | Deferred:
        """See the port."""
        if (cannot := self._lacks(Ability.READ_HISTORY)) is not None:
            return cannot
        return await self._cross(self._ready().takeouts.open_aio)

    async def close_takeout(self, takeout: int, *, success: bool) -> Refused | Deferred | None:
        """See the port."""
        return await self._cross(self._ready().takeouts.close_aio, takeout, success)

    async def chats(self, cursor: str | None, *, takeout: int | None = None) -> ChatList | Refused | Deferred:
        """See the port."""
        if (cannot := self._lacks(Ability.READ_HISTORY)) is not None:
            return cannot
        return await self._cross(self._ready().takeouts.chats_aio, cursor, takeout)

    async def resolve(self, to: str) -> Peer | Refused | Deferred:
        """See the port. Ids are looked for among known peers, then contacts, then dialogs.

        Bots have neither contacts nor dialogs: they know whom updates have brought.
        """
        return await self._cross(self._ready().resolver.resolve_aio, to)

    async def meet(self, seen: int) -> Met | Refused | Deferred:
        """See the port."""
        return await self._cross(self._ready().resolver.meet_aio, seen)

    @property
    def kind(self) -> AccountKind:
        """What the account is, as Telegram says once it is connected."""
        return self._kind

    async def ping(self) -> None:
        """See the port."""
        await self._cross(self._ping_aio)

    @property
    def text_limit(self) -> int:
        """See the port. Read with the connecting, and every `REFRESH_S`."""
        return self._limits.text

    @property
    def caption_limit(self) -> int:
        """See the port. Read with `text_limit`."""
        return self._limits.caption

    async def compare(self) -> Told:
        """See the port."""
        return await self._cross(self._ready().comparison.ask_aio)

    def heard(self) -> Heard:
        """See the port."""
        if self._equipment is None:
            return Heard({})
        return self._equipment.comparison.heard(self._loop.time())

    def catch_up(self, logs: Collection[int]) -> None:
        """See the port."""
        if self._client is not None and not self._closed:
            self._client.catch_up_nowait(log for log in logs if log != ACCOUNT)

    @property
    def updates(self) -> trio.MemoryReceiveChannel[UpdateBatch]:
        """See the port. It ends when the connection is closed, not when the line is lost."""
        return self._inbox.updates

    def hear_presence(self, hear: Callable[[Presence], None]) -> None:
        """See the port."""
        self._hear = hear
        self._want_statuses()

    @property
    def last_heard_at(self) -> float:
        """See the port."""
        return self._last_heard_at

    async def wait_lost(self) -> str:
        """See the port."""
        return await self._loss.wait()

    # ------------------------------------------------ beyond the port

    async def log_out(self) -> None:
        """End the session at Telegram; the line is of no more use then. Raises `TelegramAway`."""
        await self._cross(self._ready().client.ask_aio, functions.auth.LogOutRequest())

    def stacks(self) -> str:
        """What the connection's asyncio tasks wait for right now: evidence for a hang."""
        return asyncio_stacks(self._loop)

    def statistics(self) -> LineStatistics:
        """What the line holds in memory right now."""
        if self._client is None:
            return LineStatistics(0, 0, self._inbox.size, len(self._book))
        packets = self._client._updates_queue.qsize()
        return LineStatistics(packets, self._client.box.held(), self._inbox.size, len(self._book))

    async def run(self) -> None:
        """Hand on what arrives, and keep up with names and the server's limits, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._inbox.run)
            nursery.start_soon(self._renaming.run, partial(self._cross, self._ask_names_aio))
            ask = partial(self._cross, self._ask_reactions_aio)
            nursery.start_soon(self._missed_reactions.run, ask)
            nursery.start_soon(self._statuses.run, partial(self._cross, self._ask_statuses_aio))
            while True:
                await trio.sleep(REFRESH_S)
                with suppress(TelegramAway):
                    await self._cross(self._refresh_limits_aio)

    async def aclose(self) -> None:
        """Get rid of everything at once, in any state. Shielded: it takes milliseconds."""
        self._closed = True
        self._loss.say(CLOSED)
        if self._client is None:
            return
        wedged: tuple[str, ...] = ()
        with trio.CancelScope(shield=True):
            wedged = await self._loop.run_aio_coroutine(
                hard_close_aio(self._client, patience_s=CLOSE_PATIENCE_S)
            )
        if wedged:
            self._observer(CloseWedged(self._account_id, wedged))

    # ------------------------------------------------ over the bridge

    async def _cross(self, function_aio: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run an asyncio function in the account's loop; a line that is gone is `TelegramAway`.

        Cancellation reaches the function in the same step, and this returns when the function has.
        """
        if self._closed:
            raise TelegramAway(CLOSED)
        try:
            result: T = await self._loop.run_aio_coroutine(function_aio(*args))
        except asyncio.CancelledError:  # a BaseException, in a task that nobody cancelled: close() did
            raise TelegramAway(CLOSED) from None
        except LineLost as error:
            raise TelegramAway(self._loss.reason or str(error)) from None
        except RPCError as error:
            raise TelegramAway(error_name(error)) from None
        except (BadMessageError, TypeNotFoundError) as error:
            raise TelegramAway(in_words(error)) from None
        return result

    def _lacks(self, ability: Ability) -> Refused | None:
        """The answer in Telegram's place to what this kind of account cannot do."""
        reason = lack(self._kind, ability)
        return None if reason is None else Refused(reason)

    def _can(self, ability: Ability) -> bool:
        return lack(self._kind, ability) is None

    def _ready(self) -> Equipment:
        if self._equipment is None:
            raise TelegramAway("not connected")
        return self._equipment

    async def _connect_aio(self, position: Position | None, peers: Sequence[Peer]) -> Peer:
        self._book.learn(peers)
        session = AccountSession(self._session, self._settings.server, position, peers)
        self._key = (self._account_id, session.key_id)
        client = AccountClient(
            session,
            self._settings,
            self._appearance,
            ClientHooks(
                on_updates_aio=self._intake.take_aio,
                on_lost=self._on_lost,
                on_refused=self._loss.say,
                on_heard=self._on_heard,
                on_difference_delayed=lambda s, name: self._observer(
                    DifferenceDelayed(self._account_id, s, name)
                ),
                on_overflow=lambda dropped: self._observer(UpdatesOverflowed(self._account_id, dropped)),
                on_new_session=self._want_statuses,
                aside=self._on_packet,
                hash_of=self._hash_of,
                permit=self._permit,
            ),
            QuietLogger(
                lambda level, text, error: self._observer(
                    TelethonWarned(self._account_id, level, text, error)
                )
            ),
            listens=self._listens,
            is_bot=self._kind is AccountKind.BOT,
        )
        self._client = client
        question: LimitsQuestion | None = None
        try:
            await client.connect()
            watch_loops(client, self._loss.say)
            if self._listens:
                question = self._limits_question(client)
            (user,) = await client.ask_aio(functions.users.GetUsersRequest([types.InputUserSelf()]))
            self._is_premium = bool(getattr(user, "premium", False))
            if question is not None:
                self._limits = await question.answer_aio(self._limits, premium=self._is_premium)
        except BaseException as error:
            self._loss.explain(error)
            if question is not None:
                question.forget()
            sever(client)  # cancelled or failed: a half-made client is worth nothing, and must not linger
            if not isinstance(error, OF_THE_LINE):
                raise
            raise self._loss.error() from None
        me = peer_of(user)
        if me is None:
            sever(client)
            raise TelegramAway("Telegram did not say whose session this is")
        self._recognise(client, is_bot=bool(getattr(user, "bot", False)))
        self._self_id = me.chat_id
        self._doubts.clear(self._key)
        self._book.learn([me])
        sender = Sender(client)
        self._equipment = Equipment(
            client=client,
            sender=sender,
            resolver=Resolver(client, self._book, self._kind),
            comparison=Comparison(
                client,
                self._book,
                self._inbox,
                self._missed_reactions,
                can_list=self._can(Ability.LIST_CHATS),
            ),
            jobs=JobLine(client),
            histories=Histories(client, self._book, me.chat_id),
            takeouts=Takeouts(client, self._book),
            media=MediaLine(
                client,
                sender,
                cross=self._cross,
                peer=lambda peer: self._book.get(peer.chat_id) or peer,
                entities=lambda text: entities_for(text.entities, self._input_user),
            ),
        )
        self._intake.identify(me.chat_id, sender.learn)
        return me

    def _recognise(self, client: AccountClient, *, is_bot: bool) -> None:
        """Take in what the session is; raises where the row says that it is something else."""
        self._kind = AccountKind.BOT if is_bot else AccountKind.USER
        wrong = None if self._row_kind is None else mismatch(self._row_kind, self._kind)
        if wrong is not None:
            self._loss.say(AccountRefused(AccountState.NEEDS_LOGIN, wrong))
            sever(client)
            raise self._loss.error()

    def _limits_question(self, client: AccountClient) -> LimitsQuestion:
        return LimitsQuestion(client._sender, app_config=self._can(Ability.READ_APP_CONFIG))

    async def _send_text_aio(
        self, peer: Peer, text: str, random_id: int, entities: Sequence[Entity]
    ) -> Outcome:
        line = self._ready()
        entities_of_text = entities_for(entities, self._input_user)
        return await line.sender.send_text_aio(
            peer, text, random_id, line.log_at(), entities=entities_of_text
        )

    async def _send_media_aio(self, peer: Peer, messages: Sequence[MediaMessage]) -> Outcome | PartsForgotten:
        line = self._ready()
        return await line.media.send_aio(peer, messages, line.log_at())

    async def _look_for_aio(
        self, peer: Peer, text: str, above: int, entities: Sequence[Entity]
    ) -> Look | Deferred | Refused:
        return await look_aio(
            self._ready().client, peer, text, entities_for(entities, self._input_user), above
        )

    def _input_user(self, user_id: int) -> Any | None:
        peer = self._book.get(user_id)
        return None if peer is None else input_user(peer)

    async def _refresh_limits_aio(self) -> None:
        question = self._limits_question(self._ready().client)
        self._limits = await question.answer_aio(self._limits, premium=self._is_premium)

    async def _ask_names_aio(self, peers: Sequence[Peer]) -> None:
        await self._renaming.ask_aio(self._ready().client, peers)

    async def _ask_reactions_aio(self, chat_id: int) -> float:
        return await self._missed_reactions.ask_aio(self._ready().client, self._self_id, chat_id)

    async def _ask_statuses_aio(self) -> float | None:
        return await self._statuses.ask_aio(self._ready().client)

    async def _ping_aio(self) -> None:
        await self._ready().client._sender.ping()

    # ------------------------------------------------ what the client tells

    def _hash_of(self, channel_id: int) -> int | None:
        peer = self._book.get(-channel_id - CHANNEL_MARK)
        return None if peer is None else peer.access_hash

    def _on_packet(self, packet: Any) -> bool:
        told = presence_only(packet)
        if told is None:
            return False
        updates, sent_at = told
        for update in updates:
            if (presence := presence_of(update, sent_at)) is not None:
                self._on_presence(presence)
        return True

    def _on_presence(self, presence: Presence) -> None:
        if presence.chat_id in self._book and presence.chat_id != self._self_id:
            self._hear(presence)

    def _want_statuses(self) -> None:
        if self._listens and self._can(Ability.SEE_PRESENCE):
            self._statuses.want()

    def _on_heard(self) -> None:
        self._last_heard_at = trio.current_time()

    def _on_lost(self, error: BaseException | None) -> None:
        if is_key_unknown(error):
            if self._doubts.confirms(self._key):
                self._loss.say(AccountRefused(AccountState.NEEDS_LOGIN, KEY_NOT_FOUND))
            else:
                self._loss.say(KEY_DOUBTED)
        elif is_transport_flood(error):
            self._loss.say(TelegramFloods(FLOODED))
        else:
            self._loss.say(CLOSED if error is None else in_words(error))
