"""What a file is, from its first bytes, and as what it may be served: pure.

The table is ours because this room uses the standard library and trio alone, and because the decision what a
claim is worth has to know exactly which signatures are told apart.
"""

import re
from typing import Final

UNKNOWN: Final = "application/octet-stream"
"""What browsers save, and do not show."""

HEAD_BYTES: Final = 4096
"""So much of a file tells what it is."""

_EXTENSIONS: Final = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/tiff": "tiff",
    "image/heic": "heic",
    "image/avif": "avif",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/3gpp": "3gp",
    "video/x-msvideo": "avi",
    "video/ogg": "ogv",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/webm": "weba",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/amr": "amr",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/gzip": "gz",
    "application/x-tgsticker": "tgs",
    "application/msword": "doc",
    "application/json": "json",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "text/plain": "txt",
    "text/csv": "csv",
}
_TYPES: Final = {extension: type_ for type_, extension in _EXTENSIONS.items()} | {
    "jpeg": "image/jpeg",
    "tif": "image/tiff",
    "oga": "audio/ogg",
    "m4v": "video/mp4",
}
_SYNONYMS: Final = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/heif": "image/heic",
    "audio/mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
    "application/x-gzip": "application/gzip",
    "application/x-zip-compressed": "application/zip",
    "application/x-pdf": "application/pdf",
}

# Types whose bytes always begin alike. (MP3 may have anything in front of its first frame.)
_SIGNED: Final = frozenset(
    {
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "image/bmp",
        "image/tiff",
        "image/heic",
        "image/avif",
    }
    | {"application/pdf", "application/zip", "application/gzip", "application/x-tgsticker"}
    | {"audio/flac", "audio/wav", "audio/ogg", "audio/opus", "audio/webm", "video/webm", "video/x-matroska"}
)
# Claims among which the first bytes cannot decide.
_FAMILIES: Final = (
    frozenset({"audio/ogg", "audio/opus", "video/ogg", "application/ogg"}),
    frozenset({"audio/webm", "video/webm", "video/x-matroska", "audio/x-matroska"}),
    frozenset({"video/mp4", "audio/mp4", "video/quicktime", "video/3gpp", "audio/3gpp", "application/mp4"}),
    frozenset({"image/heic", "image/avif"}),
    frozenset({"application/gzip", "application/x-tgsticker"}),
)
# A page at the address of the file store could act for whoever looks at it: scripts in these run.
_ACTIVE: Final = frozenset(
    {"text/html", "text/xml", "application/xml", "text/xsl", "multipart/x-mixed-replace"}
)
_TYPE: Final = re.compile(
    r"([\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127})\s*(?:;(.{0,200}))?", re.ASCII | re.DOTALL
)
_CHARSET: Final = re.compile(r"""charset="?([\w-]{1,40})"?""", re.ASCII | re.IGNORECASE)

_PREFIXES: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"\x7fELF", UNKNOWN),
    (b"MZ\x90\0", UNKNOWN),
)
_BRANDS: Final = {
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
    b"avif": "image/avif",
    b"avis": "image/avif",
}
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}

# https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type, and SVG
_TAGS: Final = re.compile(
    r"<(?:!doctype\s|\?xml|!--|(?:html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|svg|meta|img"
    r"|link|form|object|embed|base|svg:svg)(?=[\s>/]))",
    re.IGNORECASE,
)


def sniffed_type(head: bytes) -> str | None:
    """What the first bytes say; ``None``: nothing that we know. Markup is found by `is_markup`.

    Args:
        head: The first bytes; 4096 are plenty.
    """
    for prefix, type_ in _PREFIXES:
        if head.startswith(prefix):
            return type_
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"OggS"):
        return _ogg(head[:256])
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return _BRANDS.get(brand, "video/3gpp" if brand.startswith(b"3gp") else "video/mp4")
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return "video/quicktime"
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "image/bmp"
    return _frame(head)


def is_markup(head: bytes) -> bool:
    """Whether a browser could take these bytes for HTML, SVG or other XML."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) & ~1].decode("utf-16", errors="ignore")
    else:
        text = head.decode("utf-8-sig", errors="ignore")
    return _TAGS.match(text.lstrip()) is not None or re.search(r"<svg[\s>]", text, re.IGNORECASE) is not None


def served_type(claimed: str | None, head: bytes) -> str:
    """The content type that a file gets where it is stored.

    The claim stands where the bytes agree or cannot tell; where they tell otherwise, they win. HTML, SVG and
    other XML, by claim or by bytes, is `UNKNOWN`: nothing that runs scripts is served.

    Args:
        claimed: What its sender says, parameters and all.
        head: Its first bytes, as many as 4096.
    """
    claim, charset = _normal(claimed)
    sniffed = sniffed_type(head)
    if claim is not None and (claim in _ACTIVE or claim.endswith("+xml")):
        return UNKNOWN
    if sniffed is None:
        if is_markup(head) or claim is None or claim in _SIGNED:
            return UNKNOWN
        return f"{claim}; charset={charset}" if charset and claim.startswith("text/") else claim
    return claim if claim is not None and _agree(claim, sniffed) else sniffed


def extension_of(content_type: str | None) -> str:
    """The extension that files of a type have, without its dot; ``bin`` where there is none."""
    type_, _ = _normal(content_type)
    return _EXTENSIONS.get(type_ or "", "bin")


def type_of_name(file_name: str | None) -> str | None:
    """What a file's extension says that it is."""
    _, dot, extension = (file_name or "").rpartition(".")
    return _TYPES.get(extension.lower()) if dot else None


def bare_type(content_type: str | None) -> str | None:
    """A type in the one spelling that we use, without parameters; ``None`` if it says nothing."""
    return _normal(content_type)[0]


def _normal(claimed: str | None) -> tuple[str | None, str | None]:
    found = _TYPE.fullmatch((claimed or "").strip())
    if found is None:
        return None, None
    type_ = found[1].lower()
    type_ = _SYNONYMS.get(type_, type_)
    charset = _CHARSET.search(found[2] or "")
    return (None if type_ == UNKNOWN else type_), (charset[1].lower() if charset else None)


def _agree(claim: str, sniffed: str) -> bool:
    if claim == sniffed or any({claim, sniffed} <= family for family in _FAMILIES):
        return True
    # Office documents, e-books and apps are ZIP archives
    if sniffed == "application/zip":
        return claim.startswith("application/") and claim not in _SIGNED
    return False


def _ogg(head: bytes) -> str:
    if b"OpusHead" in head or b"\x01vorbis" in head or b"Speex   " in head or b"\x7fFLAC" in head:
        return "audio/ogg"
    return "video/ogg" if b"\x80theora" in head else "application/ogg"


def _frame(head: bytes) -> str | None:
    """Sound without a container begins with the header of a frame (ISO 11172-3, 2.4.1.3; ISO 13818-7)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate, frequency = head[2] >> 4, head[2] >> 2 & 3
    fits = version != 1 and layer in (1, 2) and rate not in (0, 15) and frequency != 3
    return "audio/mpeg" if fits else None
