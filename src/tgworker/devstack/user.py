"""Whom the parts run as. PostgreSQL refuses root, so root hands them to a user who may do less."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from tgworker.devstack.errors import Unfit

CANDIDATES = ("postgres", "nobody")
"""Whom root takes, in this order: Debian's user for PostgreSQL, or the one that exists everywhere."""


@dataclass(frozen=True, slots=True)
class User:
    """A user to run something as.

    Attributes:
        name: Its name, for messages.
        uid: Its number.
        gid: Its group's number.
    """

    name: str
    uid: int
    gid: int

    def own(self, folder: Path) -> None:
        """Make a folder this user's, and nobody else's."""
        os.chown(folder, self.uid, self.gid)
        folder.chmod(0o700)

    def cannot_enter(self, path: Path) -> Path | None:
        """The first folder on the way to a path that this user cannot pass through, if there is one."""
        for folder in reversed(path.absolute().parents):
            status = folder.stat()
            if status.st_uid == self.uid:
                passes = status.st_mode & stat.S_IXUSR
            elif status.st_gid == self.gid:
                passes = status.st_mode & stat.S_IXGRP
            else:
                passes = status.st_mode & stat.S_IXOTH
            if not passes:
                return folder
        return None


def lesser_user() -> User | None:
    """Whom to run the parts as; ``None``: as we are.

    Raises:
        Unfit: We are root, and there is nobody else.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    raise Unfit(
        f"PostgreSQL refuses to run as root, and there is no user {' or '.join(CANDIDATES)}: "
        "run dev-stack as an ordinary user"
    )
