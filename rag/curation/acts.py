"""Acts of curation: each is one entry of the log and can be undone. ``conn`` runs as the editor who acts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

import psycopg
from psycopg import Connection

from rag.curation.curation_log import Act, read_act
from rag.errors import InvalidInput, NotAllowed

SpanKind = Literal["exclude", "include", "tag", "untag"]


class Stretch(Protocol):
    """Characters ``start`` to ``end`` (exclusive) of a document's text."""

    @property
    def document_id(self) -> UUID: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class Effect(NamedTuple):
    """How many passages of the active index, of how many documents, an act would change."""

    passages: int
    documents: int


class MoveCheck(NamedTuple):
    """Of documents that are to move: how many can, and the names of those whose file the target has already."""

    movable: int
    already_there: list[str]
    judgements: int


def exclude(conn: Connection[Any], collection_id: UUID, spans: Sequence[Stretch], note: str = "") -> Act:
    """Keep these spans out of search, at once and in every index to come."""
    return _curate(conn, collection_id, "exclude", spans, None, note)


def include(conn: Connection[Any], collection_id: UUID, spans: Sequence[Stretch], note: str = "") -> Act:
    """Let these spans be found again, whoever excluded them; exclusions that reach further are cut."""
    return _curate(conn, collection_id, "include", spans, None, note)


def tag(conn: Connection[Any], collection_id: UUID, spans: Sequence[Stretch], tag: str, note: str = "") -> Act:
    """Put a tag on these spans."""
    return _curate(conn, collection_id, "tag", spans, check_tag(tag), note)


def untag(conn: Connection[Any], collection_id: UUID, spans: Sequence[Stretch], tag: str, note: str = "") -> Act:
    """Take a tag off these spans, whoever put it there."""
    return _curate(conn, collection_id, "untag", spans, check_tag(tag), note)


def trash_documents(conn: Connection[Any], collection_id: UUID, document_ids: Sequence[UUID], note: str = "") -> Act:
    """Put documents in the trash: gone from everything at once, to be had back for 30 days."""
    return _documents(conn, collection_id, document_ids, None, note)


def move_documents(
    conn: Connection[Any], collection_id: UUID, document_ids: Sequence[UUID], target: UUID, note: str = ""
) -> Act:
    """Move documents with their files, texts and marks to another collection that the person edits.

    Those whose file the target has already stay. Judgements of them are put aside and come back when it is undone;
    answers that cite them keep their quotes. :class:`LimitReached` when the target holds no more.
    """
    return _documents(conn, collection_id, document_ids, target, note)


def preview(conn: Connection[Any], kind: SpanKind, spans: Sequence[Stretch]) -> Effect:
    """What :func:`exclude`, :func:`include`, :func:`tag` or :func:`untag` would change, without doing it."""
    row = conn.execute("select passages, documents from public.preview_act(%s, %s, %s, %s)", [kind, *_columns(spans)])
    found = row.fetchone()
    return Effect(*found) if found else Effect(0, 0)


def check_move(conn: Connection[Any], document_ids: Sequence[UUID], target: UUID) -> MoveCheck:
    """What there is to say before documents move; files in the target's trash count as there."""
    rows = conn.execute(
        """
        select d.name,
               exists (select from public.documents t where t.collection_id = %(target)s and t.sha256 = d.sha256)
               or public.find_in_trash(%(target)s, d.sha256) is not null,
               (select count(*) from public.judgements j where j.document_id = d.id)
        from public.documents d where d.id = any (%(ids)s) order by d.name
        """,
        {"ids": list(document_ids), "target": target},
    ).fetchall()
    there = [name for name, known, _ in rows if known]
    return MoveCheck(len(rows) - len(there), there, sum(judged for _, known, judged in rows if not known))


def list_tags(conn: Connection[Any], collection_id: UUID) -> list[str]:
    """The tags in use, most used first."""
    rows = conn.execute(
        "select tag from public.span_marks where collection_id = %s and kind = 'tag'"
        " group by 1 order by count(*) desc, 1",
        [collection_id],
    ).fetchall()
    return [row[0] for row in rows]


def check_tag(text: str) -> str:
    """The tag on one line; :class:`InvalidInput` unless it has 1 to 80 characters."""
    plain = " ".join(text.replace("\x00", "").split())
    if not 1 <= len(plain) <= 80:
        raise InvalidInput("A tag needs 1 to 80 characters.")
    return plain


def _curate(
    conn: Connection[Any], collection_id: UUID, kind: SpanKind, spans: Sequence[Stretch], tag: str | None, note: str
) -> Act:
    if not spans:
        raise InvalidInput("Select some passages first.")
    return _do(
        conn,
        "select public.curate_spans(%s, %s, %s, %s, %s, %s, %s)",
        [collection_id, kind, *_columns(spans), tag, _note(note)],
    )


def _documents(
    conn: Connection[Any], collection_id: UUID, document_ids: Sequence[UUID], target: UUID | None, note: str
) -> Act:
    if not document_ids:
        raise InvalidInput("Select some documents first.")
    return _do(
        conn,
        "select public.curate_documents(%s, %s, %s, %s)",
        [collection_id, list(document_ids), target, _note(note)],
    )


def _do(conn: Connection[Any], statement: str, values: Sequence[Any]) -> Act:
    try:
        row = conn.execute(statement.encode(), values).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary, hint="Ask an owner for editing.") from error
    except psycopg.errors.RaiseException as error:
        raise InvalidInput(error.diag.message_primary, hint=error.diag.message_hint) from error
    assert row is not None
    return read_act(conn, row[0])


def _columns(spans: Sequence[Stretch]) -> tuple[list[UUID], list[int], list[int]]:
    return [span.document_id for span in spans], [span.start for span in spans], [span.end for span in spans]


def _note(note: str) -> str:
    return " ".join(note.replace("\x00", "").split())[:500]
