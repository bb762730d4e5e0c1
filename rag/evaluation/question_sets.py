"""Sets of labelled questions: what a collection is measured by. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed, NotFound

State = Literal["draft", "accepted", "rejected"]
Origin = Literal["typed", "imported", "thumbs", "drafted"]

MAX_QUESTION = 8000


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A set with how many questions it has in each state, and how many judgements its accepted ones have."""

    id: int
    collection_id: UUID
    name: str
    description: str
    accepted: int
    drafts: int
    rejected: int
    judged: int
    judgements: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """One question; ``external_id`` is what the file it came from calls it. Judged 0 means judged as no answer."""

    id: int
    set_id: int
    text: str
    external_id: str | None
    state: State
    origin: Origin
    relevant: int
    irrelevant: int
    created_at: datetime


_SETS = """
    select s.id, s.collection_id, s.name, s.description, coalesce(n.accepted, 0) as accepted,
           coalesce(n.drafts, 0) as drafts, coalesce(n.rejected, 0) as rejected, coalesce(n.judged, 0) as judged,
           coalesce(n.judgements, 0) as judgements, s.created_at
    from public.evaluation_sets s
    left join lateral (
        select count(*) filter (where q.state = 'accepted') as accepted,
               count(*) filter (where q.state = 'draft') as drafts,
               count(*) filter (where q.state = 'rejected') as rejected,
               count(*) filter (where q.state = 'accepted' and j.relevant > 0) as judged,
               sum(j.n) filter (where q.state = 'accepted')::int as judgements
        from public.questions q
        left join lateral (
            select count(*) as n, count(*) filter (where grade > 0) as relevant
            from public.judgements where question_id = q.id
        ) j on true
        where q.set_id = s.id
    ) n on true
"""

_QUESTIONS = """
    select q.id, q.set_id, q.text, q.external_id, q.state, q.origin, j.relevant, j.irrelevant, q.created_at
    from public.questions q
    cross join lateral (
        select count(*) filter (where grade > 0) as relevant, count(*) filter (where grade = 0) as irrelevant
        from public.judgements where question_id = q.id
    ) j
"""


def list_sets(conn: psycopg.Connection[Any], collection_id: UUID) -> list[QuestionSet]:
    """The collection's sets by name."""
    with conn.cursor(row_factory=class_row(QuestionSet)) as cursor:
        return cursor.execute(
            _SETS + "where s.collection_id = %s order by lower(s.name), s.id", [collection_id]
        ).fetchall()


def get_set(conn: psycopg.Connection[Any], set_id: int) -> QuestionSet:
    """One set; :class:`NotFound` when it doesn't exist or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(QuestionSet)) as cursor:
        found = cursor.execute(_SETS + "where s.id = %s", [set_id]).fetchone()
    if found is None:
        raise NotFound("That set of questions doesn't exist, or it isn't shared with you.")
    return found


def find_set(conn: psycopg.Connection[Any], collection_id: UUID, name: str) -> QuestionSet:
    """The set of that name, whatever its case."""
    with conn.cursor(row_factory=class_row(QuestionSet)) as cursor:
        found = cursor.execute(
            _SETS + "where s.collection_id = %s and lower(s.name) = lower(%s)", [collection_id, one_line(name)]
        ).fetchone()
    if found is None:
        raise NotFound(f"There is no set of questions named “{name}” in this collection.")
    return found


def create_set(conn: psycopg.Connection[Any], collection_id: UUID, name: str, description: str = "") -> int:
    """Make an empty set; returns its id. Names are unique in a collection."""
    with refusals("make sets of questions in"):
        row = conn.execute(
            "insert into public.evaluation_sets (collection_id, name, description) values (%s, %s, %s) returning id",
            [collection_id, _check_name(name), one_line(description)[:2000]],
        ).fetchone()
    assert row is not None
    return int(row[0])


def rename_set(conn: psycopg.Connection[Any], set_id: int, name: str, description: str | None = None) -> None:
    """Give it another name and, unless None, another description."""
    with refusals("change the questions of"):
        changed = conn.execute(
            "update public.evaluation_sets set name = %s, description = coalesce(%s, description) where id = %s",
            [_check_name(name), None if description is None else one_line(description)[:2000], set_id],
        ).rowcount
    if not changed:
        get_set(conn, set_id)
        raise NotAllowed("You may read this set but not change it.", hint="Ask an owner for editing.")


def delete_set(conn: psycopg.Connection[Any], set_id: int) -> None:
    """Delete it with its questions, judgements and runs; :func:`get_set` says how many there are."""
    if not conn.execute("delete from public.evaluation_sets where id = %s", [set_id]).rowcount:
        get_set(conn, set_id)
        raise NotAllowed("You may read this set but not delete it.", hint="Ask an owner for editing.")


def list_questions(
    conn: psycopg.Connection[Any], set_id: int, states: Sequence[State] = ("accepted",)
) -> list[Question]:
    """All questions of the set in these states, oldest first."""
    with conn.cursor(row_factory=class_row(Question)) as cursor:
        return cursor.execute(
            _QUESTIONS + "where q.set_id = %s and q.state = any (%s) order by q.id", [set_id, list(states)]
        ).fetchall()


def get_question(conn: psycopg.Connection[Any], question_id: int) -> Question:
    """One question; :class:`NotFound` when it is gone or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(Question)) as cursor:
        found = cursor.execute(_QUESTIONS + "where q.id = %s", [question_id]).fetchone()
    if found is None:
        raise NotFound("That question doesn't exist any more, or it isn't shared with you.")
    return found


def add_question(
    conn: psycopg.Connection[Any],
    set_id: int,
    text: str,
    *,
    state: State = "accepted",
    origin: Origin = "typed",
    external_id: str | None = None,
) -> int:
    """Add a question; returns its id. The same text twice in a set, whatever its case and spaces, is refused."""
    with refusals("add questions to"):
        row = conn.execute(
            """
            insert into public.questions (set_id, collection_id, text, external_id, state, origin)
            select id, collection_id, %s, %s, %s, %s from public.evaluation_sets where id = %s
            returning id
            """,
            [check_question(text), external_id, state, origin, set_id],
        ).fetchone()
    if row is None:
        raise NotFound("That set of questions doesn't exist, or it isn't shared with you.")
    return int(row[0])


def check_question(text: str) -> str:
    """The question as it is stored; :class:`InvalidInput` for none or one that is too long."""
    text = one_line(text)
    if not text:
        raise InvalidInput("Type a question first.")
    if len(text) > MAX_QUESTION:
        raise InvalidInput(f"A question has at most {MAX_QUESTION:,} characters.")
    return text


def one_line(text: str) -> str:
    """One line, without what Postgres can't hold: NUL and lone surrogates."""
    return " ".join(text.replace("\x00", " ").encode("utf-8", "ignore").decode("utf-8").split())


def _check_name(name: str) -> str:
    name = one_line(name)
    if not 1 <= len(name) <= 80:
        raise InvalidInput("A set of questions needs a name of 1 to 80 characters.")
    return name


@contextmanager
def refusals(verb: str) -> Iterator[None]:
    """Translates what the database refuses; ``verb`` completes "You may not … this collection"."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(f"You may not {verb} this collection.", hint="Ask an owner for editing.") from error
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == "evaluation_sets_name":
            raise InvalidInput("There is a set of that name already.", hint="Choose another name.") from error
        raise InvalidInput("That question is in this set already.") from error
