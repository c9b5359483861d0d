"""A ``.env`` file, read with its mistakes."""

from pathlib import Path

from dotenv.parser import parse_stream


def read_dotenv(path: Path, problems: list[str]) -> dict[str, str]:
    """Read ``NAME=value`` lines; nothing is interpolated: what stands there is the value.

    Args:
        path: The file; it need not exist.
        problems: Takes a line for each line that cannot be read, by its number only: it may hold a secret.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        problems.append(f"{path} cannot be read ({reason}): make it a readable text file, or remove it")
        return {}
    problems.extend(
        f"{path} line {binding.original.line} is not NAME=value: correct it, or put a # in front of it"
        for binding in bindings
        if binding.error
    )
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value}
