"""One-time links: into the installation or a collection, and to choose a new password.

``conn`` is from ``Database.as_accounts()``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.auth.secret_tokens import hash_token, new_token
from rag.errors import InvalidInput
from rag.records import Role


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an invitation says to whoever has its link.

    ``email`` None: for whoever comes. ``collection_name`` and ``role`` None: into the installation only. ``is_open``:
    neither used nor revoked nor expired.
    """

    email: str | None
    collection_id: UUID | None
    collection_name: str | None
    role: Role | None
    as_administrator: bool
    inviter: str | None
    expires_at: datetime
    is_open: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """Whose password a link may set."""

    user_id: UUID
    email: str


def describe_invitation(conn: Connection[Any], token: str) -> Invitation | None:
    """The invitation of a link; None if nothing (or nothing any more) is known of it."""
    cursor = conn.cursor(row_factory=class_row(Invitation))
    return cursor.execute("select * from corpuscope.describe_invitation(%s)", [hash_token(token)]).fetchone()


def accept_invitation(conn: Connection[Any], token: str, user_id: UUID) -> UUID | None:
    """Use an invitation up for a person; the collection, or None where it is into the installation only.

    Of several at once one gets it. The refusal, as ``psycopg.errors.RaiseException``, becomes :class:`InvalidInput`
    where the transaction ends.
    """
    row = conn.execute("select corpuscope.accept_invitation(%s, %s)", [hash_token(token), user_id]).fetchone()
    return row[0] if row else None


def accept_all_for(conn: Connection[Any], email: str, user_id: UUID) -> int:
    """Use up the open invitations that name a verified e-mail address; how many there were."""
    rows = conn.execute(
        "select token_hash from corpuscope.invitations where lower(email) = %s and used_at is null"
        " and revoked_at is null and expires_at > now() order by created_at for update",
        [email],
    ).fetchall()
    for (token_hash,) in rows:
        conn.execute("select corpuscope.accept_invitation(%s, %s)", [token_hash, user_id])
    return len(rows)


def has_invitation(conn: Connection[Any], email: str) -> bool:
    """Whether an open invitation names this e-mail address."""
    row = conn.execute(
        "select exists (select from corpuscope.invitations where lower(email) = %s and used_at is null"
        " and revoked_at is null and expires_at > now())",
        [email],
    ).fetchone()
    return bool(row and row[0])


def make_reset(conn: Connection[Any], user_id: UUID, *, made_by: UUID | None = None) -> str:
    """A link's token with which a person chooses a new password, for a day; links made before stop working."""
    token = new_token()
    conn.execute(
        "update corpuscope.password_resets set used_at = now() where user_id = %s and used_at is null", [user_id]
    )
    conn.execute(
        "insert into corpuscope.password_resets (token_hash, user_id, created_by) values (%s, %s, %s)",
        [hash_token(token), user_id, made_by],
    )
    conn.execute(
        "select corpuscope.note('password reset link made', subject => p.email, actor => %s)"
        " from corpuscope.people p where p.user_id = %s",
        [made_by, user_id],
    )
    return token


def find_reset(conn: Connection[Any], token: str) -> Reset | None:
    """Whose password the link may set; None if it was used, has expired, or the account is closed."""
    cursor = conn.cursor(row_factory=class_row(Reset))
    return cursor.execute(
        "select r.user_id, p.email from corpuscope.password_resets r join corpuscope.people p using (user_id)"
        " where r.token_hash = %s and r.used_at is null and r.expires_at > now() and p.disabled_at is null",
        [hash_token(token)],
    ).fetchone()


def use_reset(conn: Connection[Any], token: str) -> UUID:
    """Use a link up; whose it is. Of several at once one gets it, the others :class:`InvalidInput`."""
    row = conn.execute(
        "update corpuscope.password_resets r set used_at = now() from corpuscope.people p"
        " where p.user_id = r.user_id and p.disabled_at is null"
        " and r.token_hash = %s and r.used_at is null and r.expires_at > now() returning r.user_id",
        [hash_token(token)],
    ).fetchone()
    if row is None:
        raise refused_reset()
    return UUID(str(row[0]))


def refused_reset() -> InvalidInput:
    """What a link that is of no use says, whatever the reason."""
    return InvalidInput("This link was used already or has expired.", hint="Ask an administrator for a new one.")


def refused_invitation() -> InvalidInput:
    """The same for an invitation."""
    return InvalidInput(
        "This invitation was used already, has expired, or is for somebody else.",
        hint="Ask whoever invited you for a new one.",
    )
