"""``messages.*`` about the list of chats."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.addressing import room_of
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.mailbox import Chat
from tgworker.sandbox.peers import input_peer_of, peer_view
from tgworker.sandbox.reacting import unseen
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.history import given, page_limit, within
from tgworker.sandbox.requests.updates import state_view
from tgworker.sandbox.room_views import people_view, post_view
from tgworker.sandbox.telling import tell, updates_view
from tgworker.sandbox.update_log import Filed
from tgworker.sandbox.update_views import update_view
from tgworker.sandbox.views import message_view


class Top(NamedTuple):
    """A chat in the list of chats, which is sorted by these.

    Attributes:
        date: When its newest message was sent.
        id: That message's number.
        peer: The chat, as a marked id.
        where: What the account has of it.
    """

    date: datetime
    id: int
    peer: int
    where: Chat | Channel


def get_dialogs(call: Call, request: Any) -> Answer:
    """``messages.getDialogs``: the chats, the one with the newest message first. None is pinned.

    Without ``folder_id`` all, else those of the archive (1) or those outside of it (0).
    """
    tops = _tops(call.cloud, call.me, call.within)
    if request.folder_id is not None:
        archived = call.me.mailbox.archived
        tops = [each for each in tops if (each.peer in archived) is bool(request.folder_id)]
    page = [each for each in tops if _follows(call, each, request)][: page_limit(request.limit)]
    dialogs, messages, chats, users = _dialogs(call, page)
    if len(page) == len(tops):
        return types.messages.Dialogs(dialogs, messages, chats, users)
    return types.messages.DialogsSlice(len(tops), dialogs, messages, chats, users)


def get_peer_dialogs(call: Call, request: Any) -> Answer:
    """``messages.getPeerDialogs``: certain chats, those without messages left out."""
    peers = [
        room_of(call.cloud, call.me, each.peer).peer
        for each in request.peers
        if isinstance(each, types.InputDialogPeer)
    ]
    page = [top for top in _tops(call.cloud, call.me) if top.peer in peers]
    return types.messages.PeerDialogs(*_dialogs(call, page), state_view(call))


def edit_peer_folders(call: Call, request: Any) -> Answer:
    """``folders.editPeerFolders``: into the archive (1) and out of it (0)."""
    archived = call.me.mailbox.archived
    moved: dict[int, list[int]] = {0: [], 1: []}
    for each in request.folder_peers:
        if not isinstance(each, types.InputFolderPeer) or each.folder_id not in moved:
            raise RequestRefused(400, "FOLDER_ID_INVALID")
        moved[each.folder_id].append(room_of(call.cloud, call.me, each.peer).peer)
    updates: list[Any] = []
    for folder_id, peers in moved.items():
        if peers:
            (archived.update if folder_id else archived.difference_update)(peers)
            entry = call.me.mailbox.log.append(Filed(tuple(peers), folder_id))
            tell(call.cloud, call.me, entry, peers, skip=call.line)
            updates.append(update_view(call.me, entry))
    return updates_view(call.cloud, call.me, updates, moved[0] + moved[1])


def channel_dialog_view(viewer: Account, channel: Channel) -> Any:
    """A channel in the list of chats, with where its log stands."""
    member = channel.members.get(viewer.id)
    return _dialog_view(
        channel.peer,
        channel.ids[-1] if channel.ids else 0,
        read_in=0 if member is None else member.read_inbox_max_id,
        read_out=0 if member is None else member.read_outbox_max_id,
        unread=channel.unread(viewer.id),
        unseen_reactions=len(unseen(viewer, channel.peer, channel.letters).ids),
        pts=channel.log.pts,
        archived=channel.peer in viewer.mailbox.archived,
    )


def _follows(call: Call, top: Top, request: Any) -> bool:
    """Whether a chat comes after the one that a page is to begin behind."""
    date = given(request.offset_date)
    if date is None:
        return not request.offset_id or bool(top.id < request.offset_id)
    offset_id: int = request.offset_id
    if top.date != date or not offset_id:
        return top.date < date
    if top.id != offset_id:
        return top.id < offset_id
    myself = isinstance(request.offset_peer, types.InputPeerSelf)
    offset_peer = call.me.id if myself else input_peer_of(request.offset_peer)
    return offset_peer is not None and top.peer < offset_peer


def _tops(cloud: Cloud, account: Account, numbers: range | None = None) -> list[Top]:
    """The chats that hold messages, newest first; in a range of an export those that hold some of it.

    Channels, which count by themselves, are in the newest range.
    """
    histories = {peer: account.mailbox.history(peer) for peer in account.mailbox.chats}
    if numbers is not None:
        histories = {peer: within(history, numbers) for peer, history in histories.items()}
    tops = [
        _top(peer, history.ids[-1], account.mailbox.letters, account.mailbox.chats[peer])
        for peer, history in histories.items()
        if history.ids
    ]
    if numbers is None or numbers.stop > account.mailbox.last_id:
        tops += [
            _top(channel.peer, channel.ids[-1], channel.letters, channel)
            for channel in cloud.channels.of_user(account.id)
            if channel.ids
        ]
    return sorted(tops, key=lambda top: top[:3], reverse=True)


def _top(peer: int, message_id: int, letters: dict[int, Letter], where: Chat | Channel) -> Top:
    return Top(letters[message_id].date, message_id, peer, where)


def _dialogs(call: Call, tops: Sequence[Top]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    dialogs: list[Any] = []
    messages: list[Any] = []
    about = [call.me.id]
    for top in tops:
        if isinstance(top.where, Channel):
            letter = top.where.letters[top.id]
            dialogs.append(channel_dialog_view(call.me, top.where))
            messages.append(post_view(call.me, top.where, letter))
        else:
            letter = call.me.mailbox.letters[top.id]
            dialogs.append(_chat_dialog_view(call.me, top))
            messages.append(message_view(call.me, letter))
        about += letter.mentions()
    people = people_view(call.cloud, call.me, about)
    return dialogs, messages, people.chats, people.users


def _chat_dialog_view(viewer: Account, top: Top) -> Any:
    chat, peer = top.where, top.peer
    assert isinstance(chat, Chat)
    return _dialog_view(
        peer,
        top.id,
        read_in=chat.read_inbox_max_id,
        read_out=chat.read_outbox_max_id,
        unread=len(chat.unread),
        unseen_reactions=len(unseen(viewer, peer, viewer.mailbox.letters).ids),
        archived=peer in viewer.mailbox.archived,
    )


def _dialog_view(
    peer: int,
    top_message: int,
    *,
    read_in: int,
    read_out: int,
    unread: int,
    unseen_reactions: int,
    archived: bool,
    pts: int | None = None,
) -> Any:
    return types.Dialog(
        peer=peer_view(peer),
        top_message=top_message,
        read_inbox_max_id=read_in,
        read_outbox_max_id=read_out,
        unread_count=unread,
        unread_mentions_count=0,
        unread_reactions_count=unseen_reactions,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
        pts=pts,
        folder_id=1 if archived else None,
    )
