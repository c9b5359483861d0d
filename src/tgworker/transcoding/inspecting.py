"""What is in a media file. Runs in the child."""

from pathlib import Path

import av
import av.container
import av.error
from av.stream import Disposition

from tgworker.messaging.transcoding import MediaFacts
from tgworker.transcoding.opening import opened


def inspect(source: Path) -> MediaFacts:
    """Look into a file: its headers, its first picture; all of its packets if nothing says how long it is.

    Raises:
        Refused: It is no media file.
    """
    with opened(source) as media:
        films = [film for film in media.streams.video if not film.disposition & Disposition.attached_pic]
        sounds = media.streams.audio
        picture = media.format.name.endswith("_pipe")
        width, height = _shown(media, films[0]) if films else (None, None)
        return MediaFacts(
            duration_s=None if picture else _duration_s(media),
            width=width,
            height=height,
            has_video=bool(films) and not picture,
            has_audio=bool(sounds),
            codec=next((stream.codec_context.name for stream in (*films, *sounds)), None),
        )


def _shown(media: av.container.InputContainer, film: av.VideoStream) -> tuple[int | None, int | None]:
    """Width and height as they are shown: telephones film on their side, and say so."""
    width, height = film.width, film.height
    film.codec_context.thread_count = 1
    try:
        rotation = next((frame.rotation for frame in media.decode(film)), 0)
    except av.error.FFmpegError:
        rotation = 0
    if rotation % 180 == 90:
        width, height = height, width
    return (width, height) if width and height else (None, None)


def _duration_s(media: av.container.InputContainer) -> float | None:
    if media.duration is not None and media.duration > 0:
        return media.duration / av.time_base
    end = 0.0  # what a browser recorded does not say how long it became
    try:
        media.seek(0)
        for packet in media.demux():
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except av.error.FFmpegError:
        pass
    return end or None
