"""``upload.*``: files in, part by part, and out, piece by piece.

Source: https://core.telegram.org/api/files
"""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.addressing import room_of
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.files import StoredFile
from tgworker.sandbox.requests.call import Answer, Call

MAX_PIECE_BYTES = 1024 * 1024


def save_file_part(call: Call, request: Any) -> Answer:
    """``upload.saveFilePart``."""
    call.cloud.files.add_part(call.me.id, request.file_id, request.file_part, request.bytes, None)
    return True


def save_big_file_part(call: Call, request: Any) -> Answer:
    """``upload.saveBigFilePart``."""
    total = request.file_total_parts
    call.cloud.files.add_part(call.me.id, request.file_id, request.file_part, request.bytes, total)
    return True


def get_file(call: Call, request: Any) -> Answer:
    """``upload.getFile``: where the file lies, and nowhere else."""
    file = _located(call, request.location)
    if file.dc_id != call.dc_id:
        raise RequestRefused(303, f"FILE_MIGRATE_{file.dc_id}")
    _check_range(request.offset, request.limit, 1024 if request.precise else 4096)
    data = file.content.read(request.offset, request.limit)
    kind = types.storage.FileJpeg() if data[:3] == b"\xff\xd8\xff" else types.storage.FileUnknown()
    return types.upload.File(type=kind, mtime=int(call.cloud.calendar()), bytes=data)


def _located(call: Call, location: Any) -> StoredFile:
    match location:
        case types.InputDocumentFileLocation() | types.InputPhotoFileLocation():
            return call.cloud.files.find(
                location.id, location.access_hash, location.file_reference, "LOCATION_INVALID"
            )
        case types.InputPeerPhotoFileLocation():
            room = room_of(call.cloud, call.me, location.peer)
            if room.photo is None or room.photo.id != location.photo_id:
                raise RequestRefused(400, "LOCATION_INVALID")
            return room.photo
        case _:
            raise RequestRefused(400, "LOCATION_INVALID")


def _check_range(offset: int, limit: int, unit: int) -> None:
    if offset < 0 or offset % unit:
        raise RequestRefused(400, "OFFSET_INVALID")
    if not 0 < limit <= MAX_PIECE_BYTES or limit % unit:
        raise RequestRefused(400, "LIMIT_INVALID")
    if unit == 4096 and MAX_PIECE_BYTES % limit:
        raise RequestRefused(400, "LIMIT_INVALID")
    if offset // MAX_PIECE_BYTES != (offset + limit - 1) // MAX_PIECE_BYTES:
        raise RequestRefused(400, "LIMIT_INVALID")
