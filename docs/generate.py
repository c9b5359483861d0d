"""Writes the pages of `docs/reference/` that are made from the code: ``python docs/generate.py``.

A test compares the pages with what this writes, so that they cannot fall behind.
"""

import contextlib
import dataclasses
import enum
import inspect
import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import tgworker.messaging.events
import tgworker.supabase.events
import tgworker.supervision
import tgworker.supervision.pytest_plugin
import tgworker.supervision.systemd
import tgworker.supervision.testing
import tgworker.telegram.events
from tgworker.app.metrics import WorkerMetrics
from tgworker.cli import main
from tgworker.cli._app import COMMANDS
from tgworker.settings import VARIABLES
from tgworker.supervision import EVENTS

REFERENCE = Path(__file__).parent / "reference"
MADE = "Made from the code by `docs/generate.py`; a test keeps it true."

LIBRARY: tuple[ModuleType, ...] = (
    tgworker.supervision,
    tgworker.supervision.testing,
    tgworker.supervision.pytest_plugin,
    tgworker.supervision.systemd,
)

WITHOUT_EFFECT: dict[str, str] = {}
"""Variables that are read and checked, and change nothing yet."""

METRICS_TEXT = """
The worker serves them at `/metrics` of [the status server](status-server.md), in Prometheus' text format
0.0.4. They begin anew with each worker process, also where a guard starts the next one.

No label names an account, a chat, a person or a text. `child` is the child's id under the root; all accounts
are `account`, and the supervisor above them is `account_supervisor`. `operation` is the name of a deadline or
of a call to the store. After 64 names of a kind, what comes is `other`. `verdict` and `cause` are those of
[the events](supervision.md). Who looks for a wedged child finds it in another program's tree: a worker ends
its process at once, and the next one counts from 0.

Those of supervision can be had without a worker: [metrics of a supervised program](../how-to/metrics.md).
""".rstrip()

EXIT_CODES = """
| code | meaning |
|---|---|
| 0 | done, or stopped on request |
| 1 | it ran, and the answer is no: see below |
| 2 | usage or configuration, a data folder that cannot be used, is in use or was removed, a damaged store |
| 3 | the store has another schema version; for one-shot commands also: it cannot be reached |
| 70 | the guard gave up, where `TGWORKER_GIVE_UP=1` lets it |
| 75 | the worker wants a new process (a task does not die, its memory is used up): seen without a guard |
| 130, 143 | Ctrl-C (130) or SIGTERM (143) ended it before it was done; what it had done stays done |

The worker stops in order after the first SIGTERM or Ctrl-C, which takes 25 s at most; then, or at a second
signal, it ends as it is. Nothing is lost or sent twice by that: what was in flight is settled at the next
start.

The answer is no when the demo found a loss or a fault that was not cured, when a message was refused,
when a history could not be read, when Telegram refused a session or was not there, when no worker answers,
and when nobody reads what is printed.
""".strip()

RESULTS: Mapping[str, tuple[str, str]] = {
    "demo": (
        "object",
        """
        ok sent received lost duplicated out_of_order unexpected files_sent files_received
        files_wrong edits reactions histories presences five_messages_s send_p50_ms send_p99_ms
        hangs_injected hangs_recovered crashes_injected crashes_recovered outages_injected
        outages_recovered heartbeats heartbeat_max_gap_s seconds
        """,
    ),
    "login": ("object", "account_id user_id name kind"),
    "accounts list": ("array of", "id name kind active state user_id last_sync_at last_error"),
    "accounts enable, accounts disable": ("object", "account_id active changed"),
    "accounts remove": ("object", "account_id name logged_out"),
    "accounts rekey": ("object", "rekeyed already not_ours unreadable"),
    "accounts adopt": ("object", "account_id messages encrypted_anew"),
    "accounts adopt --finish": ("object", "finished"),
    "accounts release": ("object", "account_id messages newer_session_stays"),
    "send": ("object", "enqueued message_ids files bytes"),
    "send --wait": ("object", "account_id enqueued sent not_sent messages"),
    "send --wait: messages": ("array of", "message_id state telegram_id error files bytes_done bytes_total"),
    "outbox list": (
        "array of",
        """
        message_id seq account_id conversation_id state attempts created_at not_before expires_at
        telegram_id error part parts cancel_asked_at files bytes_done bytes_total
        """,
    ),
    "outbox retry": ("object", "retried not_retried messages"),
    "outbox cancel": ("object", "cancelled not_cancelled messages"),
    "outbox retry, outbox cancel: messages": (
        "array of",
        "message_id done before state telegram_id error",
    ),
    "history": ("object", "job_id account_id status synced error"),
    "history --all": ("object", "job_id account_id status synced error chats chats_failed"),
    "history --no-wait": ("object", "job_id account_id"),
    "history list": (
        "array of",
        "job_id account_id to status limit synced seen total part_of chats chats_done error",
    ),
    "status": (
        "object",
        """
        answers worker_id status version pid incarnation heartbeats store_away loops lag accounts queues
        unsure tree last_freeze
        """,
    ),
    "status: accounts": ("array of", "id name state reason"),
    "status: lag": ("object", "lag_s worst_s turns lags lagged_s"),
    "status: queues": ("object", "online claimed in_flight parked unsettled"),
    "status: last_freeze": ("object or null", "at file stacks"),
    "status, no worker": ("object", "answers heartbeat last_freeze newest_stacks"),
    "status, no worker: heartbeat": (
        "object or null",
        "worker_id status last_heartbeat_at age_s loops_status incarnation seq",
    ),
    "status, no worker: newest_stacks": ("object or null", "at file stacks"),
    "stacks": ("object", "answers file at pid stacks"),
    "migrate": ("object", "data_dir steps"),
    "keygen": ("object", "key"),
    "sandbox": ("object", "server key_file dc control dcs users bots"),
    "sandbox: users": ("array of", "id phone username session login_code password"),
    "sandbox: bots": ("array of", "id username token session"),
    "dev-stack": (
        "object",
        "url anon_key service_role_key publishable_key secret_key db_url control logs storage",
    ),
    "dev-stack --fetch": ("object", "postgresql postgrest"),
}
"""What `--json` prints, by command (and where an object stands inside of another, by its name)."""

ABOUT_RESULTS = """
* Times are ISO 8601 with their offset; durations are seconds unless their name says milliseconds.
* The `state` of an account is `waiting`, `connecting`, `online`, `reconnecting`, `elsewhere` (another worker
  holds it), or, until a person acts, `needs_login`, `banned` or `disabled`; `last_error` and `reason` then
  say what to do.
* The `state` of a message stands in [the outbox table](store.md), `loops` and `loops_status` in [the
  heartbeat](heartbeat.md); `lag` is `LagStatistics.to_dict()`, and `tree` is `Snapshot.to_dict()`, of [the
  library](supervision.md).
* `stacks` are text: for each task, or each thread, its frames. `last_freeze` is of the last worker that was
  ended because it stood still, `newest_stacks` also of those whose stacks somebody wanted (SIGUSR1); they are
  files in the data folder. `stacks` of a worker that does not answer are from the newest `file`, and `at` and
  `pid` say when and whose.
* `message_ids` is null for more than 500 messages, and `messages` holds the first 500 that were settled.
* `sandbox` and `dev-stack` print their object when they are ready, and go on.
""".strip()

COMMON = """
An account (`--account`) is named by its uuid, its phone number or what `login --name` called it. A
recipient (`--to`) is a Telegram id, `@username`, `+` and a phone number, or a conversation's uuid. Groups
and channels have negative ids, which may follow the option after a blank or an equals sign: `--to
-1001234567890`, `--to=-1001234567890`.

Secrets (sessions, keys) are read from standard input or the environment, never from arguments. No command
prints one but `keygen`, which makes it, and `sandbox` and `dev-stack`, whose sessions and keys are worth
nothing elsewhere.
""".strip()


def pages() -> Mapping[Path, str]:
    """Every generated page and its text."""
    texts = {
        "commands.md": commands_page(),
        "environment.md": environment_page(),
        "events.md": events_page(),
        "metrics.md": metrics_page(),
        "supervision.md": supervision_page(),
    }
    return {REFERENCE / name: text for name, text in texts.items()}


def commands_page() -> str:
    """What each command says of itself."""
    lines = [
        "# Commands",
        "",
        f"{MADE} `python -m tgworker` and `scripts/run` take the same arguments; without a command: `run`.",
        "",
        "With `--json` a listing prints one JSON array on one line, any other command one object as its last",
        "line. Logs and errors go to standard error, one line for each problem.",
        "",
        COMMON,
        "",
        "## Exit codes",
        "",
        EXIT_CODES,
        "",
        "## What `--json` prints",
        "",
        "| command | kind | fields |",
        "|---|---|---|",
        *(f"| `{name}` | {kind} | {_code(fields.split())} |" for name, (kind, fields) in RESULTS.items()),
        "",
        ABOUT_RESULTS,
    ]
    for name, command in COMMANDS.items():
        lines += ["", f"## {name}", "", command.summary, ""]
        for words in ([name], [name, "list"]) if name in {"accounts", "outbox", "history"} else ([name],):
            lines += ["```text", _help(words), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _help(words: list[str]) -> str:
    output = io.StringIO()
    os.environ["COLUMNS"] = "130"  # wider than any docstring: nothing is wrapped twice
    with contextlib.redirect_stdout(output):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in output.getvalue().strip().splitlines())


def environment_page() -> str:
    """Every variable."""
    lines = [
        "# Environment",
        "",
        f"{MADE} A `.env` file in the working directory is read too;",
        "the real environment wins. A variable that is set to nothing counts as unset; nothing in the file",
        "is expanded (but `~/` at the start of `TGWORKER_DATA_DIR`). Times are seconds: any finite number",
        "above 0. All problems are named at once, one line each, with the remedy of the last column; no line",
        "repeats what may be a secret.",
        "",
        "SIGHUP makes a running worker read all this anew: that is, `.env`, because the environment of a",
        "process does not change. What cannot be read is named in the log and changes nothing; what needs",
        "more than SIGHUP is named as well. Under `--no-guard` a new worker is a new process.",
        "",
        "A terminal that is closed sends SIGHUP, too: the worker goes on without it, until `kill` stops it",
        "(the process that `status` names, or its parent, which a second `run` names).",
        "",
        "| variable | default | meaning | what to give | a change takes |",
        "|---|---|---|---|---|",
    ]
    for variable in VARIABLES:
        takes = variable.takes.value
        not_yet = WITHOUT_EFFECT.get(variable.name)
        meaning = variable.meaning + (f" (without effect: {not_yet})" if not_yet else "")
        lines.append(f"| `{variable.name}` | {variable.default} | {meaning} | {variable.remedy} | {takes} |")
    return "\n".join(lines) + "\n"


def events_page() -> str:
    """Every event that an observer can receive, and so every kind of log line."""
    supabase, telegram = (
        [
            thing
            for name, thing in inspect.getmembers(module, inspect.isclass)
            if dataclasses.is_dataclass(thing) and name == thing.__name__
        ]
        for module in (tgworker.supabase.events, tgworker.telegram.events)
    )
    lines = ["# Events", "", f"{MADE} An event's class is also the wording of its log line: `ChildReady` is"]
    lines += ['"child ready". No event holds a secret or a message text.']
    for title, classes in (
        ("Supervision", EVENTS),
        ("Messaging", tgworker.messaging.events.CATALOGUE),
        ("Telegram", telegram),
        ("Supabase", supabase),
    ):
        lines += ["", f"## {title}", "", "| event | fields | meaning |", "|---|---|---|"]
        for event in classes:
            fields = _code(field.name for field in dataclasses.fields(event))
            lines.append(f"| `{event.__name__}` | {fields} | {_first_paragraph(event)} |")
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Every metric of a worker, and which of them any supervised tree has."""
    metrics = WorkerMetrics(lambda: None)
    lines = ["# Metrics", "", MADE, *METRICS_TEXT.splitlines()]
    own = set(metrics.supervision.tallies)
    for title, tallies in (
        ("Supervision", metrics.supervision.tallies),
        ("The worker", [tally for tally in metrics.tallies if tally not in own]),
    ):
        lines += ["", f"## {title}", "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{tally.name}` | {tally.kind} | {_code(tally.labels)} | {tally.meaning} |"
            for tally in tallies
        ]
    return "\n".join(lines) + "\n"


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _first_paragraph(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).replace("|", "\\|")


def supervision_page() -> str:
    """The library's reference, from its docstrings."""
    lines = ["# The supervision library", "", f"{MADE} Times are seconds of trio's clock."]
    for module in LIBRARY:
        lines += ["", f"## `{module.__name__}`", "", *_text(module)]
        for name, thing in public_names(module):
            lines += ["", f"### `{name}`", "", *_entry(name, thing)]
    return "\n".join(lines).rstrip() + "\n"


def public_names(module: ModuleType) -> list[tuple[str, object]]:
    """What a module offers: classes and functions of this package that do not begin with an underscore."""
    found: list[tuple[str, object]] = []
    for name, value in vars(module).items():
        if name.startswith("pytest_"):
            continue  # a hook, which only pytest calls
        plain = inspect.isclass(value) or inspect.isfunction(value) or not callable(value)
        thing = value if plain else inspect.unwrap(value)  # a fixture's function
        home = getattr(thing, "__module__", "")
        own = home == module.__name__ or module is tgworker.supervision
        documented = inspect.isclass(thing) or inspect.isfunction(thing)
        if not name.startswith("_") and own and documented and home.startswith("tgworker.supervision"):
            found.append((name, thing))
    return sorted(found, key=lambda item: item[0].lower())


def _entry(name: str, thing: object) -> Iterable[str]:
    if inspect.isclass(thing) and issubclass(thing, enum.Enum):
        values = ", ".join(f"`{member.name}` (`{member.value}`)" for member in thing)
        return [*_text(thing), "", f"Values: {values}."]
    lines = [*_signature(name, thing), *_text(thing)]
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for method_name, method in vars(thing).items():
            function = method.fget if isinstance(method, property) else method
            if not inspect.isfunction(function):
                continue
            # That an object can be called is of interest where somebody else than the library calls it.
            called = method_name == "__call__" and "Args:" in (function.__doc__ or "")
            if method_name.startswith("_") and not called:
                continue
            title = method_name if isinstance(method, property) else f"{method_name}{_arguments(function)}"
            lines += ["", f"* `{title}`", "", *(f"  {line}".rstrip() for line in _text(function))]
    return lines


def _signature(name: str, thing: object) -> list[str]:
    if inspect.isclass(thing) and (issubclass(thing, BaseException) or not dataclasses.is_dataclass(thing)):
        return []
    return [f"`{name}{_arguments(thing)}`", ""]


def _arguments(thing: object) -> str:
    assert callable(thing)
    text = str(inspect.signature(thing))
    text = re.sub(r"\b(?:tgworker\.supervision\.(?:_?\w+\.)?|collections\.abc\.|random\.)", "", text)
    text = re.sub(r"<function (?:\w+\.)*(<lambda>|\w+) at 0x[0-9a-f]+>", r"\1", text)
    text = re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", text)
    return text.replace("'", "").replace("~", "").replace("self, ", "").replace("(self)", "()")


def _text(thing: object) -> list[str]:
    return (inspect.getdoc(thing) or "").splitlines()


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
