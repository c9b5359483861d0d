"""Every fault of the gateway: what the client sees, and whether the request was executed."""

from dataclasses import asdict
from typing import Any

import httpx
import pytest
import trio

from tgworker.devstack import Action, Fault, Faults, Stack

WRITE = "/rest/v1/rpc/write_note"


async def notes(stack: Stack) -> int:
    return int(await stack.postgresql.run_sql("select count(*) from notes", database=stack.database)) - 2


async def write(client: httpx.AsyncClient) -> int:
    return (await client.post(WRITE, json={"p_text": "x"})).status_code


async def test_an_error_is_answered_and_nothing_executed(service: httpx.AsyncClient, stack: Stack) -> None:
    stack.faults.set(Fault("error", path="/rest/v1/rpc/*", status=503, count=2))
    assert [await write(service) for _ in range(3)] == [503, 503, 200]
    assert await notes(stack) == 1
    assert stack.faults.hits() == {"error": 2}


@pytest.mark.parametrize(("action", "executed"), [("cut", 0), ("cut_answer", 1), ("lose_answer", 1)])
async def test_a_cut_connection_leaves_the_client_in_doubt(
    action: Action, executed: int, service: httpx.AsyncClient, stack: Stack
) -> None:
    await write(service)  # the connection is one that has been used
    stack.faults.set(Fault(action, path=WRITE, count=1))
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await write(service)
    assert await notes(stack) == 1 + executed
    assert await write(service) == 200


async def test_a_large_answer_is_cut_in_its_middle(service: httpx.AsyncClient, stack: Stack) -> None:
    await service.post("/rest/v1/notes", json={"text": "x" * 50_000})
    stack.faults.set(Fault("cut_answer"))
    got = 0
    try:
        async with service.stream("GET", "/rest/v1/notes") as answer:
            async for piece in answer.aiter_raw():
                got += len(piece)
    except httpx.RemoteProtocolError as error:
        assert "incomplete" in str(error)  # noqa: PT017 - raises() takes one statement
    else:
        pytest.fail("it came as a whole")
    assert 20_000 < got < 50_000


@pytest.mark.parametrize(("action", "executed"), [("blackhole", 0), ("mute", 1)])
async def test_silence_lasts_until_the_client_gives_up(
    action: Action, executed: int, service: httpx.AsyncClient, stack: Stack
) -> None:
    stack.faults.set(Fault(action, count=1))
    with pytest.raises(httpx.ReadTimeout):
        await service.post(WRITE, json={"p_text": "x"}, timeout=0.5)
    assert await notes(stack) == executed
    assert await write(service) == 200


@pytest.mark.parametrize(("action", "executed_meanwhile"), [("delay", 0), ("delay_answer", 1)])
async def test_latency_comes_before_the_request_or_before_its_answer(
    action: Action, executed_meanwhile: int, service: httpx.AsyncClient, stack: Stack
) -> None:
    stack.faults.set(Fault(action, seconds=0.7, count=1))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, service)
        await trio.sleep(0.35)
        assert await notes(stack) == executed_meanwhile
    assert trio.current_time() - began >= 0.7
    assert await notes(stack) == 1


async def test_a_refusal_is_lost_or_late_as_an_answer_is(service: httpx.AsyncClient, stack: Stack) -> None:
    stack.faults.set(Fault("lose_answer", path="/nowhere", count=1))
    with pytest.raises(httpx.ReadError):
        await service.get("/nowhere")
    stack.faults.set(Fault("delay_answer", path="/nowhere", seconds=0.2, count=1))
    began = trio.current_time()
    assert (await service.get("/nowhere")).status_code == 404
    assert trio.current_time() - began >= 0.2


def test_a_fault_happens_where_and_as_often_as_it_says() -> None:
    faults = Faults()
    first = faults.set(Fault("cut", path="/rest/v1/rpc/*", method="POST", skip=1, count=2))
    second = faults.set(Fault("error", path="/rest/*"))
    met = [faults.on_request("POST", "/rest/v1/rpc/a") for _ in range(4)]
    assert [fault and fault.action for fault in met] == ["error", "cut", "cut", "error"]
    assert faults.on_request("GET", "/storage/v1/object/a/b") is None
    assert [each.id for each in faults.listing()] == [second]
    assert (faults.clear(first), faults.clear(), faults.clear()) == (0, 1, 0)
    assert faults.hits() == {"cut": 2, "error": 2}


def test_a_method_is_told_apart() -> None:
    faults = Faults()
    faults.set(Fault("cut", method="POST"))
    assert faults.on_request("GET", "/x") is None
    assert faults.on_request("POST", "/x") is not None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"action": "explode"}, "no fault is called explode"),
        ({"path": "rest"}, "path must begin"),
        ({"method": "post"}, "in capitals"),
        ({"action": "delay"}, "needs seconds"),
        ({"action": "error", "status": 200}, "status must be"),
        ({"count": 0}, "count must be"),
        ({"skip": -1}, "skip must be"),
    ],
)
def test_a_fault_that_could_not_happen_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fault(**{**asdict(Fault("cut")), **wrong})
