"""Stand-ins for what moves files, where no test has any."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NoReturn

from tgworker.messaging.media import PartialUpload
from tgworker.messaging.media_ports import MediaMessage, RemoteFile
from tgworker.messaging.models import Look, Peer


class NoFiles:
    """The part of a connection that moves files, where nobody asks for one."""

    def upload(self, file: PartialUpload) -> NoReturn:
        raise AssertionError(f"nobody sends files here, and one of {file.size} bytes came")

    async def send_media(self, peer: Peer, messages: Sequence[MediaMessage]) -> NoReturn:
        raise AssertionError(f"nobody sends files here, and {len(messages)} went to {peer.chat_id}")

    async def look_for_media(self, peer: Peer, messages: Sequence[MediaMessage], *, above: int) -> Look:
        raise AssertionError(f"nobody sends files here, and one was looked for above {above}")

    async def find_files(self, peer: Peer, telegram_ids: Sequence[int]) -> Mapping[int, RemoteFile]:
        raise AssertionError(f"there are no files here, and {telegram_ids} were looked up")

    async def find_avatar(self, peer: Peer, photo_id: int) -> RemoteFile:
        raise AssertionError(f"there are no photos here, and {photo_id} was looked up")

    def download(self, file: RemoteFile, *, begin: int = 0) -> AbstractAsyncContextManager[NoReturn]:
        raise AssertionError(f"there are no files here, and {file.facts.size} bytes were asked for")
