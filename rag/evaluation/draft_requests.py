"""Requests to draft questions from documents: rows that people make and a worker carries out. ``conn`` as each says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.evaluation.question_sets import Origin, refusals

DraftState = Literal["queued", "running", "done", "failed", "cancelled"]
MOST = 200


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """How far one is; ``writer`` is the chat model, or empty where headings and sentences were made into questions.

    ``scope_id`` is the selection of passages that is asked about, None for all documents.
    """

    id: int
    set_id: int
    collection_id: UUID
    wanted: int
    made: int
    state: DraftState
    writer: str
    reason: str | None
    hint: str | None
    cancel_requested: bool
    created_by: UUID
    created_at: datetime
    scope_id: int | None = None

    @property
    def active(self) -> bool:
        """Whether a worker has it or will."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, slots=True)
class Source:
    """A chunk to ask about."""

    document_id: UUID
    document: str
    title: str | None
    language: str | None
    text_revision: int
    start: int
    end: int
    heading_path: list[str]
    text: str


_COLUMNS = (
    "id, set_id, collection_id, wanted, made, state, writer, reason, hint, cancel_requested, created_by, created_at,"
    " scope_id"
)


# As the person who asks ------------------------------------------------------------------------------------------


def request_drafts(conn: psycopg.Connection[Any], set_id: int, wanted: int, scope: int | None = None) -> int:
    """Ask for so many drafts in a set; a trigger sends it to a worker. Returns the request's id.

    With a ``scope`` (:mod:`rag.retrieval.scopes`) they are about its passages alone.
    """
    if not 1 <= wanted <= MOST:
        raise InvalidInput(f"Between 1 and {MOST} questions can be drafted at once.")
    with refusals("draft questions in"):
        row = conn.execute(
            """
            insert into public.question_drafts (set_id, collection_id, wanted, scope_id)
            select id, collection_id, %s, %s from public.evaluation_sets where id = %s returning id
            """,
            [wanted, scope, set_id],
        ).fetchone()
    if row is None:
        raise NotFound("That set of questions doesn't exist, or it isn't shared with you.")
    return int(row[0])


def latest_request(conn: psycopg.Connection[Any], set_id: int) -> DraftRequest | None:
    """The set's latest request; None where there was none."""
    with conn.cursor(row_factory=class_row(DraftRequest)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from public.question_drafts where set_id = %s order by id desc limit 1", [set_id]
        ).fetchone()


def cancel_request(conn: psycopg.Connection[Any], request_id: int) -> None:
    """Ask the worker to stop; what was drafted stays."""
    if not conn.execute(
        "update public.question_drafts set cancel_requested = true where id = %s", [request_id]
    ).rowcount:
        raise NotAllowed("That request is gone, or you may not stop it.")


def choose_sources(conn: psycopg.Connection[Any], request: DraftRequest, most: int) -> list[Source]:
    """Chunks of the active index that the set asks nothing about yet, in turn from all documents.

    Where the request has a scope, only those in it.
    """
    with conn.cursor(row_factory=class_row(Source)) as cursor:
        return cursor.execute(
            """
            with fitting as materialized (
                select k.id, row_number() over (partition by k.document_id order by md5(k.id::text)) as turn
                from public.collections c
                join public.chunks k on k.index_id = c.active_index_id
                join public.documents d on d.id = k.document_id
                join public.index_documents x on x.index_id = k.index_id and x.document_id = k.document_id
                where c.id = %(collection)s and not k.excluded and length(k.text) >= 80
                  and x.text_revision = d.text_revision
                  and (%(scope)s::bigint is null or k.id in (select public.scope_members(%(scope)s)))
                  and not exists (
                      select from public.judgements j join public.questions q on q.id = j.question_id
                      where q.set_id = %(set)s and j.document_id = k.document_id
                        and j.start_char < k.end_char and j.end_char > k.start_char
                  )
            ), picked as (select id, turn from fitting order by turn, md5(id::text) limit %(most)s)
            select k.document_id, d.name as document, d.title, k.language, d.text_revision, k.start_char as start,
                   k.end_char as "end", k.heading_path, k.text
            from picked p join public.chunks k using (id) join public.documents d on d.id = k.document_id
            order by p.turn, md5(k.id::text)
            """,
            {
                "collection": request.collection_id,
                "set": request.set_id,
                "scope": request.scope_id,
                "most": most,
            },
        ).fetchall()


def store_draft(
    conn: psycopg.Connection[Any],
    request: DraftRequest,
    question: str,
    source: Source,
    span: tuple[int, int],
    grade: int,
) -> bool:
    """A draft with its passage; False when the set has the question already or the text was corrected."""
    origin: Origin = "drafted"
    with refusals("draft questions in"):
        return bool(
            conn.execute(
                """
                with made as (
                    insert into public.questions (set_id, collection_id, text, state, origin)
                    select %(set)s, %(collection)s, %(question)s, 'draft', %(origin)s from public.documents
                    where id = %(document)s and text_revision = %(revision)s
                    on conflict (set_id, text_key) do nothing returning id, collection_id
                )
                insert into public.judgements
                    (question_id, collection_id, document_id, text_revision, start_char, end_char, grade, origin)
                select id, collection_id, %(document)s, %(revision)s, %(start)s, %(end)s, %(grade)s, %(origin)s
                from made
                """,
                {
                    "set": request.set_id,
                    "collection": request.collection_id,
                    "question": question,
                    "origin": origin,
                    "document": source.document_id,
                    "revision": source.text_revision,
                    "start": span[0],
                    "end": span[1],
                    "grade": grade,
                },
            ).rowcount
        )


# As the worker ---------------------------------------------------------------------------------------------------


def begin_request(conn: psycopg.Connection[Any], request_id: int, writer: str) -> DraftRequest | None:
    """Take it up, or go on with it; None when it is over or gone."""
    with conn.cursor(row_factory=class_row(DraftRequest)) as cursor:
        return cursor.execute(
            f"""
            update public.question_drafts set state = 'running', writer = %s, reason = null, hint = null
            where id = %s and state in ('queued', 'running') returning {_COLUMNS}
            """,
            [writer, request_id],
        ).fetchone()


def note_made(conn: psycopg.Connection[Any], request_id: int, made: int) -> bool:
    """Count what was drafted; False when a person wants it to stop or it is gone."""
    row = conn.execute(
        "update public.question_drafts set made = %s where id = %s returning not cancel_requested", [made, request_id]
    ).fetchone()
    return bool(row and row[0])


def note_waiting(conn: psycopg.Connection[Any], request_id: int, reason: str) -> None:
    """Say why it stands still for a while."""
    conn.execute("update public.question_drafts set reason = %s where id = %s", [reason, request_id])


def end_request(
    conn: psycopg.Connection[Any],
    request_id: int,
    state: DraftState,
    reason: str | None = None,
    hint: str | None = None,
) -> None:
    """Its outcome, with the reason where it isn't what was wanted."""
    conn.execute(
        """
        update public.question_drafts set state = %s, reason = %s, hint = %s, finished_at = now()
        where id = %s and state in ('queued', 'running')
        """,
        [state, reason, hint or None, request_id],
    )


def fail_request(conn: psycopg.Connection[Any], request_id: int, reason: str, hint: str) -> None:
    """Given up on: why, and what to do."""
    end_request(conn, request_id, "failed", reason, hint)
