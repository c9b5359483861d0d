"""``tgworker stacks``: what every task of a running worker is doing right now, or what one last did."""

import trio

from tgworker.app.books import stack_files
from tgworker.cli._errors import EXIT_NO
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output
from tgworker.operations.stack_files import LARGEST_BYTES
from tgworker.operations.status_socket import ask

ANSWER_WITHIN_S = 2.0


def stacks(*, json: Json = False) -> int:
    """Show where every task of the worker waits: files, lines and source, no values.

    Where no worker answers within 2 s, the newest file of stacks in the data folder is shown, and the exit
    code is 1.
    """
    settings = settings_for()
    output = Output(json=json)
    answer = trio.run(lambda: ask(settings.data_dir, "stacks", within_s=ANSWER_WITHIN_S))
    if answer is not None:
        output.result({"answers": True, "file": None, **answer}, answer["stacks"].rstrip())
        return 0
    newest = stack_files(settings).newest()
    silence = f"no worker answers in {settings.data_dir}"
    if newest is None:
        output.result(
            {"answers": False, "file": None, "at": None, "pid": None, "stacks": None},
            f"{silence}, and none has left its stacks there",
        )
        return EXIT_NO
    text = newest.read(most_bytes=LARGEST_BYTES)
    output.result(
        {
            "answers": False,
            "file": str(newest.path),
            "at": newest.at,
            "pid": newest.pid,
            "stacks": text,
        },
        f"{silence}; {newest.path.name} was written at {newest.at:%Y-%m-%d %H:%M:%S} UTC:\n\n{text.rstrip()}",
    )
    return EXIT_NO
