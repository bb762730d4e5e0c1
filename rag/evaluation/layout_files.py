"""Labelled questions as BEIR and TREC lay them out: queries, qrels, perhaps corpus.jsonl and spans.jsonl. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from rag.errors import InvalidInput
from rag.evaluation.set_rows import (
    Gathering,
    ReadDocument,
    ReadJudgement,
    ReadQuestion,
    ReadSet,
    parse_grade,
    read_span,
)


def is_queries(name: str) -> bool:
    """Whether a file holds the questions of this layout, by its name."""
    path = PurePosixPath(name.lower())
    return bool(re.search(r"quer(y|ies)|topics", path.stem)) and path.suffix in (".jsonl", ".ndjson", ".tsv")


def is_qrels(name: str) -> bool:
    """Whether a file holds judgements: qrels.tsv, or the test.tsv of a folder qrels."""
    path = PurePosixPath(name.lower())
    return "qrel" in path.stem or ("qrel" in path.parent.name and path.suffix in (".tsv", ".txt", ""))


class LayoutReader(Gathering):
    """Reads the files of one such set."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, ReadQuestion] = {}
        #: Of each question and document: where it is said, and the grade.
        self._grades: dict[tuple[str, str], tuple[str, int, int]] = {}

    def read(self, files: Mapping[str, str]) -> ReadSet:
        """All of them; :class:`InvalidInput` without judgements."""
        spans = [name for name in files if _stem(name) == "spans"]
        qrels = [name for name in files if is_qrels(name)]
        if not spans and not qrels:
            raise InvalidInput(
                "These files have questions but no judgements.", hint="Choose qrels.tsv together with queries.jsonl."
            )
        for name in files:
            if _stem(name) == "corpus":
                self._read_corpus(name, files[name])
            elif is_queries(name):
                self._read_queries(name, files[name])
        for name in qrels:
            self._read_grades(name, files[name])
        spanned = {pair for name in spans for pair in self._read_spans(name, files[name])}
        for (query, document), (name, line, grade) in self._grades.items():
            if (query, document) not in spanned:  # else the passages say it more exactly
                self.judge(self._asked[query], ReadJudgement(name, line, document, grade))
        return self.found

    def _read_corpus(self, name: str, text: str) -> None:
        for line, row in self.json_rows(name, text):
            id_, content = _id(row), row.get("text")
            if id_ is None or not isinstance(content, str):
                self.problem(name, line, "a document needs an id and a text")
            elif id_ in self.found.documents:
                self.problem(name, line, f"there is a document “{id_[:80]}” already")
            else:
                self.found.documents[id_] = ReadDocument(id_, str(row.get("title") or ""), content)

    def _read_queries(self, name: str, text: str) -> None:
        for line, id_, asked in self._query_rows(name, text):
            if not id_:
                self.problem(name, line, "the question has no id")
            elif id_ in self._asked:
                self.problem(name, line, f"there is a question “{id_[:80]}” already")
            elif question := self.question(name, line, asked, id_):
                self._asked[id_] = question

    def _query_rows(self, name: str, text: str) -> Iterator[tuple[int, str, str]]:
        if not name.lower().endswith(".tsv"):
            for line, row in self.json_rows(name, text):
                yield line, _id(row) or "", str(row.get("text") or row.get("query") or row.get("question") or "")
            return
        for line, cells in _cells(text):
            if line > 1 or "id" not in cells[0].lower():
                yield line, cells[0], " ".join(cells[1:])

    def _read_grades(self, name: str, text: str) -> None:
        for line, cells in _cells(text):
            query, document, value = cells[0], cells[-2] if len(cells) > 1 else "", cells[-1]
            grade = parse_grade(value) if value else None
            if len(cells) not in (3, 4):
                self.problem(name, line, "a line has a question, a document and a grade")
            elif line == 1 and grade is None and query not in self._asked:
                continue  # the header
            elif query not in self._asked:
                self.problem(name, line, f"there is no question “{query[:80]}”")
            elif grade is None:
                self.problem(name, line, f"the grade is a whole number from 0 to 3, not “{value[:40]}”")
            else:
                self._note_grade((query, document), (name, line, grade))

    def _note_grade(self, pair: tuple[str, str], said: tuple[str, int, int]) -> None:
        before = self._grades.setdefault(pair, said)
        if before is said:
            return
        self.found.repeated += 1
        if before[2] != said[2]:
            self.problem(said[0], said[1], f"line {before[1]} gives this pair another grade; that one counts")

    def _read_spans(self, name: str, text: str) -> Iterator[tuple[str, str]]:
        """The pairs of question and document that have passages, or a row that means all of the document."""
        for line, row in self.json_rows(name, text):
            query, document = str(row.get("query_id") or ""), str(row.get("doc_id") or "")
            span = read_span(row.get("start"), row.get("end"))
            known = self._grades.get((query, document))
            said = row.get("grade", known[2] if known else 1)
            grade = parse_grade(said)
            if query not in self._asked:
                self.problem(name, line, f"there is no question “{query[:80]}”")
            elif not document:
                self.problem(name, line, "it names no document")
            elif span is None:
                self.problem(name, line, "start and end are no span of characters")
            elif grade is None:
                self.problem(name, line, f"the grade is a whole number from 0 to 3, not “{str(said)[:40]}”")
            else:
                phrase = str(row.get("text") or "")
                self.judge(self._asked[query], ReadJudgement(name, line, document, grade, phrase, *span))
                yield query, document


def _stem(name: str) -> str:
    return PurePosixPath(name.lower()).stem


def _id(row: Mapping[str, Any]) -> str | None:
    value = row.get("_id", row.get("id"))
    return str(value).strip() or None if value is not None else None


def _cells(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line: by tabs where there are any, else by spaces."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()
