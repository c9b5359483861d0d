"""A message with files, put where a worker finds it: the files first, then one row. Or nothing at all."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, assert_never

import trio

from tgworker.app.books import Books
from tgworker.cli._attachments import LocalFile, unreadable
from tgworker.cli._errors import Failed, Usage, is_interrupt
from tgworker.cli._output import complain
from tgworker.cli._progress import Progress
from tgworker.cli._sizes import done_of
from tgworker.messaging.errors import AccountGone, StoreAway, StoreFault, StoreRefused
from tgworker.messaging.file_store import (
    BucketMissing,
    FileStore,
    Rejected,
    SizeDiffers,
    Uploaded,
    file_pieces,
)
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import Account, MessageId
from tgworker.messaging.places import Place
from tgworker.messaging.values import new_id

REMOVE_WITHIN_S: Final = 10.0
"""How long a command that failed or was interrupted tries to leave no file behind."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be sent.

    Attributes:
        to: To whom.
        caption: What stands under the files; may be empty.
        files: At least one.
        kind: What the message calls itself.
    """

    to: str
    caption: str = field(repr=False)
    files: Sequence[LocalFile]
    kind: FileKind


async def post(
    letter: Letter, account: Account, books: Books, store: FileStore, bucket: str, progress: Progress
) -> Sequence[MessageId]:
    """Put the files into the file store, and one message with them into the outbox.

    To be run where Ctrl-C comes at checkpoints alone: it then leaves neither a row nor a file, unless the row
    is being made. That is waited for.

    Args:
        letter: The message.
        account: Who sends it.
        books: Its outbox.
        store: Its files.
        bucket: Where they go, under ``{owner_id}/outgoing/``; made if it is missing.
        progress: Hears how far it is.

    Raises:
        Usage: A file cannot be read any more, or changed meanwhile.
        Failed: The file store takes no such file.
        StoreAway: One of the stores does not answer.
        StoreFault: The outbox refuses it.
        KeyboardInterrupt: Nothing is left.

    Cancellation: as Ctrl-C.
    """
    posting = _Posting(letter, account, books, store, bucket, progress)
    try:
        await posting.store_files()
        await posting.enqueue()
    except BaseException as error:
        progress.clear()
        if posting.message_ids:
            raise
        if posting.in_doubt:
            complain(
                f"nobody knows whether the message was enqueued: its files stay in the bucket "
                f"{bucket}; look at 'tgworker outbox list' before you send it again"
            )
            raise
        await posting.remove_files()
        if is_interrupt(error):
            raise KeyboardInterrupt("nothing was enqueued") from None
        raise
    progress.clear()
    return posting.message_ids


class _Posting:
    """One `post`, and how far it came.

    Attributes:
        rows: Of files that are, or may be, in the file store.
        message_ids: What was enqueued.
        in_doubt: Whether something may have been enqueued.
    """

    def __init__(
        self,
        letter: Letter,
        account: Account,
        books: Books,
        store: FileStore,
        bucket: str,
        progress: Progress,
    ) -> None:
        self.rows: list[OutgoingFile] = []
        self.message_ids: Sequence[MessageId] = ()
        self.in_doubt = False
        self._letter = letter
        self._account = account
        self._books = books
        self._store = store
        self._bucket = bucket
        self._progress = progress

    async def store_files(self) -> None:
        """Put them into the file store, one after the other."""
        await self._store.ensure_bucket(self._bucket, public=False)
        for number, file in enumerate(self._letter.files, 1):
            await self._store_file(number, file)

    async def _store_file(self, number: int, file: LocalFile) -> None:
        file_id = new_id()
        place = Place(self._bucket, f"{self._account.owner_id}/outgoing/{file_id}{file.extension}")
        self.rows.append(file.row(file_id, place.bucket, place.path))
        try:
            outcome = await self._store.upload(
                place, lambda: self._content(number, file), size=file.size, content_type=file.content_type
            )
        except StoreRefused:
            self.rows.pop()
            raise
        match outcome:
            case Uploaded():
                return
            case SizeDiffers():
                raise Usage(f"--file {file.shown} changed while it was read: send it once it is whole")
            case Rejected():
                raise Failed(f"--file {file.shown}: {outcome.reason}")
            case _:
                assert_never(outcome)

    async def _content(self, number: int, file: LocalFile) -> AsyncGenerator[bytes]:
        files = len(self._letter.files)
        which = f"{file.shown} ({number} of {files})" if files > 1 else file.shown
        done = 0
        try:
            async with aclosing(file_pieces(file.path)) as pieces:
                async for piece in pieces:
                    yield piece
                    done += len(piece)
                    self._progress.show(f"{which}: {done_of(done, file.size)} stored")
        except OSError as error:
            raise unreadable(file.shown, error) from None

    async def enqueue(self) -> None:
        """Make the row.

        In a task of its own: Ctrl-C comes to the main task, which then waits for this one.
        """
        failed: list[Exception] = []

        async def make() -> None:
            with trio.CancelScope(shield=True):
                self.in_doubt = True
                try:
                    self.message_ids = await self._books.outbox.enqueue(
                        self._account.id,
                        self._letter.to,
                        [self._letter.caption] if self._letter.caption else [],
                        files=self.rows,
                        kind=self._letter.kind,
                    )
                except (StoreFault, AccountGone, StoreRefused) as error:
                    self.in_doubt = False
                    failed.append(error)
                except Exception as error:  # noqa: BLE001 - raised below, without a group around it
                    failed.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(make)
        for error in failed:
            raise error

    async def remove_files(self) -> None:
        """Take them out again, or say which are left."""
        if not self.rows:
            return
        why = f"no answer within {REMOVE_WITHIN_S:g} s"
        with trio.move_on_after(REMOVE_WITHIN_S, shield=True):
            try:
                await self._store.delete(self._bucket, [row.path for row in self.rows])
            except BucketMissing:
                return
            except StoreAway as away:
                why = str(away)
            else:
                return
        complain(
            f"stored files could not be removed from the bucket {self._bucket} ({why}): "
            f"remove {', '.join(row.path for row in self.rows)}"
        )
