"""Alive, useful, started: what each moment of a worker's life is called."""

from dataclasses import replace

import pytest

from tgworker.operations.probes import WorkerFacts, alive, ready, started

WELL = WorkerFacts(
    supervised=True, stopping=False, synced=True, status="online", store_away=False, telegram_away=False
)


def test_a_worker_that_is_well_says_yes_to_everything() -> None:
    assert alive(WELL).body == {"alive": True}
    assert ready(WELL).body == {"ready": True, "status": "online"}
    assert started(WELL).body == {"started": True}
    assert all(probe(WELL).ok for probe in (alive, ready, started))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"store_away": True}, "the store does not answer"),
        ({"telegram_away": True, "status": "degraded"}, "no account has a line to Telegram"),
        ({"status": "stalled"}, "a loop hangs"),
        ({"stopping": True}, "the worker stops"),
        ({"synced": False, "status": "starting"}, "the accounts have not been read yet"),
        ({"synced": False, "status": "starting", "store_away": True}, "the store does not answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_cured_by_a_new_process_is_alive_and_not_ready(
    change: dict[str, bool | str], reason: str
) -> None:
    facts = replace(WELL, **change)  # type: ignore[arg-type]
    assert alive(facts).ok
    verdict = ready(facts)
    assert (verdict.ok, verdict.body) == (
        False,
        {"ready": False, "status": facts.status, "reason": reason},
    )


def test_a_worker_with_an_account_between_two_lines_is_useful() -> None:
    assert ready(replace(WELL, status="degraded")).body == {"ready": True, "status": "degraded"}


def test_a_worker_has_started_when_the_accounts_were_read() -> None:
    assert not started(replace(WELL, synced=False)).ok
    assert started(replace(WELL, store_away=True, status="stalled")).ok, "and stays so"


def test_without_its_root_supervisor_it_is_not_alive() -> None:
    assert not alive(replace(WELL, supervised=False)).ok
