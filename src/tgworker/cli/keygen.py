"""``tgworker keygen``: a new encryption key."""

from tgworker.cli._options import Json
from tgworker.cli._output import Output
from tgworker.vault import new_key


def keygen(*, json: Json = False) -> int:
    """Print a new key for ENCRYPTION_KEY.

    Put it in front of the keys that are there (comma-separated): the first key encrypts, all of them decrypt.
    """
    key = new_key().value
    Output(json=json).result({"key": key}, key)
    return 0
