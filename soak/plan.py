"""What a soak is to do."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A soak.

    Attributes:
        seconds: How long things break.
        accounts: How many accounts the worker has.
        partners: With how many people each of them talks.
        per_s: Messages a second, each way, in all chats together.
        kill_every_s: From one kill -9 (of the worker or of its guard) to the next, on average.
        guard_share: Which part of the kills strikes the guard. The next one is another holder: on Supabase it
            waits until the leases of the killed one have run out.
        break_every_s: From one other fault to the next, on average.
        settle_within_s: How long it may take, once nothing breaks any more, until both sides agree: a deaf
            line is found out every five minutes.
        supabase: Whether the store is a local stack, whose parts break too; else it is the embedded one.
        seed: Of everything random here.
        variables: The worker's environment, beyond what it needs to run at all.
    """

    seconds: float = 600
    accounts: int = 4
    partners: int = 3
    per_s: float = 8
    kill_every_s: float = 20
    guard_share: float = 0.3
    break_every_s: float = 3
    settle_within_s: float = 600
    supabase: bool = False
    seed: int = 1
    variables: dict[str, str] = field(default_factory=dict[str, str])
