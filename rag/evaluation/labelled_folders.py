"""Labelled sets in a folder: corpus.jsonl, queries.jsonl, qrels.tsv and maybe spans.jsonl, read or refused by line."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rag.errors import InvalidInput


class Passage(NamedTuple):
    """Characters of a document, end exclusive; ``document`` is the set's own id."""

    document: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LabelledDocument:
    """One document of a set; ``title`` may be empty."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question, the documents that answer it with their relevance, and where given the exact passages."""

    id: str
    text: str
    relevant: dict[str, int]
    excerpts: list[Passage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Documents and labelled questions; questions without a relevant document are left out."""

    documents: list[LabelledDocument]
    questions: list[LabelledQuestion]

    @property
    def has_excerpts(self) -> bool:
        return any(question.excerpts for question in self.questions)


def read_set(folder: Path) -> EvaluationSet:
    """Read corpus.jsonl, queries.jsonl, qrels.tsv and, where there is one, spans.jsonl.

    Raises :class:`InvalidInput` naming the file and the line that can't be used.
    """
    documents = [
        LabelledDocument(_text(row, "id"), str(row.value.get("title") or ""), _text(row, "text"))
        for row in _read_jsonl(folder / "corpus.jsonl")
    ]
    texts = {document.id: document.text for document in documents}
    if len(texts) < len(documents):
        raise InvalidInput(f"{folder / 'corpus.jsonl'} names a document twice.")
    asked = {_text(row, "id"): _text(row, "text") for row in _read_jsonl(folder / "queries.jsonl")}
    relevant = _read_judgements(folder / "qrels.tsv", asked, texts)
    spans = folder / "spans.jsonl"
    excerpts = _read_excerpts(spans, asked, texts) if spans.exists() else {}
    questions = [
        LabelledQuestion(id_, text, relevant[id_], excerpts.get(id_, []))
        for id_, text in asked.items()
        if id_ in relevant
    ]
    if not questions:
        raise InvalidInput(f"No question in {folder} has a relevant document.")
    return EvaluationSet(documents, questions)


class _Row(NamedTuple):
    path: Path
    line: int
    value: dict[str, Any]

    def refuse(self, problem: str) -> InvalidInput:
        return InvalidInput(f"{self.path}, line {self.line}: {problem}.")


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{path} is missing.", hint="A set has corpus.jsonl, queries.jsonl and qrels.tsv."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text.") from error


def _read_jsonl(path: Path) -> Iterator[_Row]:
    for number, line in _read_lines(path):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InvalidInput(f"{path}, line {number}: this is not JSON ({error}).") from error
        if not isinstance(value, dict):
            raise InvalidInput(f"{path}, line {number}: this is not a JSON object.")
        yield _Row(path, number, value)


def _text(row: _Row, name: str) -> str:
    value = row.value.get(name, row.value.get("_id") if name == "id" else None)
    if not isinstance(value, str) or not value.strip():
        raise row.refuse(f'"{name}" is missing or not text')
    return value


def _read_judgements(
    path: Path, questions: Mapping[str, str], documents: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    relevant: dict[str, dict[str, int]] = defaultdict(dict)
    for number, line in _read_lines(path):
        cells = line.split("\t")
        if number == 1 and not cells[-1].strip().lstrip("-").isdigit():
            continue  # the header
        row = _Row(path, number, {})
        if len(cells) != 3:
            raise row.refuse("a line has a question, a document and a relevance, separated by tabs")
        question, document, grade = (cell.strip() for cell in cells)
        if question not in questions:
            raise row.refuse(f"there is no question {question!r}")
        if document not in documents:
            raise row.refuse(f"there is no document {document!r}")
        if not grade.lstrip("-").isdigit():
            raise row.refuse(f"the relevance is a whole number, not {grade!r}")
        if int(grade) > 0:
            relevant[question][document] = int(grade)
    return dict(relevant)


def _read_excerpts(path: Path, questions: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, list[Passage]]:
    excerpts: dict[str, list[Passage]] = defaultdict(list)
    for row in _read_jsonl(path):
        question, document = _text(row, "query_id"), _text(row, "doc_id")
        start, end = row.value.get("start"), row.value.get("end")
        if question not in questions or document not in texts:
            raise row.refuse("it names a question or document that the set doesn't have")
        if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= len(texts[document]):
            raise row.refuse("start and end are not a span of the document's text")
        if "text" in row.value and texts[document][start:end] != row.value["text"]:
            raise row.refuse("the text is not what the document has at start and end")
        excerpts[question].append(Passage(document, start, end))
    return dict(excerpts)
