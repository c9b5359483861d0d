"""Files that messages carry, either way: what the loops that move them ask of the database."""

from tgworker.messaging.models import Attempt
from tgworker.supabase.rest import Rest


class OutgoingMedia:
    """Fills `tgworker.messaging.media_ports.OutgoingMediaStore`. Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def record_progress(self, attempt: Attempt, done: int, total: int) -> None:
        """See the port."""
        arguments = {
            "p_message": attempt.message_id,
            "p_claim": attempt.fence,
            "p_done": done,
            "p_total": total,
        }
        await self._rest.do("tgworker_record_progress", arguments)
