"""``account.*`` and ``photos.*`` by which one says who one is."""

import struct
from typing import Any

from telethon.tl import types

from tgworker.sandbox import profile
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.media import PhotoMedia, photo_size
from tgworker.sandbox.packing import vector
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.media import uploaded_file
from tgworker.sandbox.views import user_view


def update_profile(call: Call, request: Any) -> Answer:
    """``account.updateProfile``; what one says about oneself is ignored."""
    profile.update_profile(
        call.cloud, call.me, first_name=request.first_name, last_name=request.last_name, via=call.line
    )
    return user_view(call.cloud.directory, call.me, call.me)


def update_username(call: Call, request: Any) -> Answer:
    """``account.updateUsername``."""
    profile.update_username(call.cloud, call.me, request.username, via=call.line)
    return user_view(call.cloud.directory, call.me, call.me)


def upload_profile_photo(call: Call, request: Any) -> Answer:
    """``photos.uploadProfilePhoto``: a picture; the one before is forgotten."""
    if request.file is None:
        raise RequestRefused(400, "PHOTO_FILE_MISSING")
    file = uploaded_file(call, request.file)
    photo = PhotoMedia(call.cloud.files, file, call.cloud.now(), photo_size(file.content))
    profile.set_profile_photo(call.cloud, call.me, file, via=call.line)
    return types.photos.Photo(photo.view().photo, [user_view(call.cloud.directory, call.me, call.me)])


def delete_photos(call: Call, request: Any) -> Answer:
    """``photos.deletePhotos``: answers with those that were there."""
    now = call.me.photo
    gone = [each.id for each in request.id if now is not None and each.id == now.id]
    if gone:
        profile.set_profile_photo(call.cloud, call.me, None, via=call.line)
    return vector([struct.pack("<q", each) for each in gone])
