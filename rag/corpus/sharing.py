"""Who has access to a collection. ``conn`` runs as the person who asks; functions of the schema decide who may do what.

An invitation's token is made here and given back once; the database keeps its hash, so nobody can look it up again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.auth.secret_tokens import hash_token, new_token
from rag.corpus.collections import get_collection
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.records import Role


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with access to a collection."""

    user_id: UUID
    email: str
    name: str
    role: Role
    since: datetime

    @property
    def label(self) -> str:
        """How pages call this person."""
        return self.name or self.email or "Somebody"


@dataclass(frozen=True, slots=True)
class Shared:
    """What came of sharing: access at once, another role, or an invitation whose link holds ``token``."""

    outcome: Literal["added", "changed", "invited"]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """An invitation that may still be used; ``email`` is None where whoever has the link is let in."""

    id: UUID
    email: str | None
    role: Role
    invited_by: str | None
    created_at: datetime
    expires_at: datetime


def list_people_of(conn: psycopg.Connection[Any], collection_id: UUID) -> list[Member]:
    """Everybody with access, owners first; nobody for somebody who is no member, also of a public collection."""
    with conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute("select * from public.collection_people(%s)", [collection_id]).fetchall()


def share(conn: psycopg.Connection[Any], collection_id: UUID, email: str, role: Role) -> Shared:
    """Give the person with this e-mail address access, or an invitation if they have no account; owners only.

    Raises :class:`InvalidInput` for what is no address, :class:`NotAllowed` for anybody but an owner.
    """
    token = new_token()
    with _an_owner_stays():
        row = conn.execute(
            "select public.share_collection(%s, %s, %s, %s)", [collection_id, email, role, hash_token(token)]
        ).fetchone()
    assert row is not None
    return Shared(row[0], token if row[0] == "invited" else None)


def share_by_link(
    conn: psycopg.Connection[Any], collection_id: UUID, role: Literal["viewer", "editor"] = "viewer"
) -> str:
    """The token of a link that lets in whoever uses it first, within a week; owners only."""
    token = new_token()
    conn.execute("select public.share_by_link(%s, %s, %s)", [collection_id, role, hash_token(token)])
    return token


def change_role(conn: psycopg.Connection[Any], collection_id: UUID, user_id: UUID, role: Role) -> None:
    """Give a member another role; owners only. The last owner stays one: :class:`InvalidInput`."""
    with _an_owner_stays():
        changed = conn.execute(
            "update public.collection_members set role = %s where collection_id = %s and user_id = %s",
            [role, collection_id, user_id],
        ).rowcount
    if not changed:
        _explain_refusal(conn, collection_id)


def remove(conn: psycopg.Connection[Any], collection_id: UUID, user_id: UUID) -> None:
    """Take a member's access away, also from pages that are open; owners only."""
    if not _delete_member(conn, collection_id, user_id):
        _explain_refusal(conn, collection_id)


def leave(conn: psycopg.Connection[Any], collection_id: UUID) -> None:
    """Give up one's own access. The last owner can't: :class:`InvalidInput`."""
    row = conn.execute("select auth.uid()").fetchone()
    if row is None or not _delete_member(conn, collection_id, row[0]):
        raise NotFound("You are not a member of that collection.")


def transfer(conn: psycopg.Connection[Any], collection_id: UUID, new_owner: UUID) -> None:
    """Make another member owner in one's own place, and stay as editor; owners only."""
    conn.execute("select public.transfer_collection(%s, %s)", [collection_id, new_owner])


def set_public(conn: psycopg.Connection[Any], collection_id: UUID, public: bool) -> None:
    """Let everybody read, search and ask it, guests included, or its members only again; owners only."""
    changed = conn.execute(
        "update public.collections set is_public = %s where id = %s", [public, collection_id]
    ).rowcount
    if not changed:
        _explain_refusal(conn, collection_id)


def open_invitations(conn: psycopg.Connection[Any], collection_id: UUID) -> list[OpenInvitation]:
    """Invitations that may still be used, the latest first; nothing for anybody but owners and administrators."""
    with conn.cursor(row_factory=class_row(OpenInvitation)) as cursor:
        return cursor.execute(
            "select id, email, role, invited_by, created_at, expires_at from public.open_invitations(%s)",
            [collection_id],
        ).fetchall()


def revoke(conn: psycopg.Connection[Any], invitation_id: UUID) -> None:
    """Make an invitation useless. :class:`NotFound` if it was used, revoked, or isn't the person's to revoke."""
    row = conn.execute("select public.revoke_invitation(%s)", [invitation_id]).fetchone()
    if row is None or not row[0]:
        raise NotFound("That invitation was used or revoked already, or it isn't yours to revoke.")


def _delete_member(conn: psycopg.Connection[Any], collection_id: UUID, user_id: UUID) -> bool:
    with _an_owner_stays():
        gone = conn.execute(
            "delete from public.collection_members where collection_id = %s and user_id = %s", [collection_id, user_id]
        ).rowcount
    return bool(gone)


@contextmanager
def _an_owner_stays() -> Iterator[None]:
    """What the trigger says that keeps each collection an owner, with the next step."""
    try:
        yield
    except psycopg.errors.CheckViolation as error:
        raise InvalidInput(
            "A collection needs at least one owner.", hint="Make somebody else owner first, or delete the collection."
        ) from error


def _explain_refusal(conn: psycopg.Connection[Any], collection_id: UUID) -> None:
    """Nothing changed: no such collection, no right to, or the person left meanwhile."""
    found = get_collection(conn, collection_id)
    if found.role != "owner":
        raise NotAllowed(f"Only owners of “{found.name}” decide who has access to it.")
    raise NotFound("That person has no access any more.")
