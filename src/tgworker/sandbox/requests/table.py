"""The list of what the sandbox answers. A test sends each of these with an unmodified client."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from telethon.tl import functions

from tgworker.sandbox.requests import auth, contacts, help, history, messages, updates, users  # noqa: A004
from tgworker.sandbox.requests.call import Handler, PublicHandler


@dataclass(frozen=True, slots=True)
class RequestTable:
    """Handlers by request type.

    Attributes:
        public: For anybody with an authorization key.
        members: For who is logged in.
    """

    public: Mapping[type[Any], PublicHandler]
    members: Mapping[type[Any], Handler]


def request_table() -> RequestTable:
    """Every request that the sandbox answers; all others are ``METHOD_INVALID``."""
    public: dict[type[Any], PublicHandler] = {
        functions.help.GetConfigRequest: help.get_config,
        functions.help.GetAppConfigRequest: help.get_app_config,
        functions.help.GetNearestDcRequest: help.get_nearest_dc,
        functions.auth.SendCodeRequest: auth.send_code,
        functions.auth.ResendCodeRequest: auth.send_code,
        functions.auth.SignInRequest: auth.sign_in,
    }
    members: dict[type[Any], Handler] = {
        functions.auth.LogOutRequest: auth.log_out,
        functions.account.UpdateStatusRequest: users.update_status,
        functions.users.GetUsersRequest: users.get_users,
        functions.users.GetFullUserRequest: users.get_full_user,
        functions.contacts.GetContactsRequest: contacts.get_contacts,
        functions.contacts.ResolveUsernameRequest: contacts.resolve_username,
        functions.contacts.ResolvePhoneRequest: contacts.resolve_phone,
        functions.messages.SendMessageRequest: messages.send_message,
        functions.messages.EditMessageRequest: messages.edit_message,
        functions.messages.DeleteMessagesRequest: messages.delete_messages,
        functions.messages.ReadHistoryRequest: messages.read_history,
        functions.messages.SetTypingRequest: messages.set_typing,
        functions.messages.GetHistoryRequest: history.get_history,
        functions.messages.SearchRequest: history.search,
        functions.messages.GetMessagesRequest: history.get_messages,
        functions.messages.GetDialogsRequest: history.get_dialogs,
        functions.messages.GetPeerDialogsRequest: history.get_peer_dialogs,
        functions.updates.GetStateRequest: updates.get_state,
        functions.updates.GetDifferenceRequest: updates.get_difference,
    }
    return RequestTable(MappingProxyType(public), MappingProxyType(members))
