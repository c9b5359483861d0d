"""``help.*``: what a client asks before anything else."""

from datetime import timedelta
from typing import Any
from zlib import crc32

from telethon.tl import types

from tgworker.sandbox.requests.call import Answer, Caller

HOST = "127.0.0.1"
EDIT_TIME_LIMIT_S = 172_800
REVOKE_TIME_LIMIT_S = 2_147_483_647


def get_config(caller: Caller, _request: Any) -> Answer:
    """``help.getConfig``: with all data centres of the sandbox."""
    cloud = caller.cloud
    return types.Config(
        date=cloud.now(),
        expires=cloud.now() + timedelta(hours=1),
        test_mode=False,
        this_dc=caller.dc_id,
        dc_options=[types.DcOption(each, HOST, port, static=True) for each, port in cloud.ports.items()],
        dc_txt_domain_name="",
        chat_size_max=200,
        megagroup_size_max=200_000,
        forwarded_count_max=100,
        online_update_period_ms=210_000,
        offline_blur_timeout_ms=5000,
        offline_idle_timeout_ms=30_000,
        online_cloud_timeout_ms=300_000,
        notify_cloud_delay_ms=30_000,
        notify_default_delay_ms=1500,
        push_chat_period_ms=60_000,
        push_chat_limit=2,
        edit_time_limit=EDIT_TIME_LIMIT_S,
        revoke_time_limit=REVOKE_TIME_LIMIT_S,
        revoke_pm_time_limit=REVOKE_TIME_LIMIT_S,
        rating_e_decay=2_419_200,
        stickers_recent_limit=200,
        channels_read_media_period=604_800,
        call_receive_timeout_ms=20_000,
        call_ring_timeout_ms=90_000,
        call_connect_timeout_ms=30_000,
        call_packet_timeout_ms=10_000,
        me_url_prefix="https://t.me/",
        caption_length_max=cloud.behaviour.caption_length_limit_default,
        message_length_max=cloud.behaviour.message_length_max,
        webfile_dc_id=caller.dc_id,
    )


def get_app_config(caller: Caller, request: Any) -> Answer:
    """``help.getAppConfig``: of all that it says, the length of captions (https://core.telegram.org/api/config)."""
    behaviour = caller.cloud.behaviour
    limits = {
        "caption_length_limit_default": behaviour.caption_length_limit_default,
        "caption_length_limit_premium": behaviour.caption_length_limit_premium,
    }
    version = crc32(repr(limits).encode()) >> 1
    if request.hash == version:
        return types.help.AppConfigNotModified()
    values: list[Any] = [
        types.JsonObjectValue(key, types.JsonNumber(float(limit))) for key, limit in limits.items()
    ]
    return types.help.AppConfig(hash=version, config=types.JsonObject(values))


def get_nearest_dc(caller: Caller, _request: Any) -> Answer:
    """``help.getNearestDc``."""
    return types.NearestDc("ZZ", caller.dc_id, caller.cloud.nearest_dc)
