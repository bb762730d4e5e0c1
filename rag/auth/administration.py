"""What an administrator may do with people, invitations and limits; and with one's own sessions, what anybody may.

``conn`` runs as the person who asks: functions of the schema say whether they may, and raise :class:`NotAllowed`.
Tokens of links are made here and given back once; the database keeps their hashes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.auth.people import require_email, tidy_label
from rag.auth.secret_tokens import hash_token, new_token
from rag.errors import NotFound
from rag.records import Role

SignIn = Literal["password", "provider", "none"]
Scope = Literal["person", "guest", "collection"]


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Somebody with an account. ``files`` and ``bytes`` are what they uploaded, ``questions_today`` by UTC."""

    user_id: UUID
    email: str
    name: str
    is_administrator: bool
    disabled_at: datetime | None
    created_at: datetime
    last_seen_at: datetime | None
    sign_in: SignIn
    sessions: int
    collections: int
    files: int
    bytes: int
    questions_today: int

    @property
    def label(self) -> str:
        """How pages call this person."""
        return self.name or self.email

    @property
    def is_open(self) -> bool:
        """Whether the person may sign in."""
        return self.disabled_at is None


@dataclass(frozen=True, slots=True)
class Removal:
    """What deleting an account would do: ``inherited_collections`` pass to whoever deletes it, ``chats`` go.

    Of those that they share, ``passed_chats`` pass to somebody who takes part.
    """

    inherited_collections: list[str]
    left_collections: int
    chats: int
    sessions: int
    files: int
    invitations: int
    passed_chats: int = 0


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A browser that is signed in; ``is_this`` is the one that asks."""

    id: UUID
    user_id: UUID
    kind: str
    device: str
    address: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    is_this: bool


@dataclass(frozen=True, slots=True)
class LimitRow:
    """Limits of a person or collection, or without ``subject`` the default of all. None: the default, or no limit."""

    scope: Scope
    subject: UUID | None
    name: str
    files: int | None
    bytes: int | None
    questions_per_day: int | None


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """A collection from outside: whose it is and how large, not what is in it."""

    id: UUID
    name: str
    owners: list[str]
    members: int
    is_public: bool
    files: int
    bytes: int
    questions_today: int


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation that may still be used; without ``email`` by whoever has its link."""

    id: UUID
    email: str | None
    collection_id: UUID | None
    collection_name: str | None
    role: Role | None
    as_administrator: bool
    invited_by: str | None
    created_at: datetime
    expires_at: datetime


def list_people(conn: psycopg.Connection[Any]) -> list[PersonRow]:
    """Everybody with an account, by e-mail address; administrators only."""
    with conn.cursor(row_factory=class_row(PersonRow)) as cursor:
        return cursor.execute("select * from public.list_people()").fetchall()


def set_administrator(conn: psycopg.Connection[Any], user_id: UUID, administrator: bool) -> None:
    """Make somebody administrator or not. The last one stays it: :class:`InvalidInput`."""
    conn.execute("select public.set_administrator(%s, %s)", [user_id, administrator])


def set_account_open(conn: psycopg.Connection[Any], user_id: UUID, open: bool) -> None:
    """Close an account, which ends its sessions at once, or open it again. Nothing is deleted."""
    conn.execute("select public.set_account_open(%s, %s)", [user_id, open])


def describe_removal(conn: psycopg.Connection[Any], user_id: UUID) -> Removal:
    """What :func:`delete_person` would do."""
    with conn.cursor(row_factory=class_row(Removal)) as cursor:
        found = cursor.execute("select * from public.describe_person_removal(%s)", [user_id]).fetchone()
    assert found is not None
    return found


def delete_person(conn: psycopg.Connection[Any], user_id: UUID) -> None:
    """Delete an account for good. Collections that nobody else owns pass to the administrator who asks."""
    conn.execute("select public.delete_person(%s)", [user_id])


def invite_person(conn: psycopg.Connection[Any], email: str | None, as_administrator: bool = False) -> str:
    """The token of a link that makes one account within a week; without ``email`` for whoever uses it first.

    Raises :class:`InvalidInput` for what is no address, or has an account.
    """
    address = require_email(email) if email else None
    token = new_token()
    conn.execute("select public.invite_person(%s, %s, %s)", [address, as_administrator, hash_token(token)])
    return token


def list_invitations(conn: psycopg.Connection[Any]) -> list[InvitationRow]:
    """All that may still be used, the latest first: everybody's for an administrator, else of one's collections."""
    with conn.cursor(row_factory=class_row(InvitationRow)) as cursor:
        return cursor.execute("select * from public.open_invitations()").fetchall()


def revoke_invitation(conn: psycopg.Connection[Any], invitation_id: UUID) -> None:
    """Make an invitation useless. :class:`NotFound` if it was used or revoked already."""
    row = conn.execute("select public.revoke_invitation(%s)", [invitation_id]).fetchone()
    if row is None or not row[0]:
        raise NotFound("That invitation was used or revoked already, or it isn't yours to revoke.")


def make_password_reset(conn: psycopg.Connection[Any], user_id: UUID) -> str:
    """The token of a link with which somebody chooses a new password, for a day; earlier links stop working."""
    token = new_token()
    conn.execute("select public.make_password_reset(%s, %s)", [user_id, hash_token(token)])
    return token


def list_sessions(conn: psycopg.Connection[Any], user_id: UUID | None = None) -> list[SessionRow]:
    """Open sessions, the latest used first: one's own, or for an administrator somebody's."""
    with conn.cursor(row_factory=class_row(SessionRow)) as cursor:
        return cursor.execute("select * from public.list_sessions(%s)", [user_id]).fetchall()


def end_session(conn: psycopg.Connection[Any], session_id: UUID) -> None:
    """End one session of one's own, or as administrator of anybody's. :class:`NotFound` if it has ended already."""
    row = conn.execute("select public.end_session(%s)", [session_id]).fetchone()
    if row is None or not row[0]:
        raise NotFound("That session has ended already.")


def end_sessions(conn: psycopg.Connection[Any], user_id: UUID | None = None, *, keep: UUID | None = None) -> int:
    """End all of one's own sessions but ``keep``, or as administrator somebody's; how many."""
    row = conn.execute("select public.end_sessions(%s, %s)", [user_id, keep]).fetchone()
    assert row is not None
    return int(row[0])


def list_limits(conn: psycopg.Connection[Any]) -> list[LimitRow]:
    """The defaults first, then the own limits of people and collections; administrators only."""
    with conn.cursor(row_factory=class_row(LimitRow)) as cursor:
        return cursor.execute("select * from public.list_limits()").fetchall()


def set_limits(
    conn: psycopg.Connection[Any],
    scope: Scope,
    subject: UUID | None,
    *,
    files: int | None,
    bytes: int | None,
    questions_per_day: int | None,
) -> None:
    """Set the limits of one person or collection, or without ``subject`` the default of all.

    None is no limit in a default, and the default in one's own: all three None end the own ones.
    """
    conn.execute(
        "select public.set_limits(%s, %s, %s, %s, %s)",
        [scope, subject, files, bytes, questions_per_day],
    )


def list_all_collections(conn: psycopg.Connection[Any]) -> list[CollectionRow]:
    """Every collection by name, whoever's it is; administrators only."""
    with conn.cursor(row_factory=class_row(CollectionRow)) as cursor:
        return cursor.execute(
            "select id, name, coalesce(owners, '{}') as owners, members, is_public, files, bytes, questions_today"
            " from public.list_all_collections()"
        ).fetchall()


def set_my_name(conn: psycopg.Connection[Any], name: str) -> None:
    """What others call whoever asks; empty for none."""
    conn.execute("select public.set_my_name(%s)", [tidy_label(name, 200)])


def note_list_export(conn: psycopg.Connection[Any], what: str, rows: int | None = None) -> None:
    """Say that an administrator takes a list out, in the transaction that reads it; ``what`` was downloaded."""
    conn.execute("select public.note_list_export(%s, %s)", [what, rows])
