"""Which files are fetched and kept: a pure decision."""

from dataclasses import dataclass

from tgworker.messaging.media import FileFacts, FileKind

MOST_BYTES = 2_000_000_000
"""As much as Telegram takes from anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRules:
    """What the operator wants of what arrives.

    Attributes:
        kinds: What is fetched; all else stays at Telegram.
        most_bytes: Files that are longer stay there, too.
        avatars: Whether photos of people and groups are fetched.
    """

    kinds: frozenset[FileKind] = frozenset(FileKind)
    most_bytes: int = MOST_BYTES
    avatars: bool = True

    def objection(self, facts: FileFacts) -> str | None:
        """Why a file is not fetched; ``None``: it is."""
        if facts.kind not in self.kinds:
            return f"{facts.kind} files are not fetched here (TGWORKER_MEDIA_KINDS)"
        if facts.size > self.most_bytes:
            return (
                f"it has {facts.size / 1e6:.1f} MB, and at most {self.most_bytes / 1e6:g} are fetched here "
                "(TGWORKER_MEDIA_MAX_MB)"
            )
        return None
