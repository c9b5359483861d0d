"""A program with a canary that prints each lag: cause, whether it was in a step, seconds. Run by tests."""

import random
import sys

import trio

from tgworker.supervision import Canary, ChildSpec, Event, LoopLagged, SupervisorSpec, open_supervisor


def tell(event: Event) -> None:
    if isinstance(event, LoopLagged):
        sys.stdout.write(f"{event.cause} {event.in_step} {event.lag_s}\n")
        sys.stdout.flush()


async def main() -> None:
    spec = SupervisorSpec(children=(ChildSpec("canary", start=Canary(0.1, every_s=0.05)),))
    async with open_supervisor(spec, rng=random.Random(1), observers=(tell,)) as supervisor:
        await supervisor.wait_ready()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
