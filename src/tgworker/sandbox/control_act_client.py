"""The control connection's client side, as far as it is about what users do with messages that are there."""

from collections.abc import Sequence

from tgworker.sandbox.control_acts import (
    ForwardMessages,
    SendReaction,
    SetTyping,
    UnpinAllMessages,
    UpdatePinnedMessage,
    UpdateProfile,
    UpdateStatus,
    UpdateUsername,
)
from tgworker.sandbox.control_line import ControlLine
from tgworker.sandbox.phone_acts import Action
from tgworker.sandbox.presence import ONLINE_S
from tgworker.sandbox.values import SentText


class ActControl(ControlLine):
    """The telephones of a sandbox in another process; see `SandboxControl`, which is one."""

    async def send_reaction(
        self, user_id: int, peer_id: int, message_id: int, *reactions: str | int, big: bool = False
    ) -> None:
        """React to a message as a user; with nothing he takes it back."""
        command = SendReaction(user=user_id, peer=peer_id, message=message_id, reactions=reactions, big=big)
        await self._ask(command, dict[str, int])

    async def update_pinned_message(
        self,
        user_id: int,
        peer_id: int,
        message_id: int,
        *,
        unpin: bool = False,
        silent: bool = False,
        pm_oneside: bool = False,
    ) -> bool:
        """Pin a message as a user, or take its pin off; returns whether that is news."""
        command = UpdatePinnedMessage(
            user=user_id,
            peer=peer_id,
            message=message_id,
            unpin=unpin,
            silent=silent,
            pm_oneside=pm_oneside,
        )
        return (await self._ask(command, dict[str, bool]))["news"]

    async def unpin_all_messages(self, user_id: int, peer_id: int) -> int:
        """Take all pins of a chat off; returns how many there were."""
        return (await self._ask(UnpinAllMessages(user=user_id, peer=peer_id), dict[str, int]))["unpinned"]

    async def forward_messages(
        self, user_id: int, from_id: int, ids: Sequence[int], to_id: int, *, drop_author: bool = False
    ) -> list[SentText]:
        """Forward messages as a user."""
        command = ForwardMessages(
            user=user_id, from_peer=from_id, ids=tuple(ids), to_peer=to_id, drop_author=drop_author
        )
        return (await self._ask(command, dict[str, list[SentText]]))["sent"]

    async def update_status(self, user_id: int, *, offline: bool = False, seconds: float = ONLINE_S) -> None:
        """Let a user be online, for so long if he does not say so again, or offline."""
        command = UpdateStatus(user=user_id, offline=offline, seconds=seconds)
        await self._ask(command, dict[str, int])

    async def set_typing(self, user_id: int, peer_id: int, action: Action = "typing") -> None:
        """Show those who are in a chat that a user types there, or does something else, or nothing more."""
        await self._ask(SetTyping(user=user_id, peer=peer_id, action=action), dict[str, int])

    async def update_profile(
        self, user_id: int, *, first_name: str | None = None, last_name: str | None = None
    ) -> None:
        """Give a user other names; ``None``: it stays."""
        command = UpdateProfile(user=user_id, first_name=first_name, last_name=last_name)
        await self._ask(command, dict[str, int])

    async def update_username(self, user_id: int, username: str) -> None:
        """Give a user another username, or, if it is empty, none."""
        await self._ask(UpdateUsername(user=user_id, username=username), dict[str, int])
