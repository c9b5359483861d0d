"""One job in its own process: ``python -m tgworker.transcoding SECONDS convert|inspect SOURCE [TARGET]``.

Standard output gets one line of JSON (`tgworker.transcoding.answers`); the exit code is 0 if it is there.
"""

import os
import sys
from pathlib import Path

from tgworker.transcoding.confinement import confine


def main(arguments: list[str]) -> None:
    """Do it, and say what came of it."""
    confine(int(arguments[0]))
    # Not before the limits: FFmpeg's libraries are part of what they are for.
    from tgworker.transcoding.answers import write_converted, write_facts, write_failure
    from tgworker.transcoding.converting import convert
    from tgworker.transcoding.inspecting import inspect
    from tgworker.transcoding.opening import Refused

    try:
        match arguments[1:]:
            case ["convert", source, target]:
                answer = write_converted(convert(Path(source), Path(target)))
            case ["inspect", source]:
                answer = write_facts(inspect(Path(source)))
            case _:
                answer = write_failure("the converter was asked for something that it cannot do")
    except Refused as error:
        answer = write_failure(str(error))
    except MemoryError:
        answer = write_failure("it needs more memory than a converter may have")
    except OSError as error:
        answer = write_failure(
            f"the converter cannot read or write: {(error.strerror or 'it failed').lower()}"
        )
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    os._exit(0)  # what FFmpeg's destructors do is nobody's business any more


if __name__ == "__main__":
    main(sys.argv[1:])
