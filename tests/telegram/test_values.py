"""Telegram's objects become the inbox's values."""

from datetime import UTC, datetime
from typing import Any

import pytest
from telethon.tl import types

from tgworker.messaging.models import ChatMessage, Peer, PeerKind, Position
from tgworker.messaging.outcomes import Sent
from tgworker.telegram.answers import sent_of
from tgworker.telegram.batches import batch_of, position_of, spoken_of
from tgworker.telegram.messages import message_of, short_message_of
from tgworker.telegram.peers import bare_id, input_peer, kind_of, marked_id, peer_of, peers_of, told_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ME = 100
POSITION = Position(pts=5, qts=0, date=1, seq=1)


def said(text: str = "hi", **changes: Any) -> Any:
    fields: dict[str, Any] = {"id": 7, "peer_id": types.PeerUser(200), "date": NOON, "message": text}
    return types.Message(**(fields | changes))


def document(*attributes: Any, mime_type: str = "application/pdf") -> Any:
    return types.MessageMediaDocument(
        document=types.Document(1, 2, b"", NOON, mime_type, 1234, 2, list(attributes))
    )


# ------------------------------------------------ peers


@pytest.mark.parametrize(
    ("peer", "marked", "kind", "bare"),
    [
        (types.PeerUser(5), 5, PeerKind.USER, 5),
        (types.PeerChat(5), -5, PeerKind.CHAT, 5),
        (types.PeerChannel(5), -1_000_000_000_005, PeerKind.CHANNEL, 5),
        (types.PeerUser(7_000_000_000_000), 7_000_000_000_000, PeerKind.USER, 7_000_000_000_000),
    ],
)
def test_a_marked_id_names_the_chat_and_its_kind(peer: Any, marked: int, kind: PeerKind, bare: int) -> None:
    assert marked_id(peer) == marked
    assert kind_of(marked) is kind
    assert bare_id(marked) == bare


def test_a_user_is_a_peer_with_its_access_hash() -> None:
    user = types.User(
        id=9, access_hash=99, first_name="Ada", last_name="L", username="ada", phone="4470", is_self=True
    )
    assert peer_of(user) == Peer(9, PeerKind.USER, 99, "Ada", "L", username="ada", phone="4470", is_self=True)


def test_who_stands_in_the_address_book_is_a_contact() -> None:
    assert peer_of(types.User(id=9, access_hash=99, contact=True)) == Peer(
        9, PeerKind.USER, 99, is_contact=True
    )


def test_one_of_several_usernames_is_the_one_in_use() -> None:
    names = [types.Username("old"), types.Username("current", active=True)]
    peer = peer_of(types.User(id=9, access_hash=99, usernames=names))
    assert peer is not None
    assert peer.username == "current"


def test_groups_and_channels_are_peers() -> None:
    group = types.Chat(3, "Group", types.ChatPhotoEmpty(), 2, NOON, 1)
    channel = types.Channel(4, "Channel", types.ChatPhotoEmpty(), NOON, access_hash=44, username="chan")
    gone = types.ChannelForbidden(6, 66, "Gone")
    assert peers_of([group, channel, gone]) == (
        Peer(-3, PeerKind.CHAT, title="Group"),
        Peer(-1_000_000_000_004, PeerKind.CHANNEL, 44, title="Channel", username="chan"),
        Peer(-1_000_000_000_006, PeerKind.CHANNEL, 66, title="Gone"),
    )


def test_nobody_who_cannot_be_addressed_is_a_peer() -> None:
    nobody = [
        types.UserEmpty(1),
        types.User(id=2, access_hash=5, min=True),
        types.User(id=3),
        types.ChatEmpty(4),
        types.Channel(5, "min", types.ChatPhotoEmpty(), NOON, access_hash=5, min=True),
    ]
    assert peers_of(nobody) == ()


def test_those_whom_telegram_tells_in_part_are_told_of_by_their_names() -> None:
    some = [
        types.User(id=2, access_hash=5, first_name="Ada", phone="44", min=True),
        types.Channel(5, "min", types.ChatPhotoEmpty(), NOON, access_hash=5, username="chan", min=True),
        types.User(id=9, access_hash=99),
        types.UserEmpty(1),
    ]
    assert told_of(some) == (
        Peer(2, PeerKind.USER, first_name="Ada", is_min=True),
        Peer(-1_000_000_000_005, PeerKind.CHANNEL, title="min", username="chan", is_min=True),
        Peer(9, PeerKind.USER, 99),
    )


def test_peers_are_addressed_with_their_access_hashes() -> None:
    assert input_peer(Peer(9, PeerKind.USER, 99)) == types.InputPeerUser(9, 99)
    assert input_peer(Peer(9, PeerKind.USER, 99, is_self=True)) == types.InputPeerSelf()
    assert input_peer(Peer(-3, PeerKind.CHAT)) == types.InputPeerChat(3)
    assert input_peer(Peer(-1_000_000_000_004, PeerKind.CHANNEL, 44)) == types.InputPeerChannel(4, 44)


# ------------------------------------------------ messages


def test_a_text_that_came_in() -> None:
    assert message_of(said("hi", from_id=types.PeerUser(200)), ME) == ChatMessage(
        chat_id=200,
        telegram_id=7,
        sender_id=200,
        outgoing=False,
        text="hi",
        message_type="text",
        sent_at=NOON,
    )


def test_in_private_chats_the_sender_is_known_without_being_named() -> None:
    theirs, mine = message_of(said(), ME), message_of(said(out=True), ME)
    assert theirs is not None
    assert mine is not None
    assert (theirs.sender_id, theirs.outgoing) == (200, False)
    assert (mine.sender_id, mine.outgoing) == (ME, True)


def test_a_channel_post_is_the_channels_own() -> None:
    post = message_of(said(peer_id=types.PeerChannel(4), post=True), ME)
    assert post is not None
    assert post.sender_id == post.chat_id == -1_000_000_000_004


def test_nobody_is_invented_as_the_sender_in_a_group() -> None:
    anonymous = message_of(said(peer_id=types.PeerChat(4)), ME)
    assert anonymous is not None
    assert anonymous.sender_id is None


@pytest.mark.parametrize(
    ("media", "message_type"),
    [
        (None, "text"),
        (types.MessageMediaWebPage(types.WebPageEmpty(1)), "text"),
        (types.MessageMediaPhoto(), "photo"),
        (document(), "document"),
        (document(types.DocumentAttributeAudio(3, voice=True)), "voice"),
        (document(types.DocumentAttributeAudio(3)), "audio"),
        (document(types.DocumentAttributeVideo(3, 1, 1)), "video"),
        (document(types.DocumentAttributeVideo(3, 1, 1, round_message=True)), "video_note"),
        (document(types.DocumentAttributeVideo(3, 1, 1), types.DocumentAttributeAnimated()), "animation"),
        (document(types.DocumentAttributeSticker("x", types.InputStickerSetEmpty())), "sticker"),
        (types.MessageMediaDocument(), "document"),
        (types.MessageMediaGeo(types.GeoPointEmpty()), "location"),
        (types.MessageMediaContact("1", "A", "B", "", 5), "contact"),
        (types.MessageMediaUnsupported(), "unsupported"),
    ],
)
def test_media_give_a_message_its_type(media: Any, message_type: str) -> None:
    message = message_of(said(media=media), ME)
    assert message is not None
    assert message.message_type == message_type


def test_what_else_is_worth_keeping_stands_in_the_payload() -> None:
    media = document(types.DocumentAttributeFilename("a.pdf"), types.DocumentAttributeAudio(3, voice=True))
    message = message_of(
        said("see", media=media, grouped_id=2**62, reply_to=types.MessageReplyHeader(reply_to_msg_id=3)), ME
    )
    assert message is not None
    assert message.text == "see"
    assert message.raw_payload == {
        "media": {"mime_type": "application/pdf", "byte_size": 1234, "file_name": "a.pdf", "duration_s": 3},
        "grouped_id": str(2**62),
        "reply_to": 3,
    }


@pytest.mark.parametrize(
    ("action", "message_type"),
    [
        (types.MessageActionChatJoinedByRequest(), "service_join"),
        (types.MessageActionChatEditPhoto(types.PhotoEmpty(1)), "service_photo"),
        (types.MessageActionContactSignUp(), "service_contact_sign_up"),
    ],
)
def test_rare_actions_are_service_messages(action: Any, message_type: str) -> None:
    service = types.MessageService(
        id=8, peer_id=types.PeerChat(4), date=NOON, action=action, from_id=types.PeerUser(200)
    )
    message = message_of(service, ME)
    assert message is not None
    assert (message.message_type, message.text, message.sender_id) == (message_type, "", 200)
    assert message.raw_payload == {"action": type(action).__name__.removeprefix("MessageAction")}


def test_short_updates_are_messages_too() -> None:
    private = types.UpdateShortMessage(
        id=7, user_id=200, message="hi", pts=6, pts_count=1, date=NOON, out=True
    )
    group = types.UpdateShortChatMessage(
        id=8, from_id=300, chat_id=4, message="ho", pts=7, pts_count=1, date=NOON
    )
    assert short_message_of(private, ME) == ChatMessage(200, 7, ME, True, "hi", "text", NOON)
    assert short_message_of(group, ME) == ChatMessage(-4, 8, 300, False, "ho", "text", NOON)
    assert spoken_of([private, group, types.UpdateUserTyping(5, types.SendMessageTypingAction())]) == {
        200,
        300,
    }


def test_an_empty_message_is_none() -> None:
    assert message_of(types.MessageEmpty(1, types.PeerUser(200)), ME) is None


# ------------------------------------------------ batches


def test_a_batch_keeps_the_order_and_knows_its_position() -> None:
    updates = [
        types.UpdateMessageID(7, 555),
        types.UpdateNewMessage(said("a", id=7), 6, 1),
        types.UpdateUserTyping(5, types.SendMessageTypingAction()),
        types.UpdateNewChannelMessage(said("b", id=8, peer_id=types.PeerChannel(4)), 3, 1),
    ]
    users = [types.User(id=200, access_hash=1, first_name="Bob")]
    batch = batch_of(
        updates, users, [], position=POSITION, self_id=ME, more_peers=[Peer(300, PeerKind.USER, 3)]
    )
    assert [message.text for message in batch.messages] == ["a", "b"]
    assert batch.sent_ids == ((555, 7),)
    assert batch.peers == (Peer(300, PeerKind.USER, 3), Peer(200, PeerKind.USER, 1, "Bob"))
    assert batch.position == POSITION


def test_the_message_boxs_state_is_a_position() -> None:
    state = ({"pts": 3, "qts": 1, "date": NOON, "seq": 2}, {4: 44})
    assert position_of(state) == Position(3, 1, int(NOON.timestamp()), 2, {4: 44})


# ------------------------------------------------ answers


def test_the_first_answer_to_a_plain_text_is_short() -> None:
    assert sent_of(types.UpdateShortSentMessage(12, 6, 1, NOON, out=True), [555]) == Sent(12, NOON)


def test_a_full_answer_names_the_message_by_its_random_id() -> None:
    later = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
    answer = types.Updates(
        [
            types.UpdateMessageID(11, 554),
            types.UpdateMessageID(12, 555),
            types.UpdateNewMessage(said(id=11, date=later, out=True), 6, 1),
            types.UpdateNewMessage(said(id=12, out=True), 7, 1),
        ],
        [], [], later, 0,
    )  # fmt: skip
    assert sent_of(answer, [555]) == Sent(12, NOON)


def test_a_repeat_is_answered_with_the_original() -> None:
    answer = types.Updates(
        [types.UpdateMessageID(3, 555), types.UpdateNewMessage(said(id=3, out=True), 7, 0)], [], [], NOON, 0
    )
    assert sent_of(answer, [555]) == Sent(3, NOON)


def test_an_answer_with_one_message_and_no_random_id_is_that_message() -> None:
    answer = types.Updates(
        [types.UpdateNewChannelMessage(said(id=3, peer_id=types.PeerChannel(4), out=True), 7, 1)],
        [],
        [],
        NOON,
        0,
    )
    assert sent_of(answer, [555]) == Sent(3, NOON)


def test_an_answer_in_an_unknown_form_still_means_sent() -> None:
    assert sent_of(types.UpdatesTooLong(), [555]) == Sent(None)
    assert sent_of(types.UpdateShort(types.UpdateMessageID(9, 555), NOON), [555]) == Sent(9, NOON)


def test_an_album_s_messages_are_named_by_their_random_ids() -> None:
    answer = types.Updates(
        [
            types.UpdateMessageID(11, 554),
            types.UpdateMessageID(12, 555),
            types.UpdateNewMessage(said(id=11, out=True), 6, 1),
            types.UpdateNewMessage(said(id=12, out=True), 7, 1),
        ],
        [], [], NOON, 0,
    )  # fmt: skip
    assert sent_of(answer, [554, 555, 556]) == Sent(11, NOON, ((555, 12),))
