"""Reads what is in ``deploy/``, as far as its files go: units, the container file, and plain YAML."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "tgworker.service"
CONTAINERFILE = DEPLOY / "Containerfile"
KUBERNETES = DEPLOY / "kubernetes.yaml"

_SPAN = re.compile(r"([0-9]+)(s|min)?")
_SIZES = {"M": 1, "Mi": 1, "G": 1024, "Gi": 1024}


def unit(path: Path = UNIT) -> dict[str, list[str]]:
    """The values of each key of a unit, whatever its section; keys are unique to one."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def seconds(span: str) -> int:
    """A time of systemd's."""
    match = _SPAN.fullmatch(span)
    assert match is not None, span
    return int(match[1]) * (60 if match[2] == "min" else 1)


def mebibytes(size: str) -> int:
    """A size of systemd's or Kubernetes'."""
    number = size.rstrip("GMi")
    return int(number) * _SIZES[size.removeprefix(number)]


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a container file, each with its words on one line."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\s*\\\n\s*", " ", kept)
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def words(argument: str) -> list[str]:
    """The words of an instruction in its exec form: no shell is there to take it apart."""
    found = json.loads(argument)
    assert isinstance(found, list)
    return [str(word) for word in found]


def command_of_the_unit() -> list[str]:
    (command,) = unit()["ExecStart"]
    return shlex.split(command)


def documents(text: str) -> list[dict[str, str]]:
    """YAML of mappings, lists of mappings and scalars: for each document its scalars, by dotted path.

    An element of a list is called by its ``name``, else by its place.
    """
    return [dict(_scalars(part)) for part in re.split(r"^---$", text, flags=re.MULTILINE)]


def _scalars(text: str) -> Iterator[tuple[str, str]]:
    path: list[tuple[int, str]] = []  # how far each key is indented, and what it is called
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        body = line.strip()
        while path and path[-1][0] >= indent:
            path.pop()
        if body.startswith("- "):
            body = body[2:]
            key, _, value = body.partition(": ")
            path.append((indent, value if key == "name" else body.rstrip(":")))
            indent += 2
        match = re.fullmatch(r"([\w./-]+):(?: (.+))?", body)
        assert match is not None, f"not the YAML that this reads: {line!r}"
        if match[2] is None:
            path.append((indent, match[1]))
        else:
            yield ".".join([*(name for _, name in path), match[1]]), match[2].strip('"')
