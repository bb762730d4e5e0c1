"""Chats: a question is a row, its answer another that a worker fills. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from rag.chat.chat_records import Chat, Citation, Delta, Message, Passage, PhaseNote, ScopeNote
from rag.chat.support_rows import read_support
from rag.errors import InvalidInput, NotFound

MAX_QUESTION_CHARS = 8000

_CHATS = """
    select id, collection_id, title, created_at, updated_at, scope_id, created_by,
           created_by = (select auth.uid()) as is_owner,
           exists (select from public.chat_members m where m.chat_id = h.id) as shared
    from public.chats h
"""
#: By an index: the policy alone would look at every chat that there is.
_OURS = "where h.id = any ((select corpuscope.visible_chats())::uuid[]) "
_MESSAGES = """
    select id, chat_id, position, role, content, phase, phase_at, phases, attempt, stop_requested, kind, model,
           error, error_hint, created_at, scope, parent_id, asked_by, profile, wanted_model, standalone, snapshot
    from public.messages
"""
_PASSAGES = """
    select p.message_id, p.number, p.document_id, p.chunk_id, p.document_name as document, p.title, p.text_revision,
           p.start_char as start, p.end_char as "end", p.page, p.text, p.similarity, p.lexical, p.score,
           d.text_revision as revision_now
    from public.passages p left join public.documents d on d.id = p.document_id
    where p.message_id = any (%s) order by p.message_id, p.number
"""
_CITATIONS = """
    select message_id, ordinal, number, start_char as start, end_char as "end", quote
    from public.citations where message_id = any (%s) order by message_id, ordinal
"""


def list_chats(conn: Connection[Any], collection_id: UUID | None = None) -> list[Chat]:
    """The person's chats and those shared with them, at home in one collection or in any, the latest first."""
    with conn.cursor(row_factory=class_row(Chat)) as cursor:
        return cursor.execute(
            _CHATS + _OURS + "and (%(of)s::uuid is null or collection_id = %(of)s) order by updated_at desc, id",
            {"of": collection_id},
        ).fetchall()


def get_chat(conn: Connection[Any], chat_id: UUID) -> Chat:
    """One chat, the person's own or shared with them. Raises :class:`NotFound`."""
    with conn.cursor(row_factory=class_row(Chat)) as cursor:
        chat = cursor.execute(_CHATS + "where id = %s", [chat_id]).fetchone()
    if chat is None:
        raise _no_chat()
    return chat


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


def ask(
    conn: Connection[Any],
    chat_id: UUID,
    question: str,
    profile: dict[str, Any] | None = None,
    *,
    parent: UUID | None = None,
    model: str | None = None,
) -> UUID:
    """Ask in a chat; the id of the answer, which a worker starts on when the transaction has ended.

    ``profile`` is a RetrievalProfile as JSON; None means the collection's default when the answer is made, as None for
    ``model`` means the settings' own. The question goes to the end of the branch that ``parent`` is in (None: of the
    newest), also after questions that others asked there meanwhile; its answer waits for theirs.
    """
    _check_question(question)
    _require_chat(conn, chat_id)
    return _answer_of(
        conn,
        "select public.ask(%s, %s, %s, %s, %s)",
        [chat_id, question.replace("\x00", ""), _json(profile), parent, model],
    )


def edit_question(
    conn: Connection[Any],
    message_id: UUID,
    question: str,
    profile: dict[str, Any] | None = None,
    *,
    model: str | None = None,
) -> UUID:
    """Ask one's own question in other words, on a branch beside it; the id of the answer, as of :func:`ask`."""
    _check_question(question)
    return _answer_of(
        conn,
        "select public.edit_question(%s, %s, %s, %s)",
        [message_id, question.replace("\x00", ""), _json(profile), model],
    )


def regenerate_answer(
    conn: Connection[Any], message_id: UUID, profile: dict[str, Any] | None = None, *, model: str | None = None
) -> UUID:
    """Have another answer made to the same question, on a branch beside this one; its id, as of :func:`ask`."""
    return _answer_of(conn, "select public.regenerate_answer(%s, %s, %s)", [message_id, _json(profile), model])


def delete_message(conn: Connection[Any], message_id: UUID) -> int:
    """Delete a question or an answer with all that goes on from it; how many messages went.

    With its only answer a question goes too. The chat's owner may delete anything, others what they asked as long as
    nobody else goes on from it (else :class:`~rag.errors.NotAllowed`).
    """
    row = conn.execute("select public.delete_message(%s)", [message_id]).fetchone()
    assert row is not None
    return int(row[0])


def list_messages(conn: Connection[Any], chat_id: UUID) -> list[Message]:
    """All questions and answers of the chat in the order in which they came, with passages and citations.

    That is every branch; :func:`rag.chat.branches.thread` chooses one.
    """
    _require_chat(conn, chat_id)
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
    support = read_support(conn, ids)
    names = _names(conn, rows[0]["chat_id"]) if rows else {}
    return [
        Message(
            **row | {"phases": read_notes(row["phases"]), "scope": read_scope_note(row["scope"])},
            asker=names.get(row["asked_by"], ""),
            passages=passages[row["id"]],
            citations=citations[row["id"]],
            support=support.get(row["id"], []),
        )
        for row in rows
    ]


def read_notes(phases: list[dict[str, Any]]) -> list[PhaseNote]:
    """The ``phases`` column as records."""
    return [PhaseNote(note["phase"], note["at"], note.get("detail") or "", note.get("seconds")) for note in phases]


def read_scope_note(scope: dict[str, Any] | None) -> ScopeNote | None:
    """The ``scope`` column as a record."""
    return None if scope is None else ScopeNote(scope["id"], scope["name"], scope["passages"], scope["documents"])


def _names(conn: Connection[Any], chat_id: UUID) -> dict[UUID, str]:
    """What those are called who have to do with a chat."""
    return dict(conn.execute("select user_id, name from public.chat_people(%s)", [chat_id]).fetchall())


def _answer_of(conn: Connection[Any], statement: LiteralString, values: list[Any]) -> UUID:
    row = conn.execute(statement, values).fetchone()
    assert row is not None
    answer: UUID = row[0]
    return answer


def _json(profile: dict[str, Any] | None) -> Jsonb | None:
    return None if profile is None else Jsonb(profile)


def _check_question(question: str) -> None:
    if not 1 <= len(question.strip()) <= MAX_QUESTION_CHARS:
        raise InvalidInput(f"A question needs between 1 and {MAX_QUESTION_CHARS:,} characters.")


def _require_chat(conn: Connection[Any], chat_id: UUID) -> None:
    if not conn.execute("select 1 from public.chats where id = %s", [chat_id]).fetchone():
        raise _no_chat()


def _title(title: str) -> str:
    title = " ".join(title.replace("\x00", "").split())
    if not 1 <= len(title) <= 200:
        raise InvalidInput("A title needs between 1 and 200 characters.")
    return title


def _no_chat() -> NotFound:
    return NotFound("That chat doesn't exist, or it isn't yours.")
