"""Judgements: which characters of which document answer a question, and how well. ``conn`` runs as the person.

They name spans of documents, never chunks: a chunk is relevant if it overlaps one, under any chunking.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import args_row

from rag.errors import InvalidInput, NotFound
from rag.evaluation.question_sets import Origin, check_question, one_line, refusals
from rag.records import Hit

#: Where thumbs up and down go when no set is chosen.
THUMBS_SET = "From thumbs"


class Judgement(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive; both None: all) of a document; ``grade`` 0 is no answer, 1–3 is."""

    document_id: UUID
    start: int | None
    end: int | None
    grade: int


class PassageSpan(NamedTuple):
    """A passage that is judged without being a hit of now: an answer's, as its document was at ``text_revision``."""

    document_id: UUID
    text_revision: int
    start: int
    end: int


def read_judgements(conn: psycopg.Connection[Any], set_id: int) -> dict[int, list[Judgement]]:
    """What is judged of each question of the set, by the question's id; questions without judgements are left out."""
    found: dict[int, list[Judgement]] = defaultdict(list)
    for question, *judged in conn.execute(
        """
        select j.question_id, j.document_id, j.start_char, j.end_char, j.grade
        from public.questions q join public.judgements j on j.question_id = q.id
        where q.set_id = %s order by j.question_id, j.id
        """,
        [set_id],
    ):
        found[question].append(Judgement(*judged))
    return dict(found)


def verdicts(conn: psycopg.Connection[Any], collection_id: UUID, question: str) -> list[Judgement]:
    """What is judged of this question's text in any set of the collection, the latest first."""
    with conn.cursor(row_factory=args_row(Judgement)) as cursor:
        return cursor.execute(
            """
            select j.document_id, j.start_char, j.end_char, j.grade
            from public.questions q join public.judgements j on j.question_id = q.id
            where q.collection_id = %s and q.text_key = corpuscope.question_key(%s) order by j.id desc
            """,
            [collection_id, one_line(question)],
        ).fetchall()


def judge_hit(
    conn: psycopg.Connection[Any],
    set_id: int | None,
    question: str,
    hit: Hit | PassageSpan,
    grade: int | None,
    collection_id: UUID,
) -> int | None:
    """Thumbs: judge the hit's characters for the question; returns the question's id.

    Without a set, the set "From thumbs" is meant, and made. The question is added if it is new. ``grade`` None takes
    the judgement back. :class:`InvalidInput` when the document's text was corrected since the hit was found.
    """
    question = check_question(question)
    with refusals("judge passages of"):
        if grade is None:
            _take_back(conn, set_id, question, hit, collection_id)
            return None
        set_id = _thumbs_set(conn, collection_id) if set_id is None else set_id
        question_id = _question_of(conn, set_id, question)
        if not _store(conn, question_id, hit, grade, "thumbs"):
            _explain(conn, hit)
        return question_id


def _thumbs_set(conn: psycopg.Connection[Any], collection_id: UUID) -> int:
    conn.execute(
        """
        insert into public.evaluation_sets (collection_id, name, description)
        values (%s, %s, 'Passages that people judged while they searched.')
        on conflict (collection_id, lower(name)) do nothing
        """,
        [collection_id, THUMBS_SET],
    )
    row = conn.execute(
        "select id from public.evaluation_sets where collection_id = %s and lower(name) = lower(%s)",
        [collection_id, THUMBS_SET],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _question_of(conn: psycopg.Connection[Any], set_id: int, question: str) -> int:
    """The question's id in the set, added if it is new. A judged draft counts as accepted: a person answered it."""
    row = conn.execute(
        """
        insert into public.questions (set_id, collection_id, text, origin)
        select id, collection_id, %s, 'thumbs' from public.evaluation_sets where id = %s
        on conflict (set_id, text_key) do update set state = 'accepted'
        returning id
        """,
        [question, set_id],
    ).fetchone()
    if row is None:
        raise NotFound("That set of questions doesn't exist, or it isn't shared with you.")
    return int(row[0])


def _store(conn: psycopg.Connection[Any], question_id: int, hit: Hit | PassageSpan, grade: int, origin: Origin) -> bool:
    if not 0 <= grade <= 3:
        raise InvalidInput("A grade is 0 (no answer) to 3 (the best).")
    return bool(
        conn.execute(
            """
            insert into public.judgements
                (question_id, collection_id, document_id, text_revision, start_char, end_char, grade, origin)
            select %s, collection_id, id, text_revision, %s, %s, %s, %s
            from public.documents where id = %s and text_revision = %s
            on conflict (question_id, document_id, start_char, end_char)
                do update set grade = excluded.grade, origin = excluded.origin, text_revision = excluded.text_revision
            """,
            [question_id, hit.start, hit.end, grade, origin, hit.document_id, hit.text_revision],
        ).rowcount
    )


def _take_back(
    conn: psycopg.Connection[Any], set_id: int | None, question: str, hit: Hit | PassageSpan, collection_id: UUID
) -> None:
    conn.execute(
        """
        delete from public.judgements j using public.questions q, public.evaluation_sets s
        where q.id = j.question_id and s.id = q.set_id and q.collection_id = %(collection)s
          and (q.set_id = %(set)s or (%(set)s::bigint is null and lower(s.name) = lower(%(thumbs)s)))
          and q.text_key = corpuscope.question_key(%(question)s)
          and j.document_id = %(document)s and j.start_char = %(start)s and j.end_char = %(end)s
        """,
        {
            "collection": collection_id,
            "set": set_id,
            "thumbs": THUMBS_SET,
            "question": question,
            "document": hit.document_id,
            "start": hit.start,
            "end": hit.end,
        },
    )


def _explain(conn: psycopg.Connection[Any], hit: Hit | PassageSpan) -> None:
    if conn.execute("select from public.documents where id = %s", [hit.document_id]).fetchone() is None:
        raise NotFound("That document doesn't exist any more, or it isn't shared with you.")
    raise InvalidInput("The text of that document was corrected since.", hint="Search again, then judge the passage.")
