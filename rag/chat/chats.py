"""Chats: a question is a row, its answer another that a worker fills. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from rag.chat.chat_records import Chat, Citation, Delta, Message, Passage, PhaseNote, ScopeNote
from rag.errors import InvalidInput, NotFound

MAX_QUESTION_CHARS = 8000

_CHATS = "select id, collection_id, title, created_at, updated_at, scope_id from public.chats "
_MESSAGES = """
    select id, chat_id, position, role, content, phase, phase_at, phases, attempt, stop_requested, kind, model,
           error, error_hint, created_at, scope
    from public.messages
"""
_PASSAGES = """
    select message_id, number, document_id, chunk_id, document_name as document, title, text_revision,
           start_char as start, end_char as "end", page, text, similarity, lexical, score
    from public.passages where message_id = any (%s) order by message_id, number
"""
_CITATIONS = """
    select message_id, ordinal, number, start_char as start, end_char as "end", quote
    from public.citations where message_id = any (%s) order by message_id, ordinal
"""


def list_chats(conn: Connection[Any], collection_id: UUID | None = None) -> list[Chat]:
    """The person's chats, of one collection or of all, the latest first."""
    with conn.cursor(row_factory=class_row(Chat)) as cursor:
        return cursor.execute(
            _CHATS + "where %(of)s::uuid is null or collection_id = %(of)s order by updated_at desc, id",
            {"of": collection_id},
        ).fetchall()


def create_chat(conn: Connection[Any], collection_id: UUID, title: str | None = None, scope: int | None = None) -> UUID:
    """Start a chat about a collection; without a title the first question becomes it.

    With a ``scope`` (:mod:`rag.retrieval.scopes`) its answers are made from that alone. Raises :class:`NotFound`.
    """
    try:
        row = conn.execute(
            """
            insert into public.chats (collection_id, title, scope_id)
            select id, coalesce(%s, 'New chat'), %s from public.collections where id = %s returning id
            """,
            [_title(title) if title is not None else None, scope, collection_id],
        ).fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ForeignKeyViolation) as error:
        raise NotFound("That selection doesn't exist any more, or it isn't shared with you.") from error
    if row is None:
        raise NotFound("That collection doesn't exist, or it isn't shared with you.")
    made: UUID = row[0]
    return made


def leave_scope(conn: Connection[Any], chat_id: UUID) -> None:
    """From the next question on, answer from the whole collection. Answers asked for already are made as they were."""
    if not conn.execute("update public.chats set scope_id = null where id = %s", [chat_id]).rowcount:
        raise _no_chat()


def rename_chat(conn: Connection[Any], chat_id: UUID, title: str) -> None:
    """Give the chat another title of 1 to 200 characters."""
    if not conn.execute("update public.chats set title = %s where id = %s", [_title(title), chat_id]).rowcount:
        raise _no_chat()


def delete_chat(conn: Connection[Any], chat_id: UUID) -> None:
    """Delete the chat with its questions and answers; an answer being written is given up."""
    if not conn.execute("delete from public.chats where id = %s", [chat_id]).rowcount:
        raise _no_chat()


def ask(conn: Connection[Any], chat_id: UUID, question: str, profile: dict[str, Any] | None = None) -> UUID:
    """Ask in a chat; the id of the answer, which a worker starts on when the transaction has ended.

    ``profile`` is a RetrievalProfile as JSON; None means the collection's default when the answer is made.
    """
    if not 1 <= len(question.strip()) <= MAX_QUESTION_CHARS:
        raise InvalidInput(f"A question needs between 1 and {MAX_QUESTION_CHARS:,} characters.")
    if not conn.execute("select 1 from public.chats where id = %s", [chat_id]).fetchone():
        raise _no_chat()
    row = conn.execute(
        "select public.ask(%s, %s, %s)",
        [chat_id, question.replace("\x00", ""), None if profile is None else Jsonb(profile)],
    ).fetchone()
    assert row is not None
    answer: UUID = row[0]
    return answer


def list_messages(conn: Connection[Any], chat_id: UUID) -> list[Message]:
    """Questions and answers of the chat in order, answers with their passages and citations."""
    if not conn.execute("select 1 from public.chats where id = %s", [chat_id]).fetchone():
        raise _no_chat()
    return _read(conn, "where chat_id = %s order by position", chat_id)


def read_answer(conn: Connection[Any], message_id: UUID) -> Message:
    """One message with its passages and citations; :class:`NotFound` when it isn't the person's."""
    found = _read(conn, "where id = %s", message_id)
    if not found:
        raise NotFound("That answer doesn't exist any more, or it isn't yours.")
    return found[0]


def deltas_after(conn: Connection[Any], message_id: UUID, attempt: int, seq: int) -> list[Delta]:
    """The pieces of ``attempt`` after ``seq``, in order."""
    with conn.cursor(row_factory=class_row(Delta)) as cursor:
        return cursor.execute(
            """
            select attempt, seq, text from public.message_deltas
            where message_id = %s and attempt = %s and seq > %s order by seq
            """,
            [message_id, attempt, seq],
        ).fetchall()


def stop_answer(conn: Connection[Any], message_id: UUID) -> bool:
    """Ask the worker to stop writing, within a second; False when the answer was finished already."""
    row = conn.execute("select public.stop_answer(%s)", [message_id]).fetchone()
    return bool(row and row[0])


def retry_answer(conn: Connection[Any], message_id: UUID) -> bool:
    """Make a failed or stopped answer again, in its place; False when it is neither."""
    row = conn.execute("select public.retry_answer(%s)", [message_id]).fetchone()
    return bool(row and row[0])


def _read(conn: Connection[Any], condition: str, key: UUID) -> list[Message]:
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_MESSAGES + condition, [key]).fetchall()
        ids = [row["id"] for row in rows if row["role"] == "assistant"]
        passages, citations = defaultdict(list), defaultdict(list)
        for passage in cursor.execute(_PASSAGES, [ids]):
            passages[passage.pop("message_id")].append(Passage(**passage))
        for citation in cursor.execute(_CITATIONS, [ids]):
            citations[citation.pop("message_id")].append(Citation(**citation))
    return [
        Message(
            **row | {"phases": read_notes(row["phases"]), "scope": read_scope_note(row["scope"])},
            passages=passages[row["id"]],
            citations=citations[row["id"]],
        )
        for row in rows
    ]


def read_notes(phases: list[dict[str, Any]]) -> list[PhaseNote]:
    """The ``phases`` column as records."""
    return [PhaseNote(note["phase"], note["at"], note.get("detail") or "", note.get("seconds")) for note in phases]


def read_scope_note(scope: dict[str, Any] | None) -> ScopeNote | None:
    """The ``scope`` column as a record."""
    return None if scope is None else ScopeNote(scope["id"], scope["name"], scope["passages"], scope["documents"])


def _title(title: str) -> str:
    title = " ".join(title.replace("\x00", "").split())
    if not 1 <= len(title) <= 200:
        raise InvalidInput("A title needs between 1 and 200 characters.")
    return title


def _no_chat() -> NotFound:
    return NotFound("That chat doesn't exist, or it isn't yours.")
