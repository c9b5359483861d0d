"""An account that wedges the worker again and again, in real processes: it is kept away from the others."""

import json
import signal
from pathlib import Path

import pytest
import trio

from guard.guarded_site import SABOTAGE, Guard, open_site, until
from tgworker.messaging.models import AccountId

pytestmark = pytest.mark.slow


def came_online(guard: Guard, account: AccountId) -> list[int]:
    """At which lines an account came online."""
    return [
        number
        for number, line in enumerate(guard.lines)
        if line["event"] == "account changed" and (line["account"], line["state"]) == (account, "online")
    ]


async def test_a_child_that_swallows_cancellation_costs_a_worker_thrice_and_then_its_own_account(
    tmp_path: Path,
) -> None:
    async with open_site(
        tmp_path, accounts=2, freeze_after_s=10, heartbeat_s=2, TGWORKER_STALL_AFTER_S="1"
    ) as site:
        bad, good = site.accounts
        async with site.guard(program=SABOTAGE) as guard:
            for nth in (1, 2, 3):
                pid = await guard.worker_pid(nth=nth)
                await site.wait_online(bad, good, beyond=0)
                assert (await site.answer() or {})["pid"] == pid
                site.do(bad, "swallow")
                exits = await guard.line("worker exits, because a task does not die", nth=nth)
                assert exits["child"] == f"root.account.{bad}"
                ended = await guard.line("worker ended", nth=nth)
                assert (ended["worker_pid"], ended["reason"]) == (pid, "exit code 75")
                if nth == 1:
                    assert ended["restart_in_s"] == 0, "at once"
            said = [line["reason"] for line in guard.said("account has wedged the worker", account=bad)]
            assert said[:2] == [None, "it starts last from now on"]
            assert said[2] == "quarantined: it has wedged the worker, 3 faults in a row"
            assert not guard.said("worker is frozen")

            await site.wait_online(good, beyond=await guard.worker_pid(nth=3))
            first_of_third = guard.lines.index(await guard.line("worker forked", nth=3))
            mine, others = (
                [at for at in came_online(guard, one) if at > first_of_third] for one in (bad, good)
            )
            assert others[0] < mine[0], "after its second fault it started last"
            assert len(mine) == 1, "after its third not at all"

            await site.give(good, ["not disturbed"])
            await until(lambda: site.arrived(good) == ["not disturbed"])
            shown = (await guard.line("account changed", account=bad, state="waiting", nth=2))["reason"]
            assert shown.startswith(said[2])
            accounts = json.loads((await site.command("accounts", "list", "--json")).stdout)
            last_errors = {account["id"]: account["last_error"] for account in accounts}
            assert last_errors == {good: None, bad: shown}
            assert await guard.end() == 0

        faults = json.loads((site.data.path / "faults.json").read_text())
        assert [(fault["account"], fault["what"]) for fault in faults] == [(bad, "wedged")] * 3
        async with site.guard() as another:  # it is remembered outside of all of them
            await site.wait_online(good)
            line = await another.line("account changed", account=bad)
            assert (line["state"], line["reason"]) == ("waiting", shown)
            (site.data.path / "faults.json").unlink()
            assert await another.end(signal.SIGINT) == 0
        async with site.guard():  # forgiven
            with trio.fail_after(20):
                await site.wait_online(good, bad)
