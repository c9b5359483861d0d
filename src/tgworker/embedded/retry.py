"""When a message whose fate nobody knows is tried again: a pure decision."""

FIRST_S = 1.0
CEILING_S = 60.0


def retry_delay_s(attempts: int) -> float:
    """Seconds to wait after the given number of attempts: 1, 2, 4, … and at most 60.

    Without jitter: one worker holds an account, and its pacing spreads the load.

    Args:
        attempts: How many attempts there were, from 1.
    """
    if attempts > CEILING_S:  # far above the ceiling; keeps the power small
        return CEILING_S
    return min(CEILING_S, FIRST_S * 2.0 ** (attempts - 1))
