"""An unmodified Telethon on plain asyncio, in a process of its own, gets along with the sandbox.

One process plays all scenes of `unmodified_client.py`; each test here looks at one of them.
"""

import json
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
from telethon.tl import types

from sandbox.unmodified_files import PICTURE
from tgworker.sandbox import Statistics, open_sandbox
from tgworker.sandbox.methods import method_name
from tgworker.sandbox.requests.table import request_table

pytestmark = pytest.mark.slow

PROGRAM = "sandbox.unmodified_client"
TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Report:
    scenes: dict[str, Any]
    statistics: Statistics


@pytest.fixture(scope="module")
def report() -> Report:
    return trio.run(play)


async def play() -> Report:
    async with open_sandbox(users=4, control_port=0, more_dcs=(4,)) as sandbox:
        facts = {
            "server": sandbox.server,
            "public_key": sandbox.public_key_pem,
            "control": sandbox.control,
            "users": [
                {"id": user.id, "phone": user.phone, "username": user.username, "session": user.session}
                for user in sandbox.users
            ],
        }
        with trio.fail_after(50):
            process = await trio.run_process(
                [sys.executable, "-m", PROGRAM],
                cwd=TESTS,
                stdin=json.dumps(facts).encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        assert process.returncode == 0, process.stderr.decode()
        return Report(json.loads(process.stdout), sandbox.statistics())


def test_every_tcp_transport_that_telethon_has(report: Report) -> None:
    assert report.scenes["transports"] == {
        "ConnectionTcpFull": True,
        "ConnectionTcpAbridged": True,
        "ConnectionTcpIntermediate": True,
        "ConnectionTcpPadded": True,
        "ConnectionTcpObfuscated": True,
    }


def test_login_by_phone_and_code_with_a_fresh_handshake(report: Report) -> None:
    assert report.scenes["login"] == {
        "authorized before": False,
        "unknown number": "PhoneNumberUnoccupiedError",
        "bad number": "PhoneNumberInvalidError",
        "wrong code": "PhoneCodeInvalidError",
        "stale code": "PhoneCodeExpiredError",
        "signed in as": 1001,
        "phone": True,
        "dialogs work": True,
        "the session holds": 1001,
        "logged out": True,
        "authorized after": False,
    }
    assert report.statistics.handshakes >= 2


def test_people_are_found_and_access_hashes_are_checked(report: Report) -> None:
    assert report.scenes["people"] == {
        "me": True,
        "by name": True,
        "by phone": True,
        "contacts": True,
        "full": True,
        "unknown name": "ValueError",
        "wrong hash": "PeerIdInvalidError",
        "zero hash": "PeerIdInvalidError",
        "zero hash, full": "UserIdInvalidError",
        "zero hash, users": "UserEmpty",
        "hashes differ": True,
        "another's hash": "PeerIdInvalidError",
    }


def test_texts_with_edits_deletes_reads_and_typing(report: Report) -> None:
    assert report.scenes["texts"] == {
        "sent": "a bold word",
        "entities sent": ["MessageEntityBold"],
        "arrived": "a bold word",
        "entities": ["MessageEntityBold"],
        "sender": True,
        "from_id": None,
        "edited": ["another text", True],
        "edited to the same": "MessageNotModifiedError",
        "edited by another": "MessageAuthorRequiredError",
        "typing": True,
        "read": 1,
        "read up to": True,
        "reply": "a reply",
        "deleted": 2,
        "gone": [],
        "too long": "MessageTooLongError",
        "longest": 4096,
        "empty": "MessageEmptyError",
        "outside": "EntityBoundsInvalidError",
        "missing message": "MessageIdInvalidError",
        "status": True,
        "many at once": 120,
    }


def test_history_is_read_as_iter_messages_reads_it(report: Report) -> None:
    assert report.scenes["histories"] == {
        "all": True,
        "total": 230,
        "limited": [229, 228, 227, 226, 225],
        "reversed": True,
        "reversed, limited": [0, 1, 2],
        "from id": [2, 1, 0],
        "reversed from id": [228, 229],
        "between": [4, 3, 2],
        "add_offset": [226, 225],
        "search": [*range(229, 219, -1), 122, 22],
        "by id": [None, "229"],
        "dialogs": True,
        "one dialog": True,
        "peer dialogs": True,
        "pts": True,
        "unread after": 0,
    }


def test_differences_and_repeated_random_ids(report: Report) -> None:
    assert report.scenes["differences"] == {
        "first answer": "UpdateShortSentMessage",
        "repeat": ["UpdateMessageID", "UpdateNewMessage"],
        "same id": True,
        "repeat moves no pts": 0,
        "refused": "ValueError",  # what Telethon makes of a 500 once it is tired of it
        "new": ["kept, edited", "mine"],
        "others": ["UpdateDeleteMessages", "UpdateMessageID", "UpdateReadHistoryInbox"],
        "numbered": [[True, 77]],
        "sliced": ["kept, edited", "mine"],
        "current": "DifferenceEmpty",
        "too long": "DifferenceTooLong",
    }


def test_telethon_reconnects_again_and_again_and_its_key_lives(report: Report) -> None:
    assert report.scenes["reconnections"] == {"done": [0, 1, 2, 3, 4], "duplicated": 0}


def test_keys_die_in_every_way(report: Report) -> None:
    assert report.scenes["deaths"] == {
        "SESSION_REVOKED": "SessionRevokedError",
        "AUTH_KEY_UNREGISTERED": "AuthKeyUnregisteredError",
        "the second": "AuthKeyDuplicatedError",
        "the first": "AuthKeyDuplicatedError",
        "for ever": "AuthKeyDuplicatedError",
        "banned": "UserDeactivatedError",
        "banned, login": "PhoneNumberBannedError",
        "unknown key": "AuthKeyNotFound",
    }
    assert report.statistics.duplicated_keys == 1


def test_what_else_a_client_asks(report: Report) -> None:
    assert report.scenes["odds_and_ends"] == {
        "nearest": 2,
        "config": [2, True, 4096],
        "app config": "AppConfig",
        "not in the sandbox": "MethodInvalidError",
    }


def test_every_request_that_the_sandbox_answers_was_sent_by_the_client(report: Report) -> None:
    table = request_table()
    answered = {method_name(request) for request in (*table.public, *table.members)}
    assert answered <= set(report.statistics.requests)


def test_a_client_that_leaves_leaves_nothing_behind(report: Report) -> None:
    assert report.statistics.open == 0
    assert report.statistics.overflows == 0


def test_basic_groups(report: Report) -> None:
    assert report.scenes["groups"] == {
        "made": ["UpdateChatParticipants", "UpdateNewMessage"],
        "created": [True, True, "Choir"],
        "chat id": [True, True],
        "author": [True, "to all"],
        "entities": ["MessageEntityBold"],
        "edited": "changed",
        "read": [True, True],
        "typing": True,
        "full": [1001, 1002, 1003],
        "listed": ["Choir"],
        "removed": True,
        "too early": "UserAlreadyParticipantError",
        "another's": "MessageDeleteForbiddenError",
        "deleted": [None, True],  # without a chat id: ids of groups and private chats count per account
        "history": ["MessageService", "MessageService", "MessageService"],
        "dialogs": True,
        "no such group": "PeerIdInvalidError",
        "not in it": "PeerIdInvalidError",
    }


def test_channels_and_supergroups(report: Report) -> None:
    assert report.scenes["channels"] == {
        "invited": ["UpdateNewChannelMessage"],
        "chat id": True,
        "one id for all": [3, 3, 4],
        "author": True,
        "edited": "to all of you",
        "read": [True, True],
        "by id": ["to all of you", None],
        "history": ["aye", "to all of you"],
        "total": 4,
        "search": ["aye"],
        "full": [3, 6],
        "participants": [1001, 1002, 1003],
        "listed": "Crew",
        "dialog": [1, 6],
        "another's": "MessageDeleteForbiddenError",
        "deleted": [True, True],
        "slow": "SlowModeWaitError",
        "lengths": "SecondsInvalidError",
        "left": "ChannelPrivateError",
        "post": [True, True, None],
        "only the creator": "ChatAdminRequiredError",
        "wrong hash": "ChannelInvalidError",
    }


def test_differences_of_channels_come_in_slices_or_are_too_long(report: Report) -> None:
    assert report.scenes["channel_differences"] == {
        "whole": [str(number) for number in range(7)],
        "final": True,
        "sliced": [3, [str(number) for number in range(7)]],
        "current": "ChannelDifferenceEmpty",
        "too long": ["ChannelDifferenceTooLong", True, "6"],
        "short enough": 3,
        "nowhere": "PersistentTimestampEmptyError",
    }


def test_telethon_catches_up_in_channels_and_in_private(report: Report) -> None:
    assert report.scenes["catching_up"] == {
        "channel": [f"c{number}" for number in range(5)],
        "private": [f"p{number}" for number in range(5)],
    }


def test_a_group_becomes_a_supergroup(report: Report) -> None:
    assert report.scenes["migration"] == {
        "answer": ["UpdateChannel", "UpdateNewMessage", "UpdateNewChannelMessage"],
        "last": ["MessageActionChatMigrateTo", True],
        "first": ["MessageActionChannelMigrateFrom", True],
        "first id": [1, 2],
        "new": [True, 2],
        "the old one": "PeerIdInvalidError",
        "points to": [True, True],
        "again": "ChatIdInvalidError",
    }


def test_contacts_and_strangers(report: Report) -> None:
    assert report.scenes["acquaintances"] == {
        "min": [True, False, None],
        "min hash": "PeerIdInvalidError",
        "from message": "by a message of his",
        "from another": "MsgIdInvalidError",
        "contacts": 1,
        "imported": [[True, 11]],
        "phone now": True,
        "mutual": [True, False],
        "unchanged": "ContactsNotModified",
        "later": [11, 12],
        "deleted": [False],
        "no name": "UsernameInvalidError",
        "no such name": "UsernameNotOccupiedError",
        "no such phone": "PhoneNotOccupiedError",
    }


def test_the_list_of_chats_has_pages_and_an_archive(report: Report) -> None:
    assert report.scenes["archive"] == {
        "newest first": True,
        "paged": True,
        "count": True,
        "archived": True,
        "shown": True,
        "after": True,
        "folder": "FolderIdInvalidError",
    }


def test_reactions(report: Report) -> None:
    assert report.scenes["reactions"] == {
        "heard": [True, "👍"],
        "whose": True,
        "read": [1],
        "asked": 1,
        "again": "MessageNotModifiedError",
        "none": "ReactionInvalidError",
        "unseen": [True],
        "seen": [],
        "taken back": [],
    }


def test_pins(report: Report) -> None:
    assert report.scenes["pins"] == {
        "said": ["MessageActionPinMessage", True],
        "heard": [True, "pin me"],
        "unpinned": [True, None],
        "in a group": ["one", "two"],
        "pinned": ["two", "one"],
        "left": [],
    }


def test_forwards(report: Report) -> None:
    assert report.scenes["forwards"] == {
        "sent": ["first", "second"],
        "origin": [True, True],
        "text": ["first", "second"],
        "without": [None, None],
        "shut": "ChatForwardsRestrictedError",
        "nothing": "MessageIdInvalidError",
    }


def test_presence(report: Report) -> None:
    assert report.scenes["presence"] == {
        "online": [True, True],
        "seen": "UserStatusOnline",
        "of contacts": ["UserStatusOnline"],
        "offline": [False, True],
        "then": "UserStatusOffline",
        "typing": [True, True],
        "recording": True,
        "in a group": True,
    }


def test_actions_in_basic_groups(report: Report) -> None:
    assert report.scenes["chat_actions"] == {
        "title": "Trio",
        "photo": [True, True],
        "no photo": [None, types.ChatPhotoEmpty.CONSTRUCTOR_ID],
        "by link": ["Trio", True, True],
        "already": ["ChatInviteAlready", 3],
        "kicked": [True, True],
        "again": "ChatNotModifiedError",
    }


def test_actions_in_supergroups(report: Report) -> None:
    assert report.scenes["channel_actions"] == {
        "title": ["Boat", "Boat"],
        "photo": [True, True],
        "kicked": [True, True],
        "out": "ChannelPrivateError",
        "banned": "InviteHashExpiredError",
        "joined": [True, True],
        "no link": "InviteHashInvalidError",
        "twice": "UserAlreadyParticipantError",
    }


def test_names_and_photos_of_users(report: Report) -> None:
    assert report.scenes["profile"] == {
        "me": ["Robert", "Stone"],
        "name": [True, "Robert", "Stone", "user1002"],
        "username": "robert_stone",
        "found": True,
        "refusals": ["UsernameNotModifiedError", "UsernameInvalidError", "UsernameOccupiedError"],
        "photo": ["UpdateUser", True],
        "deleted": True,
        "deleted again": [],
        "none": None,
    }


def test_two_data_centres_send_clients_to_each_other(report: Report) -> None:
    assert report.scenes["data_centres"] == {
        "phone": [True, 4],
        "centres": [4, [2, 4]],
        "at home": "at home",
        "another's key": "AuthKeyNotFound",
        "no such centre": "DcIdInvalidError",
        "user": "AuthKeyUnregisteredError",  # Telethon has gone to 4, where it has no login
        "user is sent to": 4,
        "a login from there": True,
        "now he is": "no error",
        "forged": "AuthBytesInvalidError",
        "network": 4,
        "nearest": 4,
    }


def test_files_of_every_kind_go_up_and_come_down(report: Report) -> None:
    assert report.scenes["files"] == {
        "photo": [True, "look", 40],
        "voice": [True, "", True],
        "document": [True, "", "b.pdf", "application/pdf"],
        "big": [True, "", True],
        "album": [1, ["one", ""], [True, True]],
        "again": [True, True],
        "history": ["MessageMediaPhoto"] * 3 + ["MessageMediaDocument"] * 3 + ["MessageMediaPhoto"],
        "no picture": "ImageProcessFailedError",
        "long caption": "MediaCaptionTooLongError",
        "digest": {"size": len(PICTURE), "sha256": sha256(PICTURE).hexdigest()},
        "others": ["MessageMediaGeo", "MessageMediaVenue", "MessageMediaContact", "MessageMediaPoll"],
        "refusals": {
            "empty": "FilePartEmptyError",
            "part size": "FilePartSizeInvalidError",
            "missing part": "FilePart0MissingError",
            "expired": "FileReferenceExpiredError",
            "renewed": "True",
            "offset": "OffsetInvalidError",
            "limit": "LimitInvalidError",
        },
        "centres": [True, True, True, True],
        "phone": [
            [True, True],
            5000,
            True,
            True,
            [
                ["1555", "Ann", True],
                [[52.5, -13.4], [52.5, -13.4]],
                ["Bar", "Street 1"],
                ["which?", ["a", "b"]],
                [True, True, True],
            ],
        ],
    }


def test_a_two_step_password_is_asked_for_and_checked(report: Report) -> None:
    assert report.scenes["two_step"] == {
        "nobody": "AuthKeyUnregisteredError",
        "code": "SessionPasswordNeededError",
        "half": [2, None],  # his first session, and the half one
        "hint": [True, "what opens?"],
        "wrong": "PasswordHashInvalidError",
        "stale": "SrpIdInvalidError",
        "forged": "BadRequestError",
        "in": True,
        "own": True,
        "given up": [2, "LoggedOut", 1],
    }


def test_codes_are_sent_again_cancelled_and_run_out(report: Report) -> None:
    assert report.scenes["codes"] == {
        "again": ["SentCodeTypeApp", "SentCodeTypeSms"],
        "once more": "SendCodeUnavailableError",
        "the first": "PhoneCodeExpiredError",
        "empty": "PhoneCodeEmptyError",
        "no hash": "PhoneCodeHashEmptyError",
        "cancelled": True,
        "after that": "PhoneCodeExpiredError",
        "late": "PhoneCodeExpiredError",
        "flood": "FloodWaitError",
        "number": "PhoneNumberFloodError",
    }


def test_a_qr_code_logs_in_who_scans_it(report: Report) -> None:
    assert report.scenes["qr_codes"] == {
        "url": True,
        "accepted": "Authorization",
        "in": True,
        "used": "AuthTokenInvalidError",
        "not he": "AuthTokenExceptionError",
        "scanned": True,
        "password": True,
        "moved": [True, 4],
        "expired": "AuthTokenExpiredError",
        "another": True,
        "no such": "AuthTokenInvalidError",
    }


def test_lines_go_through_both_kinds_of_proxies(report: Report) -> None:
    assert report.scenes["proxies"] == {
        "socks5": "through socks5",
        "mtproxy": "through mtproxy",
        "wrong login": "ConnectionError",
        "connected": {"socks5": 1, "mtproxy": 1},
    }


def test_a_bot_logs_in_by_token_and_does_what_bots_may(report: Report) -> None:
    assert report.scenes["bots"] == {
        "no token": "AccessTokenInvalidError",
        "forged": "AccessTokenInvalidError",
        "of a person": "AccessTokenInvalidError",
        "no application": "ApiIdInvalidError",
        "me": [True, True, None, None, True],
        "is a bot": [True, 1, True],
        "writes first": "PeerIdInvalidError",
        "seen": [True, False, None],
        "answered": "what can I do for you?",
        "pins for itself": "BotOnesideNotAvailError",
        "by id": "/start",
        "group": "even me?",
        "difference": ["/start", "how can I help?", "all of you", "even me?"],
        "not for bots": ["BotMethodInvalidError"],
        "stopped": "UserIsBlockedError",
        "and he": "YouBlockedUserError",
        "again": "hello again",
        "in a channel": "UserBotError",
        "another bot": "UserIsBotError",
        "revoked": "SessionRevokedError",
        "old token": "AccessTokenExpiredError",
        "new token": True,
        "out": True,
    }


def test_what_is_exported(report: Report) -> None:
    assert report.scenes["takeouts"] == {
        "to wait": True,
        "told": ["Telegram", True],
        "still": "TakeoutInitDelayError",
        "allowed": 1,
        "nothing to finish": "TakeoutRequiredError",
        "ranges, outside": "TakeoutRequiredError",
        "read": ["4", "3", "2", "1", "0"],
        "dialogs": True,
        "ranges": 3,
        "in a range": True,
        "unknown": "TakeoutInvalidError",
        "uploaded": True,
        "finished": True,
        "failed": "as it should",
        "sessions": [
            ["success", ["message_users", "message_chats", "files"], 1024],
            ["failure", [], None],
        ],
    }
