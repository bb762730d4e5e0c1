"""The questions of a set, a page at a time, and what people do with them. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.errors import NotAllowed
from rag.evaluation.question_sets import Origin, Question, State, check_question, get_question, refusals


@dataclass(frozen=True, slots=True)
class QuestionPage:
    """Some of the questions that fit, and how many fit in all."""

    questions: list[Question]
    total: int


@dataclass(frozen=True, slots=True)
class Removed:
    """A question that was deleted, with its judgements, for :func:`restore_questions`."""

    set_id: int
    text: str
    external_id: str | None
    state: State
    origin: Origin
    judgements: list[tuple[UUID, int, int | None, int | None, int, Origin]]


def page_questions(
    conn: psycopg.Connection[Any],
    set_id: int,
    *,
    state: State = "accepted",
    text: str = "",
    answered: bool | None = None,
    limit: int = 50,
    offset: int = 0,
) -> QuestionPage:
    """Questions of the set in order, those with ``text`` in them, and with or without an answer where that is asked."""
    values = {"set": set_id, "state": state, "text": text.replace("\x00", "").strip(), "answered": answered}
    with conn.cursor(row_factory=class_row(Question)) as cursor:
        questions = cursor.execute(
            """
            select q.id, q.set_id, q.text, q.external_id, q.state, q.origin, j.relevant, j.irrelevant, q.created_at
            from (
                select * from public.questions q
                where q.set_id = %(set)s and q.state = %(state)s
                  and (%(text)s = '' or strpos(lower(q.text), lower(%(text)s)) > 0)
                  and (%(answered)s::boolean is null or %(answered)s = exists (
                      select from public.judgements where question_id = q.id and grade > 0
                  ))
                order by q.id limit %(limit)s offset %(offset)s
            ) q
            cross join lateral (
                select count(*) filter (where grade > 0) as relevant, count(*) filter (where grade = 0) as irrelevant
                from public.judgements where question_id = q.id
            ) j
            order by q.id
            """,
            values | {"limit": limit, "offset": offset},
        ).fetchall()
    row = conn.execute(
        """
        select count(*) from public.questions q
        where q.set_id = %(set)s and q.state = %(state)s
          and (%(text)s = '' or strpos(lower(q.text), lower(%(text)s)) > 0)
          and (%(answered)s::boolean is null or %(answered)s = exists (
              select from public.judgements where question_id = q.id and grade > 0
          ))
        """,
        values,
    ).fetchone()
    assert row is not None
    return QuestionPage(questions, int(row[0]))


def edit_question(conn: psycopg.Connection[Any], question_id: int, text: str) -> str:
    """Put it in other words; its judgements stay. Returns the words before."""
    before = get_question(conn, question_id)
    with refusals("change the questions of"):
        changed = conn.execute(
            "update public.questions set text = %s where id = %s", [check_question(text), question_id]
        ).rowcount
    if not changed:
        raise NotAllowed("You may read these questions but not change them.", hint="Ask an owner for editing.")
    return before.text


def set_states(conn: psycopg.Connection[Any], question_ids: Sequence[int], state: State) -> dict[int, State]:
    """Accept or reject questions; returns the states before, by id, for :func:`restore_states`."""
    return dict(
        conn.execute(
            """
            with before as materialized (
                select id, state from public.questions where id = any (%s) and state <> %s order by id for update
            )
            update public.questions q set state = %s from before b where q.id = b.id returning q.id, b.state
            """,
            [list(question_ids), state, state],
        ).fetchall()
    )


def decide_drafts(conn: psycopg.Connection[Any], set_id: int, state: State) -> dict[int, State]:
    """Accept or reject all drafts of the set; returns what :func:`restore_states` needs."""
    drafts = conn.execute("select id from public.questions where set_id = %s and state = 'draft'", [set_id])
    return set_states(conn, [row[0] for row in drafts], state)


def restore_states(conn: psycopg.Connection[Any], before: Mapping[int, State]) -> None:
    """Take back what :func:`set_states` did."""
    conn.execute(
        """
        update public.questions q set state = b.state
        from unnest(%s::bigint[], %s::text[]) as b (id, state) where q.id = b.id
        """,
        [list(before), list(before.values())],
    )


def delete_questions(conn: psycopg.Connection[Any], question_ids: Sequence[int]) -> list[Removed]:
    """Delete questions with their judgements and their results in runs; returns them for :func:`restore_questions`."""
    ids = list(question_ids)
    judged: dict[int, list[Any]] = {}
    for question, *judgement in conn.execute(
        """
        select question_id, document_id, text_revision, start_char, end_char, grade, origin
        from public.judgements where question_id = any (%s) order by id
        """,
        [ids],
    ):
        judged.setdefault(question, []).append(tuple(judgement))
    rows = conn.execute(
        "delete from public.questions where id = any (%s) returning id, set_id, text, external_id, state, origin", [ids]
    ).fetchall()
    if not rows and ids:
        get_question(conn, ids[0])
        raise NotAllowed("You may read these questions but not delete them.", hint="Ask an owner for editing.")
    return [
        Removed(set_id, text, external_id, state, origin, judged.get(id_, []))
        for id_, set_id, text, external_id, state, origin in sorted(rows)
    ]


def restore_questions(conn: psycopg.Connection[Any], removed: Sequence[Removed]) -> list[int]:
    """Put deleted questions back with the judgements whose documents still have that text; returns their new ids."""
    return [_restore(conn, one) for one in removed]


def _restore(conn: psycopg.Connection[Any], one: Removed) -> int:
    with refusals("add questions to"):
        row = conn.execute(
            """
            insert into public.questions (set_id, collection_id, text, external_id, state, origin)
            select id, collection_id, %s, %s, %s, %s from public.evaluation_sets where id = %s returning id
            """,
            [one.text, one.external_id, one.state, one.origin, one.set_id],
        ).fetchone()
    assert row is not None
    for document, revision, start, end, grade, origin in one.judgements:
        conn.execute(
            """
            insert into public.judgements
                (question_id, collection_id, document_id, text_revision, start_char, end_char, grade, origin)
            select %s, collection_id, id, text_revision, %s, %s, %s, %s from public.documents
            where id = %s and (%s::int is null or text_revision in (0, %s))
            """,
            [row[0], start, end, grade, origin, document, start, revision],
        )
    return int(row[0])
