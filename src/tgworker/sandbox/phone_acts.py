"""What users do on their telephones with messages that are there: clients hear of it as of another device."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.addressing import check_may_write, letter_of
from tgworker.sandbox.allowing import allowed
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import SandboxError
from tgworker.sandbox.forwarding import check_may_forward, forward
from tgworker.sandbox.pinning import announce_pin, is_announced, pinned_letters, set_pinned
from tgworker.sandbox.presence import ONLINE_S, show_typing, update_status
from tgworker.sandbox.profile import update_profile, update_username
from tgworker.sandbox.reacting import check_may_react, check_reactions, react
from tgworker.sandbox.rooms import Rooms
from tgworker.sandbox.values import SentText

Action = Literal[
    "typing",
    "cancel",
    "record_video",
    "upload_video",
    "record_audio",
    "upload_audio",
    "upload_photo",
    "upload_document",
    "geo_location",
    "choose_contact",
    "record_round",
    "upload_round",
    "choose_sticker",
]
"""What somebody may be seen doing (https://core.telegram.org/type/SendMessageAction)."""

_ACTIONS: Mapping[Action, Any] = MappingProxyType(
    {
        "typing": types.SendMessageTypingAction(),
        "cancel": types.SendMessageCancelAction(),
        "record_video": types.SendMessageRecordVideoAction(),
        "upload_video": types.SendMessageUploadVideoAction(0),
        "record_audio": types.SendMessageRecordAudioAction(),
        "upload_audio": types.SendMessageUploadAudioAction(0),
        "upload_photo": types.SendMessageUploadPhotoAction(0),
        "upload_document": types.SendMessageUploadDocumentAction(0),
        "geo_location": types.SendMessageGeoLocationAction(),
        "choose_contact": types.SendMessageChooseContactAction(),
        "record_round": types.SendMessageRecordRoundAction(),
        "upload_round": types.SendMessageUploadRoundAction(0),
        "choose_sticker": types.SendMessageChooseStickerAction(),
    }
)


MAX_ONLINE_S = 86_400 * 366


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

    def update_pinned_message(
        self,
        user_id: int,
        peer_id: int,
        message_id: int,
        *,
        unpin: bool = False,
        silent: bool = False,
        pm_oneside: bool = False,
    ) -> bool:
        """Pin a message, or take its pin off; returns whether that is news.

        Args:
            user_id: Who.
            peer_id: The chat.
            message_id: The message.
            unpin: Whether its pin is taken off.
            silent: Whether the chat is told without a sound.
            pm_oneside: Whether for himself alone, in a private chat: then nothing is said of it there.
        """
        user, room = self._cloud.directory.get(user_id), self._rooms.find(peer_id)
        with allowed():
            letter = letter_of(user, room, message_id)
            check_may_write(user, room)
        entry = set_pinned(self._cloud, user, room, [letter], pinned=not unpin, oneside=pm_oneside)
        if entry is not None and not unpin and is_announced(user, room, oneside=pm_oneside):
            announce_pin(self._cloud, user, room, letter, silent=silent)
        return entry is not None

    def unpin_all_messages(self, user_id: int, peer_id: int) -> int:
        """Take all pins of a chat off; returns how many there were."""
        user, room = self._cloud.directory.get(user_id), self._rooms.find(peer_id)
        with allowed():
            check_may_write(user, room)
        pinned = pinned_letters(user, room)
        set_pinned(self._cloud, user, room, pinned, pinned=False)
        return len(pinned)

    def forward_messages(
        self, user_id: int, from_id: int, ids: Iterable[int], to_id: int, *, drop_author: bool = False
    ) -> list[SentText]:
        """Forward messages.

        Args:
            user_id: Who.
            from_id: The chat that they are in.
            ids: They.
            to_id: The chat that they go to.
            drop_author: Whether they go as his own.
        """
        user = self._cloud.directory.get(user_id)
        source, to = self._rooms.find(from_id), self._rooms.find(to_id)
        with allowed():
            letters = [letter_of(user, source, each) for each in ids]
            check_may_forward(source)
            check_may_write(user, to)
        albums: dict[int, int] = {}
        sent: list[SentText] = []
        for each in letters:
            group = each.group
            if group is not None:
                group = albums.setdefault(group, self._cloud.rng.getrandbits(62))
            mine = forward(self._cloud, user, source, each, to, drop_author=drop_author, group=group)
            theirs = mine.copies.get(to.id, 0) if isinstance(to, Account) else 0
            sent.append(SentText(mine.id, mine.id if isinstance(to, Channel) else theirs))
        return sent

    def update_status(self, user_id: int, *, offline: bool = False, seconds: float = ONLINE_S) -> None:
        """Let a user be online, for so long if he does not say so again, or offline.

        Those hear of it who have him among their contacts, or a private chat with him. When the time is over,
        nobody is told: their clients know it from ``expires``.
        """
        if not 0 < seconds <= MAX_ONLINE_S:
            raise SandboxError(f"seconds must be above 0 and at most {MAX_ONLINE_S}")
        update_status(self._cloud, self._cloud.directory.get(user_id), offline=offline, seconds=seconds)

    def set_typing(self, user_id: int, peer_id: int, action: Action = "typing") -> None:
        """Show those who are in a chat that a user types there, or does something else, or nothing more."""
        user, room = self._cloud.directory.get(user_id), self._rooms.find(peer_id)
        if action not in get_args(Action):
            raise SandboxError(f"nobody does {action}: choose one of {', '.join(get_args(Action))}")
        with allowed():
            check_may_write(user, room)
        show_typing(self._cloud, user, room, _ACTIONS[action])

    def update_profile(
        self, user_id: int, *, first_name: str | None = None, last_name: str | None = None
    ) -> None:
        """Give a user other names; ``None``: it stays. Those who know him hear of it."""
        with allowed():
            update_profile(
                self._cloud, self._cloud.directory.get(user_id), first_name=first_name, last_name=last_name
            )

    def update_username(self, user_id: int, username: str) -> None:
        """Give a user another username, or, if it is empty, none. Those who know him hear of it."""
        with allowed():
            update_username(self._cloud, self._cloud.directory.get(user_id), username)
