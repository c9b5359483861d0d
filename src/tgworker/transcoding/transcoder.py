"""What the worker asks of FFmpeg, each time in a process of its own."""

import math
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

import tgworker
from tgworker.messaging.transcoding import ConversionFailed, Converted, MediaFacts
from tgworker.transcoding.answers import LONGEST_BYTES, Failed, Garbled, read_converted, read_facts
from tgworker.transcoding.process import Ended, run_child

COMMAND: Final = (sys.executable, "-P", "-m", "tgworker.transcoding")
AT_A_TIME: Final = 2
"""Converters that are wanted at once: each takes a processor."""

# Nothing of the worker's own environment: secrets stand there.
_ENVIRONMENT: Final = {
    "PYTHONPATH": str(Path(tgworker.__file__).parents[1]),
    "MALLOC_ARENA_MAX": "2",  # each arena reserves 64 MB of the address space, which is limited
}


class PyAvTranscoder:
    """A `tgworker.messaging.transcoding.Transcoder`.

    Args:
        limiter: So many processes run at a time; others wait, under their own deadlines.
        command: What is run, before the arguments that `tgworker.transcoding.__main__` describes.
    """

    def __init__(self, limiter: trio.CapacityLimiter, *, command: Sequence[str] = COMMAND) -> None:
        self._limiter = limiter
        self._command = tuple(command)

    async def convert_voice(
        self, source: Path, target: Path, *, deadline_s: float
    ) -> Converted | ConversionFailed:
        """Make a voice note of a file with sound in it; as the protocol says."""
        converted: Converted | None = None
        try:
            ended = await self._run(deadline_s, "convert", _argument(source), _argument(target))
            if isinstance(ended, ConversionFailed):
                return ended
            converted = read_converted(ended.said)
            return converted
        except Failed as error:
            return ConversionFailed(str(error), may_pass=False)
        except Garbled:
            return ConversionFailed("the converter ended without a word that makes sense", may_pass=False)
        finally:
            if converted is None:
                _discard(target)

    async def inspect(self, source: Path, *, deadline_s: float) -> MediaFacts:
        """Look into a media file; as the protocol says."""
        try:
            ended = await self._run(deadline_s, "inspect", _argument(source))
            if isinstance(ended, ConversionFailed):
                return MediaFacts(unknown_because=ended.reason)
            return read_facts(ended.said)
        except Failed as error:
            return MediaFacts(unknown_because=str(error))
        except Garbled:
            return MediaFacts(unknown_because="the converter ended without a word that makes sense")

    async def _run(self, deadline_s: float, *job: str) -> Ended | ConversionFailed:
        started = False
        ended: Ended | None = None
        with trio.move_on_after(deadline_s):
            async with self._limiter:
                started = True
                command = (*self._command, str(math.ceil(deadline_s)), *job)
                try:
                    ended = await run_child(command, env=_ENVIRONMENT, most_bytes=LONGEST_BYTES)
                except OSError as error:
                    why = (error.strerror or "it failed").lower()
                    return ConversionFailed(f"the converter cannot be started: {why}", may_pass=True)
        if not started:
            return ConversionFailed(f"no converter was free within {deadline_s:g} s", may_pass=True)
        if ended is None:
            return ConversionFailed(
                f"it was not converted within {deadline_s:g} s, and the converter was killed", may_pass=True
            )
        return ended if ended.code == 0 else _crashed(ended.code)


def _argument(path: Path) -> str:
    return str(path.absolute())  # the child has another working directory


def _discard(path: Path) -> None:
    path.unlink(missing_ok=True)  # one call, at once: also where everything is cancelled


def _crashed(code: int) -> ConversionFailed:
    if code > 0:
        return ConversionFailed(f"the converter ended with exit code {code}", may_pass=False)
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    # SIGKILL is what the kernel does where memory runs out, or an operator: the next attempt may be luckier
    return ConversionFailed(f"the converter was ended by {name}", may_pass=-code == signal.SIGKILL)
