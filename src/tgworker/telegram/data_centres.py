"""Other data centres: where they are, and the first thing that is said to one."""

from collections.abc import Iterable
from typing import Any

from telethon.tl import functions
from telethon.tl.alltlobjects import LAYER

from tgworker.telegram.client import AccountClient


def option_for(options: Iterable[Any], dc_id: int, *, ipv6: bool) -> Any | None:
    """Where a data centre is (https://core.telegram.org/constructor/dcOption)."""
    fit = [each for each in options if each.id == dc_id and not each.cdn and not each.tcpo_only]
    return next((each for each in fit if bool(each.ipv6) is ipv6), next(iter(fit), None))


def introduced(client: AccountClient, request: Any, *, hears_updates: bool = False) -> Any:
    """A first request over a line, which says who asks (https://core.telegram.org/api/invoking).

    Args:
        client: Whose introduction it is.
        request: The request.
        hears_updates: Whether the line is told of updates from then on.
    """
    introduction = client._init_request
    wrapped: Any = functions.InitConnectionRequest(
        api_id=introduction.api_id,
        device_model=introduction.device_model,
        system_version=introduction.system_version,
        app_version=introduction.app_version,
        lang_code=introduction.lang_code,
        system_lang_code=introduction.system_lang_code,
        lang_pack="",
        query=request,
        proxy=introduction.proxy,
    )
    if not hears_updates:
        wrapped = functions.InvokeWithoutUpdatesRequest(wrapped)
    return functions.InvokeWithLayerRequest(LAYER, wrapped)
