"""What somebody looked at and keeps as it is: remembered by spans, listed, and taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed, NotFound

KeptFinding = Literal["duplicates", "outlier", "short", "long", "language", "repeat", "unretrieved"]


class Stretch(Protocol):
    """Characters of a document, end exclusive."""

    @property
    def document_id(self) -> UUID: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """One decision; ``spans`` counts what it is about, ``first`` is the name of a document of it."""

    id: int
    finding: KeptFinding
    spans: int
    documents: int
    first: str
    created_at: datetime


def keep(conn: Connection[Any], collection_id: UUID, finding: KeptFinding, spans: Sequence[Stretch]) -> int:
    """Remember that these are fine as they are; the id to take it back by.

    :class:`NotAllowed` for those who may only read.
    """
    if not spans:
        raise InvalidInput("There is nothing to keep.")
    columns = [[span.document_id for span in spans], [span.start for span in spans], [span.end for span in spans]]
    try:
        row = conn.execute(
            "select public.keep_findings(%s, %s, %s::uuid[], %s::int[], %s::int[])", [collection_id, finding, *columns]
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary, hint="Ask an owner for editing.") from error
    except psycopg.errors.NoDataFound as error:
        raise NotFound(error.diag.message_primary) from error
    assert row is not None
    return int(row[0])


def list_kept(conn: Connection[Any], collection_id: UUID) -> list[Kept]:
    """What is kept, the latest first; decisions whose documents are all gone are left out."""
    with conn.cursor(row_factory=class_row(Kept)) as cursor:
        return cursor.execute(
            """
            select k.id, k.finding, count(*)::int as spans, count(distinct d.id)::int as documents,
                   min(coalesce(d.title, d.name)) as first, k.created_at
            from public.health_kept k
            join public.health_kept_spans s on s.kept_id = k.id
            join public.documents d on d.id = s.document_id
            where k.collection_id = %s group by k.id order by k.id desc
            """,
            [collection_id],
        ).fetchall()


def take_back(conn: Connection[Any], kept_id: int) -> None:
    """Forget it: what it was about is shown again."""
    if not conn.execute("delete from public.health_kept where id = %s", [kept_id]).rowcount:
        raise NotFound("That is taken back already, or you may not change it.")
