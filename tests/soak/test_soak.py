"""The short form of ``scripts/soak``, and the proof that it sees what it is there for."""

from pathlib import Path

import pytest

from soak.__main__ import main
from soak.breaking import BREAKAGES, STORE_BREAKAGES
from soak.plan import Plan
from soak.run import soak
from soak.site import open_site
from soak.traffic import Traffic
from soak.verdict import compare
from tgworker.devstack import Binaries

SHORT = Plan(
    seconds=10,
    accounts=2,
    partners=2,
    per_s=10,
    kill_every_s=4,
    break_every_s=0.4,
    settle_within_s=60,
    variables={
        "TGWORKER_DEADLINE_SEND_S": "3",
        "TGWORKER_FREEZE_AFTER_S": "1",
        "TGWORKER_HEARTBEAT_S": "1",
    },
)


@pytest.mark.slow
async def test_ten_seconds_of_kills_and_every_fault_leave_both_ledgers_equal(tmp_path: Path) -> None:
    said: list[str] = []
    found = await soak(SHORT, tmp_path, say=said.append)
    result = found.as_object()
    assert found.ok, (result, tmp_path / "worker.log")
    assert found.ledgers.outbound.arrived > 20
    assert found.ledgers.inbound.arrived > 20
    assert found.kills.total() >= 1
    assert len(found.faults) >= len(BREAKAGES) // 2


@pytest.mark.slow
async def test_the_same_on_supabase_whose_servers_are_killed_too(
    tmp_path: Path, stack_binaries: Binaries
) -> None:
    plan = Plan(
        seconds=12,
        accounts=2,
        partners=2,
        per_s=6,
        kill_every_s=6,
        guard_share=0,
        break_every_s=0.5,
        settle_within_s=60,
        supabase=True,
        seed=2,
        variables=SHORT.variables,
    )
    found = await soak(plan, tmp_path, say=lambda _: None)
    assert found.ok, (found.as_object(), tmp_path / "worker.log")
    assert set(found.faults) & set(STORE_BREAKAGES)


async def test_a_message_that_is_missing_doubled_or_made_up_is_seen(tmp_path: Path) -> None:
    async with open_site(SHORT, tmp_path) as site:
        traffic = Traffic(site)
        (user, _), (partner, _) = site.users, site.partners
        nothing = await compare(site, traffic)
        assert nothing.equal
        # Nobody stores what comes in: there is no worker.
        site.sandbox.send_text(partner.id, user.id, "soak in 1")
        assert (await compare(site, traffic)).equal  # nobody gave it to the ledger
        traffic._in[user.id, partner.id].append("soak in 1")
        assert (await compare(site, traffic)).inbound.lost == 1
        # Somebody else sends what the application gave, twice, and what it did not give.
        traffic._out[user.id, partner.id] += ["soak out 2", "soak out 3"]
        for text in ("soak out 3", "soak out 2", "soak out 2", "soak out 9"):
            site.sandbox.send_text(user.id, partner.id, text)
        seen = await compare(site, traffic)
        assert (seen.outbound.lost, seen.outbound.duplicated) == (0, 1)
        assert (seen.outbound.out_of_order, seen.outbound.unexpected) == (1, 1)
        assert seen.echo.lost == 4  # sent, and the store knows nothing of it


@pytest.mark.parametrize("words", [["--minutes", "0"], ["--accounts", "0"], ["--minutes", "many"]])
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err
