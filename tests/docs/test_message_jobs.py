"""The statements of the page about message jobs do what it says, and the reference's table is the code's."""

import re
from pathlib import Path

import pytest

from contracts.store_kit import OWNER, Inbox
from embedded.embedded_kit import open_kit
from tgworker.messaging.job_actions import ACTIONS, read_action
from tgworker.messaging.job_outcomes import MOST_TRIES, JobVerdict
from tgworker.messaging.outcomes import Refused
from tgworker.telegram.message_jobs import REMEDIES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "message-jobs.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "jobs.md").read_text(encoding="utf-8")
STATEMENTS = [
    statement.strip()
    for block in re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for statement in block.split(";")
    if statement.strip()
]
INSERTS = [statement for statement in STATEMENTS if statement.startswith("insert")]


async def test_every_statement_files_a_job_that_can_be_done(tmp_path: Path) -> None:
    with open_kit(tmp_path / "data") as kit:
        inbox = Inbox(kit, await kit.store.add_account("ada", OWNER, "token", user_id=1))
        chat = inbox.chat("500")
        message = inbox.write(chat, "hi")
        await inbox.send(await inbox.claim_one(), 70)
        actions: list[str] = []
        for insert in INSERTS:
            kit.app._connection.execute(insert.replace(":chat", chat), {"owner": OWNER, "message": message})
            (job,) = (await kit.store.claim_jobs([inbox.account], known=())).jobs
            assert not isinstance(read_action(job), Refused), insert
            actions.append(job.action)
            await kit.store.settle_jobs([JobVerdict(job.id, ended=True, error="for the test")])
        assert set(actions) == set(ACTIONS) - {"read"}

        look, again = [statement for statement in STATEMENTS if statement not in INSERTS]
        assert len(kit.app._connection.execute(look).fetchall()) == len(INSERTS)
        kit.app._connection.execute(again)
        assert len((await kit.store.claim_jobs([inbox.account], known=())).jobs) == 2  # and typing beside


def test_the_reference_has_every_action() -> None:
    _, _, rest = REFERENCE.partition("## Actions")
    table, _, _ = rest.partition("## When")
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row) if name != "action"] == [
        "edit",
        "delete",
        "typing",
        "mark_read",
        "read",
        "react",
        "pin",
        "unpin",
        "forward",
    ]
    assert set(ACTIONS) == {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {"action"}
    assert f"After the {MOST_TRIES}th attempt" in REFERENCE


@pytest.mark.parametrize("name", sorted(REMEDIES))
def test_a_remedy_is_one_line(name: str) -> None:
    assert "\n" not in REMEDIES[name]
