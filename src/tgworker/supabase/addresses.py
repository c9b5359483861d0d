"""How a place stands in a URL."""

from urllib.parse import quote

from tgworker.messaging.places import Place


def quoted(place: Place) -> str:
    """Bucket and path as a URL has them; each character that could mean something there is encoded."""
    return f"{quote(place.bucket, safe='')}/{quote(place.path, safe='/')}"
