"""What users do on their telephones with messages that are there: clients hear of it as of another device."""

from tgworker.sandbox.addressing import letter_of
from tgworker.sandbox.allowing import allowed
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.reacting import check_may_react, check_reactions, react
from tgworker.sandbox.rooms import Rooms


class PhoneActs:
    """The telephones of all users. Peers are marked ids, message ids those of the user who acts.

    Nothing here waits, and nobody is too fast. Every method raises `UnknownUser` or `UnknownPeer` for who is
    not there, and `SandboxError` for what Telegram would refuse, in its words.

    Args:
        cloud: What the sandbox remembers.
        rooms: Finds groups and channels.
    """

    def __init__(self, cloud: Cloud, rooms: Rooms) -> None:
        self._cloud = cloud
        self._rooms = rooms

    def send_reaction(
        self, user_id: int, peer_id: int, message_id: int, *reactions: str | int, big: bool = False
    ) -> None:
        """React to a message, in place of what the user chose before; with nothing he takes it back.

        Args:
            user_id: Who.
            peer_id: The chat.
            message_id: The message.
            reactions: One emoji; up to three, and custom ones by their numbers, of a user who pays.
            big: Whether it is shown large.
        """
        user, room = self._cloud.directory.get(user_id), self._rooms.find(peer_id)
        with allowed():
            letter = letter_of(user, room, message_id)
            check_may_react(user, room)
            react(self._cloud, user, room, letter, check_reactions(user, reactions), big=big)
