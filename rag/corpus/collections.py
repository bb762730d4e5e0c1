"""Collections: corpora that people share. ``conn`` runs as the person who asks; policies decide what is visible."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.errors import InvalidInput, ModelNotReady, NotAllowed, NotFound
from rag.records import Collection

#: Members see a collection, and everybody sees a public one; editors and owners are members only.
_SELECT = """
    select c.id, c.name, c.description, coalesce(m.role, 'viewer') as role, c.active_index_id,
           (select count(*)::int from public.documents d where d.collection_id = c.id) as document_count, c.created_at,
           c.is_public, m.role is not null as is_member
    from public.collections c
    left join public.collection_members m on m.collection_id = c.id and m.user_id = (select auth.uid())
"""


def list_collections(conn: psycopg.Connection[Any]) -> list[Collection]:
    """All that the person is a member of, by name, then the public ones of others."""
    with conn.cursor(row_factory=class_row(Collection)) as cursor:
        return cursor.execute(_SELECT + "order by m.role is null, lower(c.name), c.created_at").fetchall()


def get_collection(conn: psycopg.Connection[Any], collection_id: UUID) -> Collection:
    """One collection; :class:`NotFound` when it doesn't exist or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(Collection)) as cursor:
        found = cursor.execute(_SELECT + "where c.id = %s", [collection_id]).fetchone()
    if found is None:
        raise NotFound("That collection doesn't exist, or it isn't shared with you.")
    return found


def find_collection(conn: psycopg.Connection[Any], name: str) -> Collection:
    """The collection of that name, whatever its case: one's own before shared ones, those before public ones."""
    with conn.cursor(row_factory=class_row(Collection)) as cursor:
        found = cursor.execute(
            _SELECT
            + """
            where lower(c.name) = lower(trim(%s))
            order by m.role is null, c.created_by is distinct from (select auth.uid()), c.created_at limit 1
            """,
            [name],
        ).fetchone()
    if found is None:
        raise NotFound(f"There is no collection named “{name}”.", hint="`corpuscope status` lists the collections.")
    return found


def create_collection(
    conn: psycopg.Connection[Any], name: str, description: str = "", chunking: dict[str, Any] | None = None
) -> UUID:
    """Make a collection with an active index under the default model; the person becomes its owner.

    Raises :class:`ModelNotReady` while no model is registered: `corpuscope` and `corpuscope migrate` do that.
    """
    name = _check_name(name)
    try:
        row = conn.execute(
            "select public.create_collection(%s, %s, %s)", [name, description.strip(), Jsonb(chunking or {})]
        ).fetchone()
    except psycopg.errors.UniqueViolation as error:
        raise InvalidInput(f"You already have a collection named “{name}”.", hint="Choose another name.") from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise ModelNotReady from error
    assert row is not None
    made: UUID = row[0]
    return made


def rename_collection(conn: psycopg.Connection[Any], collection_id: UUID, name: str) -> None:
    """Give it another name; only its owners may."""
    name = _check_name(name)
    try:
        changed = conn.execute("update public.collections set name = %s where id = %s", [name, collection_id]).rowcount
    except psycopg.errors.UniqueViolation as error:
        raise InvalidInput(f"You already have a collection named “{name}”.", hint="Choose another name.") from error
    if not changed:
        _explain_refusal(conn, collection_id, "rename")


def delete_collection(conn: psycopg.Connection[Any], collection_id: UUID) -> None:
    """Delete it with everything in it; only its owners may. :func:`describe_deletion` says what goes."""
    if not conn.execute("delete from public.collections where id = %s", [collection_id]).rowcount:
        _explain_refusal(conn, collection_id, "delete")


def describe_deletion(conn: psycopg.Connection[Any], collection_id: UUID) -> dict[str, int]:
    """What goes with it: ``documents``, ``chunks``, ``marks``, ``chats`` (your own), ``profiles``, ``questions``."""
    row = conn.execute(
        """
        select (select count(*) from public.documents where collection_id = %(id)s),
               (select coalesce(sum(chunk_count), 0) from public.index_documents where collection_id = %(id)s),
               (select count(*) from public.span_marks where collection_id = %(id)s),
               (select count(*) from public.chats where collection_id = %(id)s),
               (select count(*) from public.retrieval_profiles where collection_id = %(id)s),
               (select count(*) from public.questions where collection_id = %(id)s)
        """,
        {"id": collection_id},
    ).fetchone()
    assert row is not None
    return dict(zip(("documents", "chunks", "marks", "chats", "profiles", "questions"), map(int, row), strict=True))


def _check_name(name: str) -> str:
    name = " ".join(name.replace("\x00", "").split())
    if not 1 <= len(name) <= 200:
        raise InvalidInput("A collection needs a name of 1 to 200 characters.")
    return name


def _explain_refusal(conn: psycopg.Connection[Any], collection_id: UUID, verb: str) -> None:
    """Nothing matched: either it is not there, or the policy that asks for an owner hid it."""
    found = get_collection(conn, collection_id)
    raise NotAllowed(f"Only an owner of “{found.name}” may {verb} it.")
