"""What is judged of one question, as passages to read; and judging by hand. ``conn`` runs as the person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.evaluation.phrases import find_all, to_pattern
from rag.evaluation.question_sets import Origin, refusals

#: Characters of a passage, and around one that was found, that are read for a page.
_SHOWN = 700
_AROUND = 120
_MOST_DOCUMENTS = 20
_MOST_PASSAGES = 20


@dataclass(frozen=True, slots=True)
class JudgedPassage:
    """A judgement with the beginning of its text; ``start`` None means the whole document."""

    id: int
    document_id: UUID
    document: str
    title: str | None
    text_revision: int
    start: int | None
    end: int | None
    grade: int
    origin: Origin
    text: str | None


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """Where a phrase stands; ``before`` and ``after`` are what is around it."""

    document_id: UUID
    document: str
    start: int
    end: int
    before: str
    text: str
    after: str


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A judgement that was removed, for :func:`restore_judgement`."""

    question_id: int
    document_id: UUID
    start: int | None
    end: int | None
    grade: int
    origin: Origin


def list_passages(conn: psycopg.Connection[Any], question_id: int) -> list[JudgedPassage]:
    """What is judged of the question: the best grade first, then by document and place."""
    with conn.cursor(row_factory=class_row(JudgedPassage)) as cursor:
        return cursor.execute(
            """
            select j.id, j.document_id, d.name as document, d.title, j.text_revision, j.start_char as start,
                   j.end_char as "end", j.grade, j.origin,
                   substr(t.text, coalesce(j.start_char, 0) + 1, least(j.end_char - j.start_char, %s)) as text
            from public.judgements j
            join public.documents d on d.id = j.document_id
            left join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
            where j.question_id = %s order by j.grade desc, lower(d.name), j.start_char nulls first, j.id
            """,
            [_SHOWN, question_id],
        ).fetchall()


def judge(
    conn: psycopg.Connection[Any],
    question_id: int,
    document_id: UUID,
    start: int | None = None,
    end: int | None = None,
    grade: int = 1,
    origin: Origin = "typed",
) -> int:
    """Judge characters of a document, or all of it without a span; the same again changes the grade. Returns the id."""
    if not 0 <= grade <= 3:
        raise InvalidInput("A grade is 0 (no answer) to 3 (the best).")
    with refusals("judge passages of"):
        row = conn.execute(
            """
            insert into public.judgements
                (question_id, collection_id, document_id, text_revision, start_char, end_char, grade, origin)
            select q.id, q.collection_id, d.id, d.text_revision, %(start)s, %(end)s, %(grade)s, %(origin)s
            from public.questions q join public.documents d on d.collection_id = q.collection_id
            where q.id = %(question)s and d.id = %(document)s
              and (%(start)s::int is null or (%(start)s >= 0 and %(start)s < %(end)s and %(end)s <= d.char_count))
            on conflict (question_id, document_id, start_char, end_char) do update set grade = excluded.grade
            returning id
            """,
            {
                "start": start,
                "end": end,
                "grade": grade,
                "origin": origin,
                "question": question_id,
                "document": document_id,
            },
        ).fetchone()
    if row is None:
        raise NotFound("That question or that part of a document doesn't exist any more.", hint="Reload the page.")
    return int(row[0])


def change_grade(conn: psycopg.Connection[Any], judgement_id: int, grade: int) -> None:
    """Give a judgement another grade, 0 to 3."""
    if not 0 <= grade <= 3:
        raise InvalidInput("A grade is 0 (no answer) to 3 (the best).")
    if not conn.execute("update public.judgements set grade = %s where id = %s", [grade, judgement_id]).rowcount:
        raise NotAllowed("That judgement is gone already, or you may not change it.")


def take_back(conn: psycopg.Connection[Any], judgement_id: int) -> TakenBack:
    """Remove a judgement and return it, for :func:`restore_judgement` to undo this."""
    row = conn.execute(
        """
        delete from public.judgements where id = %s
        returning question_id, document_id, start_char, end_char, grade, origin
        """,
        [judgement_id],
    ).fetchone()
    if row is None:
        raise NotFound("That judgement is gone already, or you may not change it.")
    return TakenBack(*row)


def restore_judgement(conn: psycopg.Connection[Any], taken: TakenBack) -> int:
    """Put it back; returns its new id."""
    return judge(conn, taken.question_id, taken.document_id, taken.start, taken.end, taken.grade, taken.origin)


def find_passages(
    conn: psycopg.Connection[Any], collection_id: UUID, phrase: str, document_id: UUID | None = None
) -> list[FoundPassage]:
    """Where the phrase stands in the parsed texts of the collection, or of one document; the first twenty places.

    Spaces, case and the form of quotation marks and dashes don't matter where it isn't found as it stands.
    """
    phrase = phrase.replace("\x00", "").strip()
    if len(phrase) < 3:
        raise InvalidInput("Paste at least three characters of the passage.")
    values = {"collection": collection_id, "document": document_id, "phrase": phrase, "most": _MOST_DOCUMENTS}
    rows = conn.execute(_FIND + _EXACT, values).fetchall()
    if not rows and (pattern := to_pattern(phrase)) is not None:
        rows = conn.execute(_FIND + _ALIKE, values | {"pattern": pattern}).fetchall()
    found = [
        FoundPassage(
            id_, name, start, end, text[max(0, start - _AROUND) : start], text[start:end], text[end : end + _AROUND]
        )
        for id_, name, text in rows
        for start, end in find_all(text, phrase, _MOST_PASSAGES)
    ]
    return found[:_MOST_PASSAGES]


_FIND = """
    select d.id, d.name, t.text from public.documents d
    join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
    where d.collection_id = %(collection)s and (%(document)s::uuid is null or d.id = %(document)s)
"""
_EXACT = "and strpos(t.text, %(phrase)s) > 0 order by lower(d.name), d.id limit %(most)s"
_ALIKE = "and t.text ~* %(pattern)s order by lower(d.name), d.id limit %(most)s"
