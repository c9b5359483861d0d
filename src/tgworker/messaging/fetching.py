"""Fetches files of messages that are stored, and photos of people and groups: behind everything else.

A message is there before its file is: text is never late because of a film. What is wanted stands in the
store, and is asked for when there is news, once a line is made, and when something is to be tried again.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NoReturn, TypeVar

import trio

from tgworker.messaging.bell import Bell
from tgworker.messaging.bounded import Outage
from tgworker.messaging.content_types import HEAD_BYTES, extension_of, served_type
from tgworker.messaging.downloading import download, download_to
from tgworker.messaging.errors import StoreAway, TelegramAway
from tgworker.messaging.events import FileFetched, Report
from tgworker.messaging.file_names import harmless_name
from tgworker.messaging.file_store import (
    BucketMissing,
    Content,
    FileStore,
    Rejected,
    SizeDiffers,
    Uploaded,
    file_pieces,
)
from tgworker.messaging.incoming_files import (
    Fetched,
    FetchLater,
    FetchOutcome,
    IncomingFile,
    NotFetched,
    WantedAvatar,
)
from tgworker.messaging.limits import Limits
from tgworker.messaging.media_ports import MediaConnection, MediaStore, ReferenceExpired, RemoteFile
from tgworker.messaging.media_rules import MediaRules
from tgworker.messaging.models import CHANNEL_IDS_BELOW, AccountId, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.places import Place
from tgworker.messaging.ports import Pulse
from tgworker.messaging.spool import Spool

AT_ONCE_EACH = 2
"""Files of one account on their way down at a time."""

AT_ONCE = 4
"""Of all accounts together: as many connections as there are to Storage."""

MOST_TRIES = 5
"""So often a file is tried that could not be fetched for a reason of its own."""

LOOK_AGAIN_S = 600.0
"""So often it is asked what is wanted, though nobody said that there is news."""

AVATAR_BYTES = 5_000_000
"""A photo of a person or group that is longer is none."""

PAUSE_S = 30.0
LONGEST_PAUSE_S = 3600.0
"""Between two tries, doubling."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlan:
    """Where files go that were fetched.

    Attributes:
        files: Where they are kept.
        spool: Where they are collected.
        bucket: Of files of messages.
        avatars_bucket: Of photos of people and groups.
        rules: Which are fetched.
        turns: How many of all accounts are fetched at a time.
    """

    files: FileStore
    spool: Spool
    bucket: str
    avatars_bucket: str
    rules: MediaRules
    turns: trio.CapacityLimiter


class Fetcher:
    """One line's fetching.

    Args:
        pulse: Shows the operations; the line's keepalive beats.
        account_id: Whose files they are.
        plan: Where they go.
        connection: The line.
        store: What is wanted.
        limits: The deadlines.
        outage: This fetcher's view of the stores.
        report: Hears what became of each file.
        bell: Rings when there is news.
    """

    def __init__(
        self,
        pulse: Pulse,
        *,
        account_id: AccountId,
        plan: FetchPlan,
        connection: MediaConnection,
        store: MediaStore,
        limits: Limits,
        outage: Outage,
        report: Report,
        bell: Bell,
    ) -> None:
        self._pulse = pulse
        self._account_id = account_id
        self._plan = plan
        self._connection = connection
        self._store = store
        self._limits = limits
        self._outage = outage
        self._report = report
        self._bell = bell
        self._due_s = math.inf

    async def run(self) -> NoReturn:
        """Fetch until cancelled, or until the line breaks (`TelegramAway`).

        Cancellation: what came of a file is in the spool, and the next run goes on there.
        """
        while True:
            if self._due_s <= trio.current_time():
                self._due_s = math.inf
            files = await self._ask("database.files", partial(self._store.wanted_files, self._account_id))
            await self._fetch_all(files)
            if not files and self._plan.rules.avatars:
                ask = partial(self._store.wanted_avatars, self._account_id)
                avatars = await self._ask("database.avatars", ask)
                for avatar in avatars:
                    await self._fetch_avatar(avatar)
                if avatars:
                    continue
            if not files:
                due_s = self._due_s - trio.current_time()
                await self._bell.wait(max(0.0, min(due_s, LOOK_AGAIN_S)))

    async def _ask(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._outage.insist(operation, self._limits.database_s, call)

    # ---------------------------------------------------------------- files of messages

    async def _fetch_all(self, files: Iterable[IncomingFile]) -> None:
        """Fetch files, each chat's together; raises `TelegramAway` when the line is gone."""
        lost: list[TelegramAway] = []
        mine = trio.CapacityLimiter(AT_ONCE_EACH)

        async def fetch(file: IncomingFile, remote: RemoteFile | Refused | None) -> None:
            try:
                async with mine, self._plan.turns:
                    await self._fetch(file, remote)
            except TelegramAway as away:
                lost.append(away)
                nursery.cancel_scope.cancel(reason="the line is gone")

        async with trio.open_nursery() as nursery:
            for chat_id, group in groupby(sorted(files, key=_chat), key=_chat):
                try:
                    of_chat = list(group)
                    found = await self._find(chat_id, [file.telegram_id for file in of_chat])
                except TelegramAway as away:
                    lost.append(away)
                    nursery.cancel_scope.cancel(reason="the line is gone")
                    break
                for file in of_chat:
                    if isinstance(found, FetchLater | NotFetched):
                        await self._finish(file, found)
                    else:
                        nursery.start_soon(fetch, file, found.get(file.telegram_id))
        if lost:
            raise lost[0]

    async def _find(
        self, chat_id: int, telegram_ids: Sequence[int]
    ) -> Mapping[int, RemoteFile | Refused] | FetchLater | NotFetched:
        said: Mapping[int, RemoteFile | Refused] | Deferred | Refused | None = None
        with self._pulse.deadline("telegram.messages", self._limits.send_s):
            said = await self._connection.find_files(_peer(chat_id), telegram_ids)
        match said:
            case Deferred():
                return FetchLater(said.retry_after_s, said.reason, counts=False)
            case Refused():
                return NotFetched(said.reason)
            case None:
                return FetchLater(PAUSE_S, "Telegram did not say in time where the file is", counts=False)
            case _:
                return said

    async def _fetch(self, file: IncomingFile, remote: RemoteFile | Refused | None) -> None:
        began_s = trio.current_time()
        match remote:
            case None:
                outcome: FetchOutcome = NotFetched("Telegram has the message no more")
            case Refused():
                outcome = NotFetched(remote.reason)
            case RemoteFile():
                outcome = await self._fetched(file, remote)
        outcome = _given_up(outcome, file.tries)
        await self._finish(file, outcome, began_s)

    async def _fetched(self, file: IncomingFile, remote: RemoteFile) -> FetchOutcome:
        """Fetch a file; whatever is wrong with it, or with the disk, the account's messages go on."""
        objection = self._plan.rules.objection(remote.facts)
        if objection is not None:
            return NotFetched(objection, unwanted=True)
        try:
            return await self._bring(file, remote)
        except TelegramAway:
            raise
        except OSError as error:
            return FetchLater(PAUSE_S, f"the spool cannot be written: {error.strerror}", counts=False)
        except Exception as error:  # noqa: BLE001 - a bug that this file meets; it is tried again, and given up
            return FetchLater(PAUSE_S, f"a bug, report it: {type(error).__name__}")

    async def _finish(self, file: IncomingFile, outcome: FetchOutcome, began_s: float | None = None) -> None:
        call = partial(self._store.finish_file, self._account_id, file, outcome)
        await self._ask("database.finish_file", call)
        if isinstance(outcome, FetchLater):
            self._due_s = min(self._due_s, trio.current_time() + outcome.retry_after_s)
        else:
            for path in (self._plan.spool.part, self._plan.spool.kept):
                await path(file.message_id, file.facts.size).unlink(missing_ok=True)
        took_s = 0.0 if began_s is None else trio.current_time() - began_s
        kind, word, size, reason = file.facts.kind.value, "later", 0, None
        match outcome:
            case Fetched():
                word, size = "fetched", outcome.byte_size
            case NotFetched():
                word, reason = "left", outcome.reason
            case FetchLater():
                reason = outcome.reason
        self._report(FileFetched(self._account_id, file.message_id, kind, word, size, took_s, reason))

    async def _bring(self, file: IncomingFile, remote: RemoteFile) -> FetchOutcome:
        facts = remote.facts
        path = self._plan.spool.part(file.message_id, file.facts.size)
        kept = self._plan.spool.kept(file.message_id, file.facts.size)
        if await kept.exists():  # the line broke before its row was finished
            await kept.rename(path)
        for _ in range(MOST_TRIES):
            ending = await download_to(self._pulse, remote, path, self._connection, self._limits)
            if ending is None:
                break
            if not isinstance(ending, ReferenceExpired):
                return ending
            found = await self._find(file.chat_id, [file.telegram_id])
            if isinstance(found, FetchLater | NotFetched):
                return found
            renewed = found.get(file.telegram_id)
            if not isinstance(renewed, RemoteFile):
                return NotFetched("Telegram has the message no more" if renewed is None else renewed.reason)
            remote = renewed
        else:
            return FetchLater(PAUSE_S, "its reference expired again and again")
        async with await path.open("rb") as collected:
            mime_type = served_type(facts.mime_type, await collected.read(HEAD_BYTES))
        place = Place(
            self._plan.bucket,
            f"{file.owner_id}/{self._account_id}/{file.message_id}.{extension_of(mime_type)}",
        )
        said = await self._keep(place, partial(file_pieces, Path(path)), facts.size, mime_type)
        if isinstance(said, NotFetched | FetchLater):
            return said
        await path.rename(kept)
        name = harmless_name(facts.file_name, mime_type)
        return Fetched(place.bucket, place.path, name, mime_type, facts.size)

    async def _keep(
        self, place: Place, content: Content, size: int, mime_type: str
    ) -> NotFetched | FetchLater | None:
        """Give a file to the file store; waits while that is away."""
        while True:
            try:
                said = await self._plan.files.upload(place, content, size=size, content_type=mime_type)
            except StoreAway as away:
                if isinstance(away, BucketMissing) and await self._makes(place.bucket):
                    continue
                await self._outage.wait("files.upload", away)
                continue
            self._outage.over("files.upload")
            match said:
                case Uploaded():
                    return None
                case Rejected():
                    return NotFetched(said.reason)
                case SizeDiffers():
                    return FetchLater(PAUSE_S, f"{said.came} bytes came where {said.said} were announced")

    async def _makes(self, bucket: str) -> bool:
        """Make a bucket that is missing; whether that could be done. Where not, its outage says what is."""
        try:
            await self._plan.files.ensure_bucket(bucket, public=bucket == self._plan.avatars_bucket)
        except StoreAway:
            return False
        return True

    # ---------------------------------------------------------------- photos of people and groups

    async def _fetch_avatar(self, avatar: WantedAvatar) -> None:
        place = Place(self._plan.avatars_bucket, f"{avatar.owner_id}/{avatar.chat_id}/{avatar.photo_id}.jpg")
        async with self._plan.turns:
            outcome = _given_up(await self._bring_avatar(avatar, place), avatar.tries)
        url = self._plan.files.link(place) if isinstance(outcome, Fetched) else None
        call = partial(self._store.finish_avatar, self._account_id, avatar, outcome, url=url)
        await self._ask("database.finish_avatar", call)
        if isinstance(outcome, FetchLater):
            self._due_s = min(self._due_s, trio.current_time() + outcome.retry_after_s)

    async def _bring_avatar(self, avatar: WantedAvatar, place: Place) -> FetchOutcome:
        found: RemoteFile | Deferred | Refused | None = None
        with self._pulse.deadline("telegram.avatar", self._limits.entity_s):
            found = await self._connection.find_avatar(_peer(avatar.chat_id), avatar.photo_id)
        match found:
            case None:
                return FetchLater(PAUSE_S, "Telegram did not say in time where the photo is")
            case Deferred():
                return FetchLater(found.retry_after_s, found.reason, counts=False)
            case Refused():
                return NotFetched(found.reason)
            case RemoteFile():
                pass
        photo = await download(self._pulse, found, AVATAR_BYTES, self._connection, self._limits)
        if isinstance(photo, ReferenceExpired):
            return FetchLater(PAUSE_S, "the photo was replaced")
        if not isinstance(photo, bytes):
            return photo
        mime_type = served_type("image/jpeg", photo[:HEAD_BYTES])
        said = await self._keep(place, partial(_pieces_of, photo), len(photo), mime_type)
        return said or Fetched(place.bucket, place.path, "photo.jpg", mime_type, len(photo))


async def _pieces_of(content: bytes) -> AsyncGenerator[bytes]:
    await trio.lowlevel.checkpoint()
    yield content


def _chat(file: IncomingFile) -> int:
    return file.chat_id


def _peer(chat_id: int) -> Peer:
    """A chat by its id alone: the line knows the rest."""
    if chat_id > 0:
        return Peer(chat_id, PeerKind.USER)
    return Peer(chat_id, PeerKind.CHANNEL if chat_id < CHANNEL_IDS_BELOW else PeerKind.CHAT)


def _given_up(outcome: FetchOutcome, tries: int) -> FetchOutcome:
    """What an outcome means after so many tries; pauses between them double."""
    if not isinstance(outcome, FetchLater) or not outcome.counts:
        return outcome
    if tries + 1 >= MOST_TRIES:
        return NotFetched(f"given up after {MOST_TRIES} tries: {outcome.reason}")
    return FetchLater(max(outcome.retry_after_s, min(PAUSE_S * 2.0**tries, LONGEST_PAUSE_S)), outcome.reason)
