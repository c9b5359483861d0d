"""Where an object is: bucket and path. What comes from tables and from strangers is checked here, once."""

import re
from dataclasses import dataclass
from typing import Final

LONGEST_PATH_BYTES: Final = 1024
"""S3's limit for a key, in UTF-8."""

LONGEST_BUCKET_BYTES: Final = 100

# Storage's own routes stand where a bucket's name does (`POST /object/sign/…`): in a bucket of such a name a
# request would mean something else.
_ROUTES: Final = frozenset(
    {"authenticated", "copy", "info", "list", "list-v2", "move", "public", "sign", "upload"}
)


class PlaceInvalid(ValueError):
    """A bucket or path that no object of ours can have. Remedy: in the text, which does not show the path."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object's place in a file store.

    Paths are what people named their files: they are not in ``repr``, and in no error.

    Attributes:
        bucket: The bucket's name.
        path: The object's path in it, without a slash at the beginning.

    Raises:
        PlaceInvalid: One of them is empty, too long, has a part ``.`` or ``..`` or an empty one, or a
            character that cannot be seen.
    """

    bucket: str
    path: str

    def __post_init__(self) -> None:
        """Refuse what could lead elsewhere. Which letters are allowed is Storage's decision."""
        check_bucket(self.bucket)
        if (why := _wrong_with(self.path, LONGEST_PATH_BYTES)) is not None:
            raise PlaceInvalid(f"the path of an object in {self.bucket!r} {why}: correct storage_path")

    def __repr__(self) -> str:
        return f"Place({self.bucket!r}, …)"


def check_bucket(bucket: str) -> None:
    """See whether a bucket can have this name.

    Raises:
        PlaceInvalid: It cannot.
    """
    why = "has a slash" if "/" in bucket else _wrong_with(bucket, LONGEST_BUCKET_BYTES)
    if why is None and bucket in _ROUTES:
        why = "is one of Storage's own words"
    if why is not None:
        raise PlaceInvalid(f"the name of a bucket {why}: correct storage_bucket")


def _wrong_with(text: str, longest_bytes: int) -> str | None:
    if not text:
        return "is empty"
    if not text.isprintable() or "\\" in text:  # lone surrogates are not printable either
        return "has a backslash or a character that cannot be seen"
    if len(text.encode()) > longest_bytes:
        return f"has more than {longest_bytes} bytes"
    if any(part in ("", ".", "..") for part in text.split("/")):
        return "has a part that is empty, '.' or '..'"
    return None


# RFC 9110, 8.3.1. Parameters may follow.
_CONTENT_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(;[\x20-\x7e]{0,200})?", re.ASCII)


def is_content_type(text: str) -> bool:
    """Whether an object may have this content type.

    Forms are no content: Storage would store one of their fields instead.
    """
    return _CONTENT_TYPE.fullmatch(text) is not None and not text.lower().startswith("multipart/")
