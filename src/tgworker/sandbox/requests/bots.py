"""What bots do otherwise than people: how they log in, and what they may not ask for.

Telegram's page of each method says who can use it (https://core.telegram.org/methods): "Both users and bots
can use this method", or "Only users can use this method". A bot that asks for one of those is told
``BOT_METHOD_INVALID``.
"""

from typing import Any

from telethon.tl import functions

from tgworker.sandbox.bots import id_in
from tgworker.sandbox.errors import RequestRefused, UnknownUser
from tgworker.sandbox.requests.auth import logged_in
from tgworker.sandbox.requests.call import Answer, Caller

ONLY_USERS: frozenset[type[Any]] = frozenset(
    {
        functions.help.GetAppConfigRequest,
        functions.help.GetNearestDcRequest,
        functions.account.GetPasswordRequest,
        functions.account.UpdateProfileRequest,
        functions.account.UpdateUsernameRequest,
        functions.account.UpdateStatusRequest,
        functions.account.InitTakeoutSessionRequest,
        functions.account.FinishTakeoutSessionRequest,
        functions.auth.AcceptLoginTokenRequest,
        functions.account.InitTakeoutSessionRequest,
        functions.account.FinishTakeoutSessionRequest,
        functions.photos.DeletePhotosRequest,
        functions.contacts.GetContactsRequest,
        functions.contacts.GetStatusesRequest,
        functions.contacts.ImportContactsRequest,
        functions.contacts.DeleteContactsRequest,
        functions.contacts.ResolvePhoneRequest,
        functions.contacts.BlockRequest,
        functions.contacts.UnblockRequest,
        functions.messages.ReadHistoryRequest,
        functions.messages.ToggleNoForwardsRequest,
        functions.messages.GetMessagesReactionsRequest,
        functions.messages.GetUnreadReactionsRequest,
        functions.messages.ReadReactionsRequest,
        functions.messages.GetHistoryRequest,
        functions.messages.GetSplitRangesRequest,
        functions.messages.SearchRequest,
        functions.messages.GetDialogsRequest,
        functions.messages.GetSplitRangesRequest,
        functions.messages.GetPeerDialogsRequest,
        functions.folders.EditPeerFoldersRequest,
        functions.messages.CreateChatRequest,
        functions.messages.AddChatUserRequest,
        functions.messages.MigrateChatRequest,
        functions.messages.CheckChatInviteRequest,
        functions.messages.ImportChatInviteRequest,
        functions.channels.CreateChannelRequest,
        functions.channels.InviteToChannelRequest,
        functions.channels.JoinChannelRequest,
        functions.channels.ToggleSlowModeRequest,
        functions.channels.ReadHistoryRequest,
    }
)
"""What of the sandbox's requests is for users alone."""


def import_bot_authorization(caller: Caller, request: Any) -> Answer:
    """``auth.importBotAuthorization``: log in as a bot, with its token."""
    if request.api_id < 1 or not request.api_hash:
        raise RequestRefused(400, "API_ID_INVALID")
    bot_id = id_in(request.bot_auth_token)
    try:
        account = None if bot_id is None else caller.cloud.directory.get(bot_id)
    except UnknownUser:
        account = None
    if account is None or account.bot is None:
        raise RequestRefused(400, "ACCESS_TOKEN_INVALID")
    if request.bot_auth_token in account.bot.expired:
        raise RequestRefused(400, "ACCESS_TOKEN_EXPIRED")
    if request.bot_auth_token != account.bot.token:
        raise RequestRefused(400, "ACCESS_TOKEN_INVALID")
    if account.dc_id != caller.dc_id:
        raise RequestRefused(303, f"USER_MIGRATE_{account.dc_id}")
    return logged_in(caller, account)
