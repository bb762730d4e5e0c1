"""Through the door and back: sign in, make an account, choose a password, come as a guest.

Each function opens its own transactions with ``database.as_accounts()``. A password is hashed and compared between two
of them, never inside one, and what was true before that is looked at again after it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from psycopg import Connection

from rag.auth import attempts, people, sessions, throttles
from rag.auth.identity import Identity
from rag.auth.invitations import Invitation as Invitation
from rag.auth.invitations import accept_invitation, find_reset, refused_invitation, refused_reset, use_reset
from rag.auth.invitations import describe_invitation as describe_invitation
from rag.auth.passwords import check_new_password, hash_password, needs_rehash, verify_password
from rag.auth.secret_tokens import installation_key, is_setup_code
from rag.auth.sessions import Kind, Session
from rag.errors import InvalidInput, NotAllowed, SignInRefused
from rag.settings import Settings, is_loopback
from rag.store.database import Database

GUEST_STAYS = timedelta(days=1)

Verify = Callable[[str | None, str], bool]


def sign_in(
    database: Database,
    email: str,
    password: str,
    *,
    device: str,
    address: str,
    settings: Settings,
    verify: Verify = verify_password,
) -> tuple[str, Session]:
    """A new session for whoever knows the password; the cookie's token, and the session.

    Raises :class:`SignInRefused` in the same words, after the same work, for an unknown address, a wrong password and a
    closed account; :class:`SignInBlocked` after too many tries.
    """
    _require_passwords(settings)
    by_email = attempts.by_email(people.tidy_email(email) or email)
    by_network = attempts.by_network(address)
    tries, _ = attempts.count_attempt(database, by_email, by_network)
    with database.as_accounts() as conn:
        person = people.find_by_email(conn, email)
    stored = person.password_hash if person else None
    matches = verify(stored, password)
    if not matches or person is None or stored is None or person.disabled_at is not None:
        note_refusal(database, person, address, device, locked=tries == by_email.limit)
        raise SignInRefused
    renewed = hash_password(password) if needs_rehash(stored) else None
    with database.as_accounts() as conn:
        now = people.find_person(conn, person.user_id, lock=True)
        if now is None or now.password_hash != stored or now.disabled_at is not None:
            raise SignInRefused
        if renewed is not None:
            people.renew_hash(conn, person.user_id, renewed)
        throttles.clear(conn, by_email.key)
        attempts.take_back(conn, by_network)
        return begin(conn, person.user_id, "password", device=device, address=address, settings=settings)


def note_refusal(database: Database, person: people.Person | None, address: str, device: str, *, locked: bool) -> None:
    """What was typed is named only if it is somebody's address: people type passwords into the wrong field."""
    subject = person.email if person else "an address without account"
    with database.as_accounts() as conn:
        for action in ("sign-in failed", "locked out") if locked else ("sign-in failed",):
            note(conn, action, subject, address=address, device=device)


def begin(
    conn: Connection[Any],
    user_id: UUID,
    kind: Kind,
    *,
    device: str,
    address: str,
    settings: Settings,
    action: str = "signed in",
    lasts: timedelta | None = None,
) -> tuple[str, Session]:
    """Open the session of somebody who proved who they are, and write it down."""
    lasts = min(lasts or timedelta(days=settings.session_days), timedelta(days=settings.session_days))
    token, session = sessions.open_session(conn, user_id, kind, device=device, address=address, lasts=lasts)
    subject = session.identity.email or "a guest"
    note(conn, action, subject, actor=user_id, address=address, device=device)
    return token, session


def note(
    conn: Connection[Any], action: str, subject: str, *, actor: UUID | None = None, address: str, device: str
) -> None:
    """An entry in the audit list, with where it came from."""
    conn.execute(
        "select corpuscope.note(%s, subject => %s, actor => %s,"
        " detail => jsonb_build_object('address', %s::text, 'device', %s::text))",
        [action, subject, actor, people.tidy_label(address, 64), people.tidy_label(device, 300)],
    )


def needs_setup_code(settings: Settings) -> bool:
    """Whether others than this machine's people can reach the page that makes the first account."""
    public = urlsplit(settings.public_url).hostname
    return not is_loopback(settings.corpuscope_host) or (public is not None and not is_loopback(public))


def sign_up_first(
    database: Database,
    email: str,
    name: str,
    password: str,
    *,
    device: str,
    address: str,
    settings: Settings,
    code: str = "",
) -> tuple[str, Session]:
    """The first account, which takes over what was made without sign-in, and its session.

    Raises :class:`NotAllowed` once anybody has an account, or without the set-up code where that is asked for (see
    :func:`needs_setup_code`); :class:`InvalidInput` for an address or password that won't do.
    """
    _require_passwords(settings)
    if needs_setup_code(settings) and not is_setup_code(installation_key(settings), code):
        raise NotAllowed("The set-up code is wrong.", hint="It is in what Corpuscope printed when it started.")
    with database.as_accounts() as conn:
        if people.has_accounts(conn):
            raise NotAllowed("The first account of this installation was made already.", hint="Sign in to yours.")
    hashed = _hash_new(password, email)
    with database.as_accounts() as conn:
        user_id = people.take_over_local(conn, email, name, hashed)
        return begin(conn, user_id, "password", device=device, address=address, settings=settings)


def join(
    database: Database,
    invitation_token: str,
    *,
    email: str,
    name: str,
    password: str,
    device: str,
    address: str,
    settings: Settings,
) -> tuple[str, Session]:
    """An account for whoever was invited, with what the invitation gives, and a session.

    Raises :class:`InvalidInput` if the invitation is of no use to this address, or the address has an account.
    """
    _require_passwords(settings)
    with database.as_accounts() as conn:
        _require_invitation(conn, invitation_token, people.require_email(email))
    hashed = _hash_new(password, email)
    with database.as_accounts() as conn:
        user_id = people.add_person(conn, email, name, password_hash=hashed)
        accept_invitation(conn, invitation_token, user_id)
        return begin(conn, user_id, "password", device=device, address=address, settings=settings)


def _require_invitation(conn: Connection[Any], token: str, email: str) -> None:
    """Before any work is done for a stranger."""
    invitation = describe_invitation(conn, token)
    if invitation is None or not invitation.is_open:
        raise refused_invitation()
    if invitation.email is not None and invitation.email.lower() != email:
        raise InvalidInput(
            "This invitation is for another e-mail address.", hint=f"Use {invitation.email}, or ask for another one."
        )
    if not people.has_accounts(conn):
        raise NotAllowed("The administrator's account has to be made first.", hint="Ask whoever runs this.")
    if people.find_by_email(conn, email) is not None:
        raise InvalidInput(
            "There is an account with this e-mail address already.", hint="Sign in to it, then open the link again."
        )


def accept(database: Database, token: str, user_id: UUID) -> UUID | None:
    """Use an invitation for somebody who has an account; the collection, None if it is into the installation only.

    Raises :class:`InvalidInput` if it is of no use to them.
    """
    with database.as_accounts() as conn:
        return accept_invitation(conn, token, user_id)


def reset_password(database: Database, token: str, new_password: str) -> None:
    """Set the password of whoever a reset link was made for, once. All their sessions end.

    Raises :class:`InvalidInput` if the link is of no use, or the password won't do (then the link is still good).
    """
    with database.as_accounts() as conn:
        reset = find_reset(conn, token)
    if reset is None:
        raise refused_reset()
    hashed = _hash_new(new_password, reset.email)
    with database.as_accounts() as conn:
        user_id = use_reset(conn, token)
        people.set_password(conn, user_id, hashed)
        sessions.end_others(conn, user_id, "the password was reset")
        throttles.clear(conn, attempts.by_email(reset.email).key)
        conn.execute("select corpuscope.note('password reset', subject => %s, actor => %s)", [reset.email, user_id])


def change_password(
    database: Database, identity: Identity, old: str, new: str, *, verify: Verify = verify_password
) -> None:
    """A new password for somebody who is signed in and knows the old one. Their other sessions end.

    Raises :class:`SignInRefused` if the old one is wrong, :class:`InvalidInput` if the new one won't do.
    """
    guard = attempts.by_person(identity.user_id)
    attempts.count_attempt(database, guard)
    with database.as_accounts() as conn:
        person = people.find_person(conn, identity.user_id)
    if person is None or person.password_hash is None:
        raise NotAllowed("You don't sign in with a password here.")
    if not verify(person.password_hash, old):
        raise SignInRefused("The present password is wrong.", hint="Try again, or ask an administrator for a link.")
    if new == old:
        raise InvalidInput("That is the password that you have.")
    hashed = _hash_new(new, person.email)
    with database.as_accounts() as conn:
        now = people.find_person(conn, identity.user_id, lock=True)
        if now is None or now.password_hash != person.password_hash or now.disabled_at is not None:
            raise SignInRefused("The password was changed elsewhere at the same moment.", hint="Sign in again.")
        people.set_password(conn, identity.user_id, hashed)
        sessions.end_others(conn, identity.user_id, "the password was changed", keep=identity.session_id)
        throttles.clear(conn, guard.key)


def enter_as_guest(database: Database, *, device: str, address: str, settings: Settings) -> tuple[str, Session]:
    """A session for a day for somebody without account, who sees public collections.

    Raises :class:`NotAllowed` if there are none, :class:`SignInBlocked` if too many came from the same place.
    """
    if settings.auth == "none":
        raise NotAllowed("Nobody has to sign in here.")
    with database.as_accounts() as conn:
        row = conn.execute("select corpuscope.has_public_collections()").fetchone()
    if not row or not row[0]:
        raise NotAllowed("There is nothing here that guests may see.", hint="Sign in instead.")
    attempts.count_attempt(database, attempts.guests_by_network(address))
    with database.as_accounts() as conn:
        guest = people.add_person(conn, None, as_guest=True)
        return begin(
            conn,
            guest,
            "guest",
            device=device,
            address=address,
            settings=settings,
            action="guest entered",
            lasts=GUEST_STAYS,
        )


def _hash_new(password: str, email: str) -> str:
    check_new_password(password, people.require_email(email))
    return hash_password(password)


def _require_passwords(settings: Settings) -> None:
    if settings.auth != "local":
        raise NotAllowed("Nobody signs in with a password here.")
