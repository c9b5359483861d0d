"""The demo's files: a photo, a voice note and an album each way, and what both sides hold of them."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Final

import trio

from tgworker.cli.demo.ground import Ground, KeptFile
from tgworker.cli.demo.parcels import Delivery, Found, Wanted, deliver, digest, picture
from tgworker.messaging.file_store import ObjectMissing, Uploaded
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import AccountId
from tgworker.messaging.places import Place
from tgworker.messaging.values import new_id
from tgworker.sandbox import PhoneFile, Sandbox, SandboxError, SandboxUser

BUCKET: Final = "attachments"
LOOK_EVERY_S: Final = 0.05
OUT_SHADES: Final = (10, 20, 30, 40)
IN_SHADES: Final = (110, 120, 130, 140)
"""The photo, then the album's three."""


class Courier:
    """Sends files between an account of the worker and somebody with a phone, and counts them on both sides.

    Args:
        sandbox: Where the phone is.
        ground: The store, and the files beside it.
        account_id: The account's row.
        user: Its user at the sandbox.
        friend: Who has the phone; the two write each other nothing else.
    """

    def __init__(
        self, sandbox: Sandbox, ground: Ground, account_id: AccountId, user: SandboxUser, friend: SandboxUser
    ) -> None:
        self.friend = friend
        self._sandbox = sandbox
        self._ground = ground
        self._account_id = account_id
        self._user = user
        self._outbound: list[Wanted] = []
        self._inbound: list[Wanted] = []

    async def send_all(self) -> str:
        """Store the files and insert three rows, as the application does; wait until they have arrived.

        Returns:
            What can be said of that. It never returns where something is wrong.

        Raises:
            StoreAway: The store does not answer; some may be given then.
        """
        from tgworker.cli.demo.recording import SECONDS, record

        photo, *album = (picture(shade) for shade in OUT_SHADES)
        note = await trio.to_thread.run_sync(record, "webm")
        await self._ground.opened.files.ensure_bucket(BUCKET, public=False)
        await self._give(FileKind.PHOTO, "a photo", [("photo.png", "image/png", photo)])
        await self._give(FileKind.VOICE, "", [("note.webm", "audio/webm", note)], seconds=SECONDS)
        pictures = [(f"album-{number}.png", "image/png", data) for number, data in enumerate(album, 1)]
        await self._give(FileKind.PHOTO, "an album", pictures)
        while True:
            if self.delivered().clean:
                return (
                    f"{len(self._outbound) - 1} pictures byte for byte, in order;"
                    " a WebM recording as a voice note in OGG/Opus, every page of it whole"
                )
            await trio.sleep(LOOK_EVERY_S)

    async def _give(
        self,
        kind: FileKind,
        caption: str,
        files: Sequence[tuple[str, str, bytes]],
        *,
        seconds: float | None = None,
    ) -> None:
        for number, (_, _, data) in enumerate(files):
            converted = seconds is not None
            self._outbound.append(
                Wanted(
                    kind.value,
                    "" if number else caption,
                    None if converted else digest(data),
                    seconds,
                    album=len(files) > 1,
                )
            )
        rows = [await self._store(*file) for file in files]
        await self._ground.application.enqueue(
            self._account_id, str(self.friend.id), [caption] if caption else [], files=rows, kind=kind
        )

    async def _store(self, name: str, content_type: str, data: bytes) -> OutgoingFile:
        file_id = new_id()
        place = Place(BUCKET, f"demo/outgoing/{file_id}")
        said = await self._ground.opened.files.upload(
            place, partial(_pieces, data), size=len(data), content_type=content_type
        )
        assert isinstance(said, Uploaded), "the demo's own store takes the demo's files"
        return OutgoingFile(file_id, place.bucket, place.path, name, content_type, len(data))

    async def receive_all(self) -> str:
        """The friend sends the same from a phone; wait until all of it is kept.

        Returns:
            As `send_all`.

        Raises:
            StoreAway: A store does not answer.
        """
        from tgworker.cli.demo.recording import record

        photo, *album = (picture(shade) for shade in IN_SHADES)
        note = await trio.to_thread.run_sync(record, "ogg")
        self.phone(PhoneFile("photo", photo, caption="a photo back"))
        self.phone(PhoneFile("voice", note, "", "audio/ogg"))
        self.phone(
            *(
                PhoneFile("photo", data, caption="" if number else "an album back")
                for number, data in enumerate(album)
            )
        )
        while True:
            if (await self.kept()).clean:
                return f"{len(self._inbound)} attachments, each in the file store byte for byte, in order"
            await trio.sleep(LOOK_EVERY_S)

    def phone(self, *files: PhoneFile) -> None:
        """The friend sends one file, or several as an album."""
        for file in files:
            assert isinstance(file.data, bytes)
            self._inbound.append(Wanted(file.kind, file.caption, digest(file.data), album=len(files) > 1))
        self._sandbox.files.send(self.friend.id, self._user.id, *files)

    # ---------------------------------------------------------------- counting

    def delivered(self) -> Delivery:
        """What the account sent against what the friend's phone holds."""
        files = self._sandbox.files
        lines = [line for line in self._sandbox.chat(self.friend.id, self._user.id) if not line.outgoing]
        # The phone does not say what is an album; how it was sent does.
        album = None if self._sandbox.statistics().requests.get("messages.sendMultiMedia") else False
        found: list[Found] = []
        for line in lines:
            try:
                content = files.of(self.friend.id, self._user.id, line.id).content
            except SandboxError:
                found.append(Found(line.text, None))
            else:
                found.append(Found(line.text, content.read(0, content.size), album=album))
        return deliver(self._outbound, found)

    async def kept(self) -> Delivery:
        """What the friend sent against the rows of ``attachments`` and what lies in the file store.

        Raises:
            StoreAway: One of the stores does not answer.
        """
        rows = await self._ground.attachments(self._account_id, self.friend.id)
        return deliver(self._inbound, [await self._read(row) for row in rows])

    async def _read(self, row: KeptFile) -> Found:
        data = b""
        try:
            async with self._ground.opened.files.download(Place(row.bucket, row.path)) as reading:
                async for piece in reading:
                    data += piece
        except ObjectMissing:
            return Found(row.text, None, row.kind, row.album)
        whole = len(data) == row.byte_size and reading.content_type == row.mime_type
        return Found(row.text, data if whole else None, row.kind, row.album)


async def _pieces(data: bytes) -> AsyncGenerator[bytes]:
    await trio.lowlevel.checkpoint()
    yield data
