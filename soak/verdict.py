"""Both ledgers, compared: what was given, what Telegram holds, and what the store says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from soak.site import Site
from soak.traffic import PARAGRAPH, Chat, Traffic
from tgworker.cli.demo.ledger import Count, compare_chats


@dataclass(frozen=True, slots=True)
class Ledgers:
    """How the two sides compare.

    Attributes:
        outbound: What the application gave against what the partners hold.
        inbound: What the partners gave against what the store has.
        echo: What the accounts' own devices hold as sent against what the store has as sent.
    """

    outbound: Count = field(default_factory=Count)
    inbound: Count = field(default_factory=Count)
    echo: Count = field(default_factory=Count)

    @property
    def equal(self) -> bool:
        """Whether nothing is lost, double, out of order or invented on either side."""
        return self.outbound.clean and self.inbound.clean and self.echo.clean


async def compare(site: Site, traffic: Traffic, *, late: bool = False) -> Ledgers:
    """Look at everything on both sides.

    Args:
        site: Where both are.
        traffic: What was given.
        late: Whether what came in may have been stored late, from a chat's history: then the order in which
            the store got it is not looked at.
    """
    delivered: dict[Chat, list[str]] = {}
    own: dict[Chat, list[str]] = {}
    stored_in: dict[Chat, Sequence[str]] = {}
    stored_out: dict[Chat, Sequence[str]] = {}
    for user, account in zip(site.users, site.accounts, strict=True):
        for partner in site.partners:
            lines = site.sandbox.chat(partner.id, user.id)
            delivered[user.id, partner.id] = [line.text for line in lines if not line.outgoing]
            own[user.id, partner.id] = [
                line.text for line in site.sandbox.chat(user.id, partner.id) if line.outgoing
            ]
        stored_in |= _by_chat(user.id, await site.application.transcript(account, "inbound"))
        rows = await site.application.transcript(account, "outbound")
        stored_out |= {
            (user.id, chat): [part for text in texts for part in text.split(PARAGRAPH)]
            for chat, texts in rows.items()
        }
    return Ledgers(
        outbound=compare_chats(traffic.outbound, delivered),
        inbound=compare_chats(
            traffic.inbound,
            {chat: sorted(texts) for chat, texts in stored_in.items()} if late else stored_in,
        ),
        echo=compare_chats(own, stored_out),
    )


def _by_chat(user_id: int, chats: Mapping[int, Sequence[str]]) -> dict[Chat, Sequence[str]]:
    return {(user_id, chat): texts for chat, texts in chats.items()}
