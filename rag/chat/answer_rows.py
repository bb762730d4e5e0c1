"""The rows of an answer being made. ``conn`` runs as the worker.

Every write names its attempt: a worker that was given up for dead and comes back finds that its attempt no longer
counts, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.chat.chat_records import Citation, Passage, Phase, PhaseNote
from rag.chat.snapshots import Snapshot

_FINAL = "('complete', 'failed', 'stopped')"
_JOINED = """
    coalesce((
        select string_agg(d.text, '' order by d.seq) from public.message_deltas d
        where d.message_id = m.id and d.attempt = m.attempt
    ), '')
"""


class Superseded(Exception):
    """This attempt doesn't count any more: another was begun, or the answer was ended or deleted."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an answer. ``asker`` is whose rights it is made with; ``restarts`` holds a note per earlier try.

    ``asker`` is None where that account is gone. ``collection_id`` is the chat's own collection, ``collections`` are
    all that it asks, which everybody in it may view. ``scope`` is the selection of the chat's own that it is to be made
    from, as it was when the question was asked; None for everything. ``wanted_model`` was chosen for this answer, None
    the default.
    """

    message_id: UUID
    number: int
    chat_id: UUID
    collection_id: UUID
    collections: list[UUID]
    asker: UUID | None
    question: str
    wanted_model: str | None
    profile: dict[str, Any] | None
    scope: dict[str, Any] | None
    restarts: list[dict[str, Any]]


def begin_attempt(conn: Connection[Any], message_id: UUID) -> Attempt | None:
    """Take the answer over, forgetting what an earlier attempt wrote; None when there is nothing to do.

    That is also while it has to wait for an earlier answer, whose end sends its job again.
    """
    with conn.cursor(row_factory=class_row(Attempt)) as cursor:
        attempt = cursor.execute(
            f"""
            update public.messages m
            set attempt = m.attempt + 1, phase = 'analyzing', phase_at = clock_timestamp(), content = '',
                kind = null, model = null, error = null, error_hint = null, standalone = null, snapshot = null,
                phases = jsonb_path_query_array(m.phases, '$[*] ? (@.phase == "restarted")')
                    || case when m.phase = 'queued' then '[]' else jsonb_build_array(jsonb_build_object(
                        'phase', 'restarted', 'at', clock_timestamp(),
                        'detail', 'The answer was started again: the worker that wrote it before was interrupted.')) end
            from public.chats c, public.messages q
            where m.id = %s and m.role = 'assistant' and m.phase not in {_FINAL}
              and c.id = m.chat_id and q.id = m.parent_id and not corpuscope.answer_waits(m.id)
            returning m.id as message_id, m.attempt as number, c.id as chat_id, c.collection_id,
                corpuscope.common_collections(c.id) as collections,
                m.asked_by as asker, q.content as question, m.wanted_model, m.profile, m.scope, m.phases as restarts
            """,
            [message_id],
        ).fetchone()
    if attempt is not None:
        conn.execute("delete from public.message_deltas where message_id = %s", [message_id])
        conn.execute("delete from public.passages where message_id = %s", [message_id])
    return attempt


def read_history(conn: Connection[Any], attempt: Attempt) -> list[tuple[str, str]]:
    """The (question, answer) pairs that this one goes on from, as far as completed, oldest first, at most twenty.

    Questions are as they were understood.
    """
    rows = conn.execute(
        """
        with recursive branch as (
            select m.parent_id as question, 0 as depth from public.messages m where m.id = %s
            union all
            select a.parent_id, b.depth + 1 from branch b
            join public.messages q on q.id = b.question
            join public.messages a on a.id = q.parent_id
            where b.depth < 60
        )
        select coalesce(a.standalone, q.content), a.content from branch b
        join public.messages n on n.id = b.question
        join public.messages a on a.id = n.parent_id
        join public.messages q on q.id = a.parent_id
        where a.phase = 'complete' order by b.depth limit 20
        """,
        [attempt.message_id],
    ).fetchall()
    return [(question, answer) for question, answer in reversed(rows)]


def note_phase(
    conn: Connection[Any],
    attempt: Attempt,
    phase: Phase,
    notes: Sequence[PhaseNote],
    *,
    kind: str | None = None,
    model: str | None = None,
    standalone: str | None = None,
) -> None:
    """Store the phase and what each did so far, and what else is known. Raises :class:`Superseded`."""
    changed = conn.execute(
        f"""
        update public.messages set phase = %s, phases = %s, kind = coalesce(%s, kind), model = coalesce(%s, model),
            standalone = coalesce(%s, standalone),
            phase_at = case when phase = %s then phase_at else clock_timestamp() end
        where id = %s and attempt = %s and phase not in {_FINAL}
        """,
        [phase, _json(attempt, notes), kind, model, standalone, phase, attempt.message_id, attempt.number],
    ).rowcount
    if not changed:
        raise Superseded


def store_passages(conn: Connection[Any], attempt: Attempt, passages: Sequence[Passage]) -> None:
    """Keep what was retrieved for this answer. Raises :class:`Superseded`."""
    hold(conn, attempt)
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into public.passages (message_id, number, document_id, chunk_id, document_name, title, text_revision,
                start_char, end_char, page, text, similarity, lexical, score)
            values (%s, %s, (select id from public.documents where id = %s), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    attempt.message_id, p.number, p.document_id, p.chunk_id, p.document, p.title, p.text_revision,
                    p.start, p.end, p.page, p.text, p.similarity, p.lexical, p.score,
                )
                for p in passages
            ],
        )  # fmt: skip


def hold(conn: Connection[Any], attempt: Attempt) -> bool:
    """Lock the answer for this transaction; True when the asker wants it stopped. Raises :class:`Superseded`."""
    row = conn.execute(
        f"""
        select stop_requested from public.messages
        where id = %s and attempt = %s and phase not in {_FINAL} for share
        """,
        [attempt.message_id, attempt.number],
    ).fetchone()
    if row is None:
        raise Superseded
    return bool(row[0])


def append_delta(conn: Connection[Any], attempt: Attempt, seq: int, text: str) -> None:
    """Append a piece of text; the caller holds the answer."""
    conn.execute(
        "insert into public.message_deltas (message_id, attempt, seq, text) values (%s, %s, %s, %s)",
        [attempt.message_id, attempt.number, seq, text],
    )


def end_attempt(
    conn: Connection[Any],
    attempt: Attempt,
    phase: Phase,
    notes: Sequence[PhaseNote],
    citations: Sequence[Citation] = (),
    *,
    error: str | None = None,
    hint: str | None = None,
    snapshot: Snapshot | None = None,
) -> None:
    """Give the answer its final phase; its content is what was streamed. Raises :class:`Superseded`."""
    made_with = None if snapshot is None else Jsonb(snapshot.to_json())
    changed = conn.execute(
        f"""
        update public.messages m set phase = %s, phase_at = clock_timestamp(), phases = %s, error = %s, error_hint = %s,
            snapshot = %s, content = {_JOINED}
        where m.id = %s and m.attempt = %s and m.phase not in {_FINAL}
        """,
        [phase, _json(attempt, notes), error, hint or None, made_with, attempt.message_id, attempt.number],
    ).rowcount
    if not changed:
        raise Superseded
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into public.citations (message_id, ordinal, number, start_char, end_char, quote)
            values (%s, %s, %s, %s, %s, %s)
            """,
            [(attempt.message_id, c.ordinal, c.number, c.start, c.end, c.quote) for c in citations],
        )


def fail_answer(conn: Connection[Any], message_id: UUID, reason: str, hint: str = "") -> None:
    """End an answer that nobody will work on any more; what was written of it stays."""
    conn.execute(
        f"""
        update public.messages m set phase = 'failed', phase_at = clock_timestamp(), error = %s, error_hint = %s,
            content = {_JOINED}
        where m.id = %s and m.phase not in {_FINAL}
        """,
        [reason, hint or None, message_id],
    )


def _json(attempt: Attempt, notes: Sequence[PhaseNote]) -> Jsonb:
    return Jsonb([*attempt.restarts, *(asdict(note) for note in notes)])
