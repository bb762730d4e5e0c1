"""Taking files of labelled questions into a set: first a plan that says what will be, then the rows.

Passages are found in the documents' parsed texts. Documents that are missing and come with the files can be added: as
plain text, which parsing keeps character by character, so that passages of them are known before they are read.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg

from rag.corpus.documents import store_document
from rag.errors import InvalidInput
from rag.evaluation.matching import Catalogue, locate, read_catalogue, read_texts
from rag.evaluation.question_sets import get_set, refusals
from rag.evaluation.set_rows import Problem, ReadDocument, ReadJudgement, ReadSet
from rag.reading.media import safe_name
from rag.reading.textfiles import clean

_BATCH = 50

OpenConn = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


@dataclass(frozen=True, slots=True)
class Planned:
    """One judgement to store: of the question of that number; ``document`` is the file's id where it is to be added."""

    question: int
    document: UUID | str
    revision: int
    start: int | None
    end: int | None
    grade: int


@dataclass(slots=True)
class ImportPlan:
    """What an import would do. ``waiting`` are judgements on documents of the files that the collection lacks."""

    read: ReadSet
    judgements: list[Planned] = field(default_factory=list)
    waiting: list[Planned] = field(default_factory=list)
    #: Names in the files by the names of the documents that they mean.
    matched: dict[str, str] = field(default_factory=dict)
    missing: list[ReadDocument] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    #: How many of the questions are in the set already.
    known: int = 0

    @property
    def is_empty(self) -> bool:
        return not self.read.questions


@dataclass(frozen=True, slots=True)
class Imported:
    """Rows that an import made, for :func:`undo_import`; ``questions`` counts those that were there too."""

    new_questions: list[int]
    new_judgements: list[int]
    judgements: int


def plan_import(conn: psycopg.Connection[Any], set_id: int, read: ReadSet) -> ImportPlan:
    """Find the documents and passages that the files name; nothing is written. Costs one pass over those texts."""
    plan = ImportPlan(read, problems=list(read.problems))
    collection_id = get_set(conn, set_id).collection_id
    catalogue = read_catalogue(conn, collection_id, read.documents)
    meant = _match_documents(plan, catalogue)
    found: dict[tuple[int, UUID | str, int | None, int | None], Planned] = {}
    for planned in _place(conn, plan, catalogue, meant):
        key = (planned.question, planned.document, planned.start, planned.end)
        if key not in found or found[key].grade < planned.grade:
            found[key] = planned
    for planned in found.values():
        (plan.waiting if isinstance(planned.document, str) else plan.judgements).append(planned)
    plan.known = _count_known(conn, set_id, [question.text for question in read.questions])
    plan.problems.sort(key=lambda problem: (problem.file, problem.line or 0))
    return plan


def _match_documents(plan: ImportPlan, catalogue: Catalogue) -> dict[str, UUID | str]:
    """By what the files call them: the document's id, or the file's id where it is to be added."""
    meant: dict[str, UUID | str] = {}
    for document in plan.read.documents.values():
        alike = catalogue.find_alike(document)
        if len(alike) == 1:
            meant[document.id] = alike[0].id
            plan.matched[document.id] = alike[0].name
        else:
            meant[document.id] = document.id
            plan.missing.append(document)
    asked: dict[str, list[ReadJudgement]] = defaultdict(list)
    for question in plan.read.questions:
        for judged in question.judgements:
            if judged.document not in meant:
                asked[judged.document].append(judged)
    for said, rows in asked.items():
        fitting = catalogue.find(said)
        if len(fitting) == 1:
            meant[said] = fitting[0].id
            plan.matched[said] = fitting[0].name
            continue
        plan.unknown.append(said)
        many = f"{len(fitting)} documents are called “{said[:80]}”: give the id of one"
        none = f"no document of this collection is called “{said[:80]}”"
        plan.problems += [Problem(row.file, row.line, many if fitting else none) for row in rows]
    return meant


def _place(
    conn: psycopg.Connection[Any], plan: ImportPlan, catalogue: Catalogue, meant: dict[str, UUID | str]
) -> Iterable[Planned]:
    """Every judgement whose document and passage are found; the others become problems."""
    passages: dict[UUID | str, list[tuple[int, ReadJudgement]]] = defaultdict(list)
    for number, question in enumerate(plan.read.questions):
        for judged in question.judgements:
            document = meant.get(judged.document)
            if document is None:
                continue
            if judged.phrase or judged.start is not None:
                passages[document].append((number, judged))
            else:
                revision = 1 if isinstance(document, str) else catalogue.get(document).revision
                yield Planned(number, document, revision, None, None, judged.grade)
    stored = [document for document in passages if isinstance(document, UUID)]
    unread = [document for document in stored if catalogue.get(document).revision == 0]
    for document in unread:
        for _, judged in passages[document]:
            text = "its document has not been read yet: import this again when it is"
            plan.problems.append(Problem(judged.file, judged.line, text))
    for document, text in read_texts(conn, [one for one in stored if one not in set(unread)]):
        yield from _find_passages(plan, passages[document], document, text, catalogue.get(document).revision)
    for document in passages:
        if isinstance(document, str):
            yield from _find_passages(plan, passages[document], document, clean(plan.read.documents[document].text), 1)


def _find_passages(
    plan: ImportPlan, rows: Sequence[tuple[int, ReadJudgement]], document: UUID | str, text: str, revision: int
) -> Iterable[Planned]:
    for number, judged in rows:
        found = locate(text, judged, plan.read.documents.get(judged.document))
        if isinstance(found, str):
            plan.problems.append(Problem(judged.file, judged.line, found))
        else:
            yield Planned(number, document, revision, *found, judged.grade)


def _count_known(conn: psycopg.Connection[Any], set_id: int, texts: list[str]) -> int:
    row = conn.execute(
        """
        select count(*) from public.questions q
        where q.set_id = %s and q.text_key = any (array(select corpuscope.question_key(t) from unnest(%s::text[]) t))
        """,
        [set_id, texts],
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_documents(
    open_conn: OpenConn,
    collection_id: UUID,
    plan: ImportPlan,
    *,
    max_bytes: int,
    on_progress: Callable[[int], object] = lambda _done: None,
) -> dict[str, UUID]:
    """Store the missing documents as text files, a few in each transaction; their ids by those of the file.

    Two with the same text become one. Raises :class:`LimitReached` where the limits leave no room; what was stored
    until then stays, and is matched when the same files are imported again.
    """
    made: dict[str, UUID] = {}
    for first in range(0, len(plan.missing), _BATCH):
        with open_conn() as conn:
            for document in plan.missing[first : first + _BATCH]:
                made[document.id] = _store_document(conn, collection_id, document, max_bytes)
        on_progress(min(first + _BATCH, len(plan.missing)))
    return made


def _store_document(conn: psycopg.Connection[Any], collection_id: UUID, document: ReadDocument, max_bytes: int) -> UUID:
    name = document.id if document.id.lower().endswith(".txt") else f"{document.id}.txt"
    starts_with_title = document.text.lstrip().casefold().startswith(document.title.strip().casefold())
    stored = store_document(
        conn,
        collection_id,
        safe_name(name.replace("/", "-")),
        io.BytesIO(clean(document.text).encode()),
        on_name="keep_both",
        max_bytes=max_bytes,
        title=None if starts_with_title else " ".join(document.title.split())[:200],
    )
    id_ = stored.document_id or (stored.existing.id if stored.existing else None)
    if id_ is None:
        raise InvalidInput(f"“{document.id[:80]}” could not be stored: somebody changed the collection meanwhile.")
    return id_


def with_documents(plan: ImportPlan, made: dict[str, UUID]) -> list[Planned]:
    """All judgements of the plan, those on added documents under the documents' ids."""
    added = [replace(one, document=made[one.document]) for one in plan.waiting if one.document in made]  # type: ignore[index]
    return [*plan.judgements, *added]


def store_import(conn: psycopg.Connection[Any], set_id: int, plan: ImportPlan, judgements: list[Planned]) -> Imported:
    """Write the questions and judgements. What is there already stays; a judgement takes the file's grade.

    Judgements whose document was deleted or corrected since the plan was made are left out.
    """
    with refusals("import questions into"):
        new = _store_questions(conn, set_id, plan)
        ids = _question_ids(conn, set_id, [question.text for question in plan.read.questions])
        rows = _store_judgements(conn, [(ids[one.question], one) for one in judgements if one.question in ids])
    return Imported(new, [id_ for id_, inserted in rows if inserted], len(rows))


def _store_questions(conn: psycopg.Connection[Any], set_id: int, plan: ImportPlan) -> list[int]:
    texts = [question.text for question in plan.read.questions]
    conn.execute(
        """
        update public.questions set state = 'accepted' where set_id = %s and state <> 'accepted'
          and text_key = any (array(select corpuscope.question_key(t) from unnest(%s::text[]) t))
        """,
        [set_id, texts],
    )
    rows = conn.execute(
        """
        insert into public.questions (set_id, collection_id, text, external_id, origin)
        select s.id, s.collection_id, u.text, u.external_id, 'imported'
        from public.evaluation_sets s, unnest(%s::text[], %s::text[]) with ordinality as u (text, external_id, place)
        where s.id = %s order by u.place
        on conflict (set_id, text_key) do nothing returning id
        """,
        [texts, [question.external_id for question in plan.read.questions], set_id],
    )
    return [row[0] for row in rows]


def _question_ids(conn: psycopg.Connection[Any], set_id: int, texts: list[str]) -> dict[int, int]:
    """Ids of the questions by their place in ``texts``."""
    rows = conn.execute(
        """
        select (u.place - 1)::int, q.id from unnest(%s::text[]) with ordinality as u (text, place)
        join public.questions q on q.set_id = %s and q.text_key = corpuscope.question_key(u.text)
        """,
        [texts, set_id],
    )
    return dict(rows.fetchall())


def _store_judgements(
    conn: psycopg.Connection[Any], judgements: Sequence[tuple[int, Planned]]
) -> list[tuple[int, bool]]:
    """Id of each judgement, and whether it is new. Text of a document that is still to be read will be revision 1."""
    best: dict[tuple[int, Any, int | None, int | None], tuple[int, int]] = {}
    for question, one in judgements:
        key = (question, one.document, one.start, one.end)
        best[key] = max(best.get(key, (0, 0)), (one.grade, one.revision))
    rows = [(*key, *value) for key, value in best.items()]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(6)]
    return conn.execute(
        """
        insert into public.judgements
            (question_id, collection_id, document_id, text_revision, start_char, end_char, grade, origin)
        select u.question, d.collection_id, d.id, greatest(u.revision, d.text_revision), u.start_char, u.end_char,
               u.grade, 'imported'
        from unnest(%s::bigint[], %s::uuid[], %s::int[], %s::int[], %s::int[], %s::int[])
            as u (question, document, start_char, end_char, grade, revision)
        join public.questions q on q.id = u.question
        join public.documents d on d.id = u.document and d.collection_id = q.collection_id
        where u.start_char is null or d.text_revision = u.revision or (d.text_revision = 0 and u.revision = 1)
        on conflict (question_id, document_id, start_char, end_char)
            do update set grade = excluded.grade, text_revision = excluded.text_revision
        returning id, xmax = 0
        """,
        columns,
    ).fetchall()


def undo_import(conn: psycopg.Connection[Any], imported: Imported) -> None:
    """Take out the questions and judgements that an import made; documents that it added stay."""
    conn.execute("delete from public.judgements where id = any (%s)", [imported.new_judgements])
    conn.execute("delete from public.questions where id = any (%s)", [imported.new_questions])
