"""What whoever starts an installation has to know to make its first account."""

from __future__ import annotations

from rag.commands.appserver import address
from rag.settings import Settings
from rag.store.database import Database


def describe_first_account(database: Database, settings: Settings) -> str:
    """Where the first account is made and the set-up code, as lines for the terminal; empty if none is asked for.

    Not for a log: who knows the code can make the account that administers everything.
    """
    if settings.auth not in ("local", "supabase"):
        return ""
    from rag.auth.people import has_accounts
    from rag.auth.secret_tokens import installation_key, setup_code
    from rag.auth.signing_in import needs_setup_code

    if not needs_setup_code(settings):
        return ""
    with database.as_accounts() as conn:
        if has_accounts(conn):
            return ""
    code = setup_code(installation_key(settings))
    place = settings.public_url or address(settings)
    if settings.auth == "supabase":
        return f"Sign in first, at {place}/sign-in, with the set-up code {code}"
    return f"Make the first account at {place}/sign-up with the set-up code {code}"
