"""How a user of a Supabase project becomes a person here, and what of them follows the project from then on.

Their id is the project's. What they may is decided by our tables and by the project's app_metadata, which only its
administrators write. ``conn`` is from ``Database.as_accounts()``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.auth import people
from rag.auth.invitations import accept_all_for, accept_invitation, describe_invitation, has_invitation
from rag.auth.people import Person
from rag.auth.supabase_auth import ProjectUser
from rag.errors import NotAllowed
from rag.records import LOCAL_USER

_log = logging.getLogger(__name__)

_CLOSED = "This account was closed."
_ASK = "Ask an administrator."


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody at the door. ``issuer`` is the project's name for its accounts.

    ``reads_mailbox``: the address is proven to be theirs. ``knows_setup_code``: so that they may be the first.
    ``invitation`` is the token of a link that they came with.
    """

    user: ProjectUser
    issuer: str
    reads_mailbox: bool
    knows_setup_code: bool
    invitation: str | None = None
    anyone_may: bool = False


def admit(conn: Connection[Any], arrival: Arrival) -> tuple[UUID, UUID | None]:
    """The account of whoever comes, made if they may have one, and the collection that their invitation's link gave.

    Raises :class:`NotAllowed` for somebody who may not come in.
    """
    person = people.find_person(conn, arrival.user.id, lock=True) or _make(conn, arrival)
    if person.disabled_at is not None:
        raise NotAllowed(_CLOSED, hint=_ASK)
    follow_project(conn, person, arrival.user)
    person = _found(conn, person.user_id)
    if not arrival.reads_mailbox:
        return person.user_id, _use_link(conn, arrival, person)
    accept_all_for(conn, person.email, person.user_id)
    return person.user_id, _use_link(conn, arrival, person)


def admit_guest(conn: Connection[Any], user: ProjectUser, issuer: str) -> UUID:
    """An account for an anonymous user of the project."""
    _insert(conn, user, issuer, None, as_guest=True)
    return user.id


def follow_project(conn: Connection[Any], person: Person, user: ProjectUser) -> None:
    """Take over the address, and in ``corpuscope_admin`` whether they administer, as the project has them now.

    The last administrator stays one.
    """
    email = people.tidy_email(user.email or "") if user.is_confirmed else None
    if email and email != person.email and people.find_by_email(conn, email) is None:
        conn.execute("update corpuscope.people set email = %s where user_id = %s", [email, person.user_id])
    if user.administers is not None and user.administers != person.is_administrator and not person.is_guest:
        conn.execute(
            "update corpuscope.people set is_administrator = %(now)s where user_id = %(who)s and (%(now)s or exists ("
            "select from corpuscope.people o where o.user_id <> %(who)s and o.is_administrator"
            " and o.subject is not null and o.disabled_at is null))",
            {"now": user.administers, "who": person.user_id},
        )


def _make(conn: Connection[Any], arrival: Arrival) -> Person:
    user = arrival.user
    address = people.tidy_email(user.email or "")
    if user.is_anonymous or address is None:
        raise NotAllowed("This account has no e-mail address that could be used here.", hint=_ASK)
    conn.execute("select pg_advisory_xact_lock(hashtext('corpuscope first account'))")
    if not people.has_accounts(conn):
        _insert(conn, user, arrival.issuer, _first(conn, arrival), as_administrator=True)
        return _found(conn, user.id)
    former = people.find_by_email(conn, address)
    if former is not None and not arrival.reads_mailbox:
        raise NotAllowed(
            "The project doesn't say that this e-mail address is yours.", hint="Sign in with a code instead."
        )
    if former is not None and former.issuer == arrival.issuer:
        raise NotAllowed("Another account of the project has this e-mail address here.", hint=_ASK)
    if former is not None and former.disabled_at is not None:
        raise NotAllowed(_CLOSED, hint=_ASK)
    if former is None and not _may_come(conn, arrival, address):
        raise NotAllowed("You have no account here.", hint="Ask an administrator for an invitation.")
    _insert(conn, user, arrival.issuer, former.user_id if former else None)
    return _found(conn, user.id)


def _first(conn: Connection[Any], arrival: Arrival) -> UUID | None:
    """Whose things the first person takes over: those that were made without sign-in."""
    if not (arrival.knows_setup_code or arrival.user.administers):
        raise NotAllowed(
            "The first account here needs the set-up code, or corpuscope_admin in its app_metadata.",
            hint="Corpuscope printed the code when it started: type it above, then sign in.",
        )
    local = people.find_person(conn, LOCAL_USER, lock=True)
    return local.user_id if local is not None else None


def _may_come(conn: Connection[Any], arrival: Arrival, address: str) -> bool:
    if arrival.anyone_may or arrival.user.administers:
        return True
    return (arrival.reads_mailbox and has_invitation(conn, address)) or _opens(conn, arrival, address)


def _opens(conn: Connection[Any], arrival: Arrival, address: str) -> bool:
    """Whether their link lets them in. Who has a link that names an address got it there."""
    found = describe_invitation(conn, arrival.invitation) if arrival.invitation else None
    return found is not None and found.is_open and (found.email is None or found.email.lower() == address)


def _insert(
    conn: Connection[Any],
    user: ProjectUser,
    issuer: str,
    former: UUID | None,
    *,
    as_administrator: bool = False,
    as_guest: bool = False,
) -> None:
    address = None if as_guest else people.require_email(user.email or "")
    conn.execute(
        "select corpuscope.admit_person(%s, %s, %s, %s, %s, %s, %s)",
        [user.id, address, people.tidy_label(user.name, 200), issuer, as_administrator, as_guest, former],
    )
    if former is not None and former != LOCAL_USER:
        _log.info("An account from before is a Supabase account now.")


def _found(conn: Connection[Any], user_id: UUID) -> Person:
    person = people.find_person(conn, user_id, lock=True)
    assert person is not None
    return person


def _use_link(conn: Connection[Any], arrival: Arrival, person: Person) -> UUID | None:
    """What the link gives. One that is of no use to them doesn't keep anybody out who has an account."""
    token = arrival.invitation
    found = describe_invitation(conn, token) if token else None
    if token and found and found.is_open and found.email in (None, person.email):
        return accept_invitation(conn, token, person.user_id)
    return None
