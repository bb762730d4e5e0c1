"""`corpuscope users` and `corpuscope reset-password`: for whoever has this machine's shell and the database's keys."""

from __future__ import annotations

from argparse import Namespace

from rag.auth import people
from rag.auth.invitations import make_reset
from rag.auth.people import Person
from rag.commands.appserver import address
from rag.commands.cli_output import Output, table
from rag.commands.cli_session import open_session
from rag.errors import InvalidInput, NotFound
from rag.settings import Settings
from rag.store.database import Database

_ELSEWHERE = {
    "oidc": "The OpenID provider has them.",
    "supabase": "The Supabase project has them: “Forgot your password?” on the sign-in page sends a code.",
}


def run_users(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print who has an account."""
    with open_session(settings, out, model=False) as session, session.database.as_accounts() as conn:
        found = people.list_accounts(conn)
    rows = [(p.email, p.name, "administrator" if p.is_administrator else "", _sign_in(p), _state(p)) for p in found]
    out.result({"users": [_fields(person) for person in found]}, table(rows, ("e-mail", "name", "", "sign-in", "")))
    return 0


def run_reset_password(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print a link with which somebody chooses a new password."""
    with open_session(settings, out, model=False) as session:
        link = make_reset_link(session.database, settings, arguments.email)
    text = f"{link}\nWhoever opens it within a day chooses the password of {arguments.email}, once."
    out.result({"email": arguments.email, "link": link}, text)
    return 0


def make_reset_link(database: Database, settings: Settings, email: str) -> str:
    """The link, with its secret in the fragment, which browsers send to nobody.

    Raises :class:`NotFound` if nobody has that address, :class:`InvalidInput` where the link would be of no use.
    """
    if settings.auth != "local":
        raise InvalidInput(
            "No password is kept here.", hint=_ELSEWHERE.get(settings.auth, "That is so with AUTH=local only.")
        )
    with database.as_accounts() as conn:
        if not people.has_accounts(conn):
            raise InvalidInput("Nobody has an account yet.", hint="Open the app and make the first one.")
        person = people.find_by_email(conn, email)
        if person is None:
            raise NotFound(f"Nobody has an account with the address {email}.", hint="See: corpuscope users")
        if person.disabled_at is not None:
            raise InvalidInput("That account is closed.", hint="An administrator can open it again in the app.")
        token = make_reset(conn, person.user_id)
    return f"{settings.public_url or address(settings)}/reset#{token}"


def _fields(person: Person) -> dict[str, object]:
    return {
        "email": person.email,
        "name": person.name,
        "administrator": person.is_administrator,
        "sign_in": _sign_in(person),
        "closed": person.disabled_at is not None,
    }


def _sign_in(person: Person) -> str:
    if person.subject is not None:
        return "provider"
    return "password" if person.password_hash is not None else "none"


def _state(person: Person) -> str:
    return "closed" if person.disabled_at is not None else ""
