"""Every task's stack: complete, without values, and without keeping anybody waiting."""

import pytest
import trio
import trio.testing

from tgworker.operations import task_stacks
from tgworker.operations.task_stacks import every_stack


async def waits_for_something(secret: str) -> None:
    assert secret
    await trio.sleep_forever()


async def test_every_task_is_shown_where_it_waits_and_no_value_is() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits_for_something, "recognisable", name="one of ours")
        await trio.testing.wait_all_tasks_blocked()
        text = await every_stack({})
        nursery.cancel_scope.cancel(reason="the test is over")
    lines = text.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.strip() == "task one of ours"]
    assert "in waits_for_something" in lines[start + 1]
    assert lines[start + 2].strip() == "await trio.sleep_forever()"
    assert "recognisable" not in text


async def test_stacks_that_trio_does_not_know_follow_under_their_titles() -> None:
    text = await every_stack({"account 1": lambda: "its asyncio side", "account 2": lambda: None})
    assert text.endswith("\naccount 1\nits asyncio side\n")
    assert "account 2" not in text


async def test_others_run_between_two_stacks() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        for _ in range(50):
            nursery.start_soon(trio.sleep_forever)
        await trio.lowlevel.checkpoint()
        before = turns
        await every_stack({})
        assert turns - before >= 50
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_tasks_that_end_meanwhile_hurt_nobody() -> None:
    async with trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(20)]

        async def wait(scope: trio.CancelScope) -> None:
            with scope:
                await trio.sleep_forever()

        for scope in scopes:
            nursery.start_soon(wait, scope)
        await trio.testing.wait_all_tasks_blocked()

        async def end_all() -> None:
            for scope in scopes:
                scope.cancel(reason="the test says so")
                await trio.lowlevel.checkpoint()

        nursery.start_soon(end_all)
        assert "task" in await every_stack({})


async def test_a_dump_without_end_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_stacks, "LARGEST_CHARACTERS", 100_000)
    text = await every_stack({str(number): lambda: "x" * 1000 for number in range(200)})
    assert text.endswith("\n… and more\n")
    assert len(text) < 110_000
