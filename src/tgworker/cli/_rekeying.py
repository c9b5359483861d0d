"""Every session under the first key of ``ENCRYPTION_KEY``."""

from dataclasses import dataclass, field

from tgworker.app.books import Books, open_books
from tgworker.cli._errors import EXIT_NO, Failed
from tgworker.cli._output import Output
from tgworker.cli._progress import Progress
from tgworker.messaging.errors import SessionUnreadable
from tgworker.messaging.models import AccountId
from tgworker.messaging.records import AccountRecord, Replacement
from tgworker.settings import Settings
from tgworker.vault import FernetVault

TRIES = 3
"""So often an account is read anew whose session changes while it is handled: people log in slowly."""


@dataclass(slots=True)
class _Counts:
    rekeyed: int = 0
    already: int = 0
    not_ours: int = 0
    unreadable: list[str] = field(default_factory=list)


async def rekey_accounts(settings: Settings, output: Output) -> int:
    """Encrypt every session with the first key; returns the exit code."""
    vault, counts = FernetVault(settings.encryption_keys), _Counts()
    async with open_books(settings) as books:
        records = await books.accounts.list_accounts()
        with Progress(quiet=output.json) as progress:
            for done, record in enumerate(records):
                progress.show(f"{done} of {len(records)} accounts")
                await _rekey(books, vault, record, counts)
    output.result(
        {
            "rekeyed": counts.rekeyed,
            "already": counts.already,
            "not_ours": counts.not_ours,
            "unreadable": counts.unreadable,
        },
        _in_words(counts),
    )
    return EXIT_NO if counts.unreadable else 0


async def _rekey(books: Books, vault: FernetVault, record: AccountRecord, counts: _Counts) -> None:
    called = record.account.name or record.account.id
    for _ in range(TRIES):
        if not record.is_ours:
            counts.not_ours += 1
            return
        token = record.account.secrets_encrypted
        try:
            sealed = vault.rekeyed(token)
        except SessionUnreadable:
            counts.unreadable.append(called)
            return
        if sealed is None:
            counts.already += 1
            return
        match await books.accounts.replace_session(record.account.id, token, sealed):
            case Replacement.REPLACED:
                counts.rekeyed += 1
                return
            case Replacement.NOT_OURS:
                counts.not_ours += 1
                return
            case Replacement.CHANGED:
                again = await _read_anew(books, record.account.id)
                if again is None:
                    return  # removed meanwhile
                record = again
    raise Failed(f"the session of account {called} has changed {TRIES} times meanwhile: call this again")


async def _read_anew(books: Books, account_id: AccountId) -> AccountRecord | None:
    found = await books.accounts.find_account(account_id)
    return found if found is not None and found.account.id == account_id else None


def _in_words(counts: _Counts) -> str:
    lines = [f"{counts.rekeyed} sessions rekeyed, {counts.already} were under the first key already"]
    if counts.not_ours:
        lines.append(f"{counts.not_ours} accounts are the old worker's: their sessions stay as they are")
    if counts.unreadable:
        lines.append(
            f"{len(counts.unreadable)} open under no key of ENCRYPTION_KEY: {', '.join(counts.unreadable)}; "
            "add the key that they were stored under and call this again, or log them in anew"
        )
    else:
        lines.append("the other keys of ENCRYPTION_KEY may go, once every worker has the first one")
    return "\n".join(lines)
