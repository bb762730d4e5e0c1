"""A set as files that can be imported again: a table with a row for each judgement, or corpus, queries and qrels."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import args_row

from rag.errors import InvalidInput
from rag.evaluation.matching import read_texts
from rag.evaluation.question_sets import Question, get_set, list_questions

#: The columns of a table, as :func:`export_rows` fills them and an import reads them.
COLUMNS = ("question_id", "question", "document", "phrase", "start", "end", "grade")
#: The most that the texts of a collection may come to in one file.
MAX_CHARACTERS = 100_000_000


@dataclass(frozen=True, slots=True)
class _Judged:
    """A judgement with the text it names; ``phrase`` None means the whole document."""

    question_id: int
    document_id: UUID
    start: int | None
    end: int | None
    grade: int
    phrase: str | None


def export_rows(conn: psycopg.Connection[Any], set_id: int) -> list[dict[str, Any]]:
    """A row for each judgement of the accepted questions, and one for each question without any."""
    questions = list_questions(conn, set_id)
    ids, names = name_questions(questions), _name_documents(conn, get_set(conn, set_id).collection_id)
    judged = _read_judged(conn, set_id)
    rows = []
    for question in questions:
        asked: dict[str, Any] = {"question_id": ids[question.id], "question": question.text}
        rows += [asked | _describe(one, names) for one in judged[question.id]] or [asked]
    return rows


def _describe(one: _Judged, names: Mapping[UUID, str]) -> dict[str, Any]:
    said: dict[str, Any] = {"document": names[one.document_id], "grade": one.grade}
    return said if one.start is None else said | {"phrase": one.phrase or "", "start": one.start, "end": one.end}


def to_jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object a line, UTF-8."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def export_layout(conn: psycopg.Connection[Any], set_id: int) -> bytes:
    """A ZIP of corpus.jsonl (every document that has text), queries.jsonl, qrels.tsv and spans.jsonl.

    :class:`InvalidInput` when the texts of the collection are too much for one file.
    """
    collection_id = get_set(conn, set_id).collection_id
    questions = list_questions(conn, set_id)
    ids, names = name_questions(questions), _name_documents(conn, collection_id)
    judged = [one for rows in _read_judged(conn, set_id).values() for one in rows]
    files = {
        "queries.jsonl": to_jsonl({"id": ids[question.id], "text": question.text} for question in questions),
        "qrels.tsv": _qrels(judged, ids, names),
        "spans.jsonl": to_jsonl(_spans(judged, ids, names)),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=5) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        with archive.open("corpus.jsonl", "w", force_zip64=True) as corpus:
            for line in _corpus(conn, collection_id, names):
                corpus.write(line)
    return out.getvalue()


def _qrels(judged: Iterable[_Judged], ids: Mapping[int, str], names: Mapping[UUID, str]) -> bytes:
    """The best grade of each question and document."""
    grades: dict[tuple[str, str], int] = {}
    for one in judged:
        pair = (ids[one.question_id], names[one.document_id])
        grades[pair] = max(grades.get(pair, 0), one.grade)
    lines = ["query_id\tdoc_id\trelevance", *(f"{query}\t{doc}\t{grade}" for (query, doc), grade in grades.items())]
    return ("\n".join(lines) + "\n").encode()


def _spans(judged: list[_Judged], ids: Mapping[int, str], names: Mapping[UUID, str]) -> Iterable[dict[str, Any]]:
    """The passages; a whole document is named here only where it has judged passages too."""
    with_passages = {(one.question_id, one.document_id) for one in judged if one.start is not None}
    for one in judged:
        if (one.question_id, one.document_id) in with_passages:
            pair: dict[str, Any] = {"query_id": ids[one.question_id], "doc_id": names[one.document_id]}
            span = {} if one.start is None else {"start": one.start, "end": one.end, "text": one.phrase or ""}
            yield pair | span | {"grade": one.grade}


def _read_judged(conn: psycopg.Connection[Any], set_id: int) -> dict[int, list[_Judged]]:
    """The judgements of the accepted questions, by question, in the order in which they were made."""
    with conn.cursor(row_factory=args_row(_Judged)) as cursor:
        rows = cursor.execute(
            """
            select j.question_id, j.document_id, j.start_char, j.end_char, j.grade,
                   substr(t.text, j.start_char + 1, j.end_char - j.start_char)
            from public.questions q
            join public.judgements j on j.question_id = q.id
            left join public.documents d on d.id = j.document_id and j.start_char is not null
            left join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
            where q.set_id = %s and q.state = 'accepted' order by j.question_id, j.id
            """,
            [set_id],
        ).fetchall()
    found: dict[int, list[_Judged]] = defaultdict(list)
    for row in rows:
        found[row.question_id].append(row)
    return found


def _corpus(conn: psycopg.Connection[Any], collection_id: UUID, names: Mapping[UUID, str]) -> Iterable[bytes]:
    rows = conn.execute(
        """
        select id, title, char_count from public.documents
        where collection_id = %s and text_revision > 0 order by created_at, id
        """,
        [collection_id],
    ).fetchall()
    if (characters := sum(row[2] or 0 for row in rows)) > MAX_CHARACTERS:
        raise InvalidInput(
            f"The texts of this collection come to {characters / 1e6:,.0f} million characters, too much for one file.",
            hint="Download the table of judgements instead.",
        )
    titles = {id_: title for id_, title, _ in rows}
    for id_, text in read_texts(conn, list(titles)):
        yield to_jsonl([{"id": names[id_], "title": titles[id_] or "", "text": text}])


def name_questions(questions: Iterable[Question]) -> dict[int, str]:
    """What files call each question: its own id from outside where no other has it, else ``q`` and the number."""
    questions = list(questions)
    used = Counter(question.external_id for question in questions)
    return {
        question.id: question.external_id
        if question.external_id and used[question.external_id] == 1
        else f"q{question.id}"
        for question in questions
    }


def _name_documents(conn: psycopg.Connection[Any], collection_id: UUID) -> dict[UUID, str]:
    """Names, or ids where several documents have the same name."""
    rows = conn.execute("select id, name from public.documents where collection_id = %s", [collection_id]).fetchall()
    used = Counter(name.casefold() for _, name in rows)
    return {id_: name if used[name.casefold()] == 1 else str(id_) for id_, name in rows}
