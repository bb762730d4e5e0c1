"""Scopes: saved selections of passages that a search can be kept to. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed, NotFound


class Stretch(Protocol):
    """Characters ``start`` to ``end`` (exclusive) of a document's text."""

    @property
    def document_id(self) -> UUID: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class Piece(NamedTuple):
    """A :class:`Stretch` of its own."""

    document_id: UUID
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scope:
    """A selection, with how many passages of how many documents a search of the active index can find in it now.

    Without a name it was made by the way, as for a conversation, and is seen by its maker alone.
    """

    id: int
    collection_id: UUID
    name: str | None
    passages: int
    documents: int
    created_by: UUID | None
    created_at: datetime

    @property
    def size(self) -> str:
        """``37 passages of 4 documents``."""
        return describe_size(self.passages, self.documents)


_SCOPES = """
    select s.id, s.collection_id, s.name, coalesce(n.passages, 0) as passages, coalesce(n.documents, 0) as documents,
           s.created_by, s.created_at
    from wanted s left join public.scope_counts(array(select id from wanted)) n on n.scope = s.id
    order by lower(s.name) nulls last, s.id desc
"""


def make_scope(conn: Connection[Any], collection_id: UUID, name: str | None, spans: Sequence[Stretch]) -> int:
    """Save these spans; the scope's id. What overlaps becomes one; spans of other collections' documents are left out.

    A name, which editors alone can give, shares it with everybody who may view the collection. Raises
    :class:`InvalidInput` where nothing is left or the name is taken, :class:`NotAllowed` and :class:`NotFound`.
    """
    if not spans:
        raise InvalidInput("Nothing is selected.", hint="Select some passages first.")
    plain = None if name is None else check_name(name)
    with _refusals(plain):
        row = conn.execute(
            "select public.save_scope(%s, %s, %s::uuid[], %s::int[], %s::int[])",
            [
                collection_id,
                plain,
                [span.document_id for span in spans],
                [span.start for span in spans],
                [span.end for span in spans],
            ],
        ).fetchone()
    assert row is not None
    return int(row[0])


def list_scopes(conn: Connection[Any], collection_id: UUID) -> list[Scope]:
    """The collection's saved scopes, those with a name, in the order of their names."""
    return _read(conn, "collection_id = %s and name is not null", [collection_id])


def scope_names(conn: Connection[Any], collection_id: UUID) -> dict[int, str]:
    """The names of the collection's saved scopes by their ids, in their order, without counting what is in them."""
    rows = conn.execute(
        "select id, name from public.scopes where collection_id = %s and name is not null order by lower(name), id",
        [collection_id],
    )
    return dict(rows.fetchall())


def read_scope(conn: Connection[Any], scope_id: int) -> Scope:
    """One scope, with a name or without; :class:`NotFound` when it is gone or not for the person to see."""
    found = _read(conn, "id = %s", [scope_id])
    if not found:
        raise NotFound("That selection doesn't exist any more, or it isn't shared with you.")
    return found[0]


def find_scope(conn: Connection[Any], collection_id: UUID, name: str) -> Scope:
    """The collection's scope of that name, whatever its case."""
    found = _read(conn, "collection_id = %s and lower(name) = lower(%s)", [collection_id, _one_line(name)])
    if not found:
        raise NotFound(f"There is no selection named “{name}” in this collection.")
    return found[0]


def name_scope(conn: Connection[Any], scope_id: int, name: str) -> None:
    """Give a scope a name, and with it to everybody who may view the collection; editors can."""
    plain = check_name(name)
    with _refusals(plain):
        changed = conn.execute("update public.scopes set name = %s where id = %s", [plain, scope_id]).rowcount
    if not changed:
        raise NotAllowed("That selection is gone, or you may not name it.")


def delete_scope(conn: Connection[Any], scope_id: int) -> None:
    """Delete it. Where conversations are bound to it, it only loses its name: they still mean it."""
    try:
        conn.execute("select public.drop_scope(%s)", [scope_id])
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed("That selection is gone, or you may not delete it.") from error


def describe_size(passages: int, documents: int) -> str:
    """``37 passages of 4 documents``."""
    return f"{_count(passages, 'passage')} of {_count(documents, 'document')}"


def check_name(name: str) -> str:
    """The name on one line; :class:`InvalidInput` unless it has 1 to 80 characters."""
    plain = _one_line(name)
    if not 1 <= len(plain) <= 80:
        raise InvalidInput("A name needs 1 to 80 characters.")
    return plain


def _read(conn: Connection[Any], condition: str, values: Sequence[Any]) -> list[Scope]:
    statement = f"with wanted as materialized (select * from public.scopes where {condition}) {_SCOPES}"
    with conn.cursor(row_factory=class_row(Scope)) as cursor:
        return cursor.execute(statement.encode(), values).fetchall()


@contextmanager
def _refusals(name: str | None) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.NoDataFound as error:
        raise NotFound("That collection doesn't exist, or it isn't shared with you.") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(
            "You may look into this collection but not save selections in it.", hint="Ask an owner for editing."
        ) from error
    except psycopg.errors.UniqueViolation as error:
        raise InvalidInput(f"There is a selection named “{name}” already.", hint="Choose another name.") from error
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.ObjectNotInPrerequisiteState) as error:
        raise InvalidInput(str(error.diag.message_primary)) from error


def _one_line(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
