"""Finding the account that ``--account`` names."""

from tgworker.app.books import Books
from tgworker.cli._errors import Usage
from tgworker.messaging.records import AccountRecord


async def named_account(books: Books, text: str) -> AccountRecord:
    """The account with that uuid, phone number or name.

    Raises:
        Usage: There is none; the line names those that there are, without their phone numbers.
    """
    found = await books.accounts.find_account(text)
    if found is not None:
        return found
    known = [record.account.name or record.account.id for record in await books.accounts.list_accounts()]
    there = f"there are: {', '.join(known)}" if known else "there is none yet: add one with 'tgworker login'"
    raise Usage(f"--account names no account ({there})")
