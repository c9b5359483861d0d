"""The list of what the sandbox answers. A test sends each of these with an unmodified client."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from telethon.tl import functions

from tgworker.sandbox.requests import (
    auth,
    bots,
    channel_updates,
    channels,
    chat_actions,
    chats,
    contacts,
    dialogs,
    forwards,
    help,  # noqa: A004
    history,
    login_tokens,
    media,
    messages,
    pins,
    profile,
    reactions,
    takeout,
    updates,
    upload,
    users,
)
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
        functions.auth.ResendCodeRequest: auth.resend_code,
        functions.auth.CancelCodeRequest: auth.cancel_code,
        functions.auth.ImportAuthorizationRequest: auth.import_authorization,
        functions.auth.ImportBotAuthorizationRequest: bots.import_bot_authorization,
        functions.auth.SignInRequest: auth.sign_in,
        functions.auth.CheckPasswordRequest: auth.check_password,
        functions.account.GetPasswordRequest: auth.get_password,
        functions.auth.ExportLoginTokenRequest: login_tokens.export_login_token,
        functions.auth.ImportLoginTokenRequest: login_tokens.import_login_token,
        functions.auth.LogOutRequest: auth.log_out,
    }
    members: dict[type[Any], Handler] = {
        functions.auth.ExportAuthorizationRequest: auth.export_authorization,
        functions.auth.AcceptLoginTokenRequest: login_tokens.accept_login_token,
        functions.account.UpdateProfileRequest: profile.update_profile,
        functions.account.UpdateUsernameRequest: profile.update_username,
        functions.photos.UploadProfilePhotoRequest: profile.upload_profile_photo,
        functions.photos.DeletePhotosRequest: profile.delete_photos,
        functions.account.InitTakeoutSessionRequest: takeout.init_takeout_session,
        functions.account.FinishTakeoutSessionRequest: takeout.finish_takeout_session,
        functions.messages.GetSplitRangesRequest: takeout.get_split_ranges,
        functions.account.UpdateStatusRequest: users.update_status,
        functions.users.GetUsersRequest: users.get_users,
        functions.users.GetFullUserRequest: users.get_full_user,
        functions.contacts.GetContactsRequest: contacts.get_contacts,
        functions.contacts.GetStatusesRequest: contacts.get_statuses,
        functions.contacts.ImportContactsRequest: contacts.import_contacts,
        functions.contacts.DeleteContactsRequest: contacts.delete_contacts,
        functions.contacts.BlockRequest: contacts.block,
        functions.contacts.UnblockRequest: contacts.unblock,
        functions.contacts.ResolveUsernameRequest: contacts.resolve_username,
        functions.contacts.ResolvePhoneRequest: contacts.resolve_phone,
        functions.messages.SendMessageRequest: messages.send_message,
        functions.messages.SendMediaRequest: media.send_media,
        functions.messages.UploadMediaRequest: media.upload_media,
        functions.messages.SendMultiMediaRequest: media.send_multi_media,
        functions.upload.SaveFilePartRequest: upload.save_file_part,
        functions.upload.SaveBigFilePartRequest: upload.save_big_file_part,
        functions.upload.GetFileRequest: upload.get_file,
        functions.messages.EditMessageRequest: messages.edit_message,
        functions.messages.DeleteMessagesRequest: messages.delete_messages,
        functions.messages.ReadHistoryRequest: messages.read_history,
        functions.messages.ForwardMessagesRequest: forwards.forward_messages,
        functions.messages.ToggleNoForwardsRequest: forwards.toggle_no_forwards,
        functions.messages.UpdatePinnedMessageRequest: pins.update_pinned_message,
        functions.messages.UnpinAllMessagesRequest: pins.unpin_all_messages,
        functions.messages.SendReactionRequest: reactions.send_reaction,
        functions.messages.GetMessagesReactionsRequest: reactions.get_messages_reactions,
        functions.messages.GetUnreadReactionsRequest: reactions.get_unread_reactions,
        functions.messages.ReadReactionsRequest: reactions.read_reactions,
        functions.messages.SetTypingRequest: messages.set_typing,
        functions.messages.GetHistoryRequest: history.get_history,
        functions.messages.SearchRequest: history.search,
        functions.messages.GetMessagesRequest: history.get_messages,
        functions.messages.GetDialogsRequest: dialogs.get_dialogs,
        functions.messages.GetPeerDialogsRequest: dialogs.get_peer_dialogs,
        functions.folders.EditPeerFoldersRequest: dialogs.edit_peer_folders,
        functions.messages.CreateChatRequest: chats.create_chat,
        functions.messages.AddChatUserRequest: chats.add_chat_user,
        functions.messages.DeleteChatUserRequest: chats.delete_chat_user,
        functions.messages.MigrateChatRequest: chats.migrate_chat,
        functions.messages.EditChatTitleRequest: chat_actions.edit_chat_title,
        functions.messages.EditChatPhotoRequest: chat_actions.edit_chat_photo,
        functions.messages.ExportChatInviteRequest: chat_actions.export_chat_invite,
        functions.messages.CheckChatInviteRequest: chat_actions.check_chat_invite,
        functions.messages.ImportChatInviteRequest: chat_actions.import_chat_invite,
        functions.channels.EditTitleRequest: chat_actions.edit_title,
        functions.channels.EditPhotoRequest: chat_actions.edit_photo,
        functions.channels.EditBannedRequest: chat_actions.edit_banned,
        functions.messages.GetChatsRequest: chats.get_chats,
        functions.messages.GetFullChatRequest: chats.get_full_chat,
        functions.channels.CreateChannelRequest: channels.create,
        functions.channels.InviteToChannelRequest: channels.invite,
        functions.channels.JoinChannelRequest: channels.join,
        functions.channels.LeaveChannelRequest: channels.leave,
        functions.channels.GetChannelsRequest: channels.get_channels,
        functions.channels.GetFullChannelRequest: channels.get_full_channel,
        functions.channels.GetParticipantsRequest: channels.get_participants,
        functions.channels.ToggleSlowModeRequest: channels.toggle_slow_mode,
        functions.channels.GetMessagesRequest: history.get_channel_messages,
        functions.channels.DeleteMessagesRequest: channels.delete_messages,
        functions.channels.ReadHistoryRequest: channels.read_history,
        functions.updates.GetStateRequest: updates.get_state,
        functions.updates.GetDifferenceRequest: updates.get_difference,
        functions.updates.GetChannelDifferenceRequest: channel_updates.get_channel_difference,
    }
    return RequestTable(MappingProxyType(public), MappingProxyType(members))
