"""What a function of ours means by its no, in the words of the messaging core. One table."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from tgworker.messaging.errors import (
    AccountGone,
    AccountNameTaken,
    LeaseLost,
    RecipientUnknown,
    StoreFault,
)
from tgworker.messaging.models import AccountId
from tgworker.supabase.errors import RpcRaised
from tgworker.supabase.leases import SupabaseLeases

#: By the name that ``tgworker_fail`` gives it in the migrations. What is not here is a bug, and passes.
_CASES: Final[Mapping[str, Callable[[str], Exception]]] = {
    "lease_lost": LeaseLost,
    "account_gone": AccountGone,
    "name_taken": AccountNameTaken,
    "recipient_unknown": RecipientUnknown,
    "account_refused": StoreFault,
    "released": StoreFault,
    "not_adopted": StoreFault,
}


@contextmanager
def raised_for(leases: SupabaseLeases | None, account_id: AccountId | None) -> Generator[None]:
    """Turn what a function raised about an account into ours; a lost lease is given up at once.

    Args:
        leases: This process's.
        account_id: Whose call it is.
    """
    try:
        yield
    except RpcRaised as raised:
        known = _CASES.get(raised.case)
        if known is None:
            raise
        if known is LeaseLost and leases is not None and account_id is not None:
            leases.lose([account_id])
        raise known(str(raised)) from raised
