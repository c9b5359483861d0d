"""Does this release of Telethon still have the private names that the room leans on?"""

import inspect
from typing import Any

import telethon
from telethon import TelegramClient
from telethon.extensions.html import HTMLToTelegramParser
from telethon.sessions import MemorySession

from tgworker.telegram.quiet_log import QuietLogger

NEEDED = {
    "client": (
        "_authorized _borrowed_senders _call _connection _init_request _keepalive_loop _local_addr _log "
        "_mb_entity_cache _message_box _on_login _preprocess_updates _proxy _save_states_and_entities "
        "_sender _update_loop _updates_error _updates_handle _updates_queue _use_ipv6"
    ),
    "client._init_request": (
        "api_id app_version device_model lang_code proxy system_lang_code system_version"
    ),
    "client._sender": (
        "_connection _disconnect _handle_new_session_created _pending_ack _pending_state _process_message "
        "_loggers _recv_loop_handle _send_loop_handle _send_queue _start_reconnect _state _try_connect "
        "_user_connected auth_key"
    ),
    "client._sender._send_queue": "_deque _ready _state",
    "client._sender._state": "_get_new_msg_id _get_seq_no",
    "client._message_box": (
        "end_get_diff getting_diff_for load map possible_gaps reset_deadlines session_state "
        "try_begin_get_diff try_set_channel_state"
    ),
    "client._mb_entity_cache": "extend set_self_user",
    "html": "_building_entities entities text",
    "connection": "_connected _init_conn _ip _port _recv_task _send_task _writer disconnect",
}
"""Private names by where they are; a test compares them with what the room's sources use."""

SIGNATURES = {
    "client._preprocess_updates": ("updates", "users", "chats"),
    "client._call": ("sender", "request", "ordered", "flood_sleep_threshold"),
    "client._on_login": ("user",),
    "client._update_loop": (),
    "client._keepalive_loop": (),
    "client._save_states_and_entities": (),
    "client.disconnect": (),
    "html.handle_starttag": ("tag", "attrs"),
    "client._sender.send": ("request", "ordered"),
    "client._sender.disconnect": (),
    "client._sender._start_reconnect": ("error",),
    "client._sender._disconnect": ("error",),
    "client._sender._try_connect": ("attempt",),
    "client._sender._process_message": ("message",),
    "client._sender._handle_new_session_created": ("message",),
    "client._sender._state.write_data_as_message": ("buffer", "data", "content_related", "after_id"),
    "client._message_box.check_deadlines": (),
    "client._message_box.end_get_diff": ("entry",),
    "client._message_box.get_difference": (),
    "client._message_box.get_channel_difference": ("chat_hashes",),
    "client._message_box.apply_pts_info": ("update", "reset_deadlines"),
    "client._message_box.apply_difference": ("diff", "chat_hashes"),
    "client._message_box.apply_difference_type": ("diff", "chat_hashes"),
    "client._message_box.apply_channel_difference": ("request", "diff", "chat_hashes"),
    "connection.disconnect": (),
}
"""Methods that are overridden, with the parameters that Telethon passes."""


class TelethonMoved(Exception):
    """The installed Telethon is not one that the room was written for. Remedy: the pinned release."""


def check_telethon() -> None:
    """Fail at start, in one line, if a release of Telethon moved what the room leans on.

    Raises:
        TelethonMoved: With the first name that is missing or has other parameters.
    """
    client: Any = TelegramClient(MemorySession(), 1, "x", base_logger=QuietLogger(lambda *_: None))
    connection: Any = client._connection("127.0.0.1", 1, 1, loggers=client._log)
    roots = {"client": client, "connection": connection, "html": HTMLToTelegramParser()}
    for path, names in NEEDED.items():
        owner = _at(roots, path)
        for name in names.split():
            if not hasattr(owner, name):
                raise TelethonMoved(_complaint(f"{path}.{name} is gone"))
    for path, parameters in SIGNATURES.items():
        found = tuple(inspect.signature(_at(roots, path)).parameters)
        if found != parameters:
            raise TelethonMoved(
                _complaint(f"{path} takes ({', '.join(found)}), not ({', '.join(parameters)})")
            )


def _at(roots: dict[str, Any], path: str) -> Any:
    first, *rest = path.split(".")
    found = roots[first]
    for name in rest:
        if not hasattr(found, name):
            raise TelethonMoved(_complaint(f"{path} is gone"))
        found = getattr(found, name)
    return found


def _complaint(what: str) -> str:
    return f"Telethon {telethon.__version__} does not fit: {what}. Install telethon>=1.45.0,<1.46"
