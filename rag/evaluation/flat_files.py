"""One CSV or JSONL file of labelled questions with a row for each judgement. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rag.evaluation.set_rows import Gathering, ReadJudgement, ReadSet, parse_grade, read_span

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

#: What the columns of a flat file may be called, compared without case, spaces and punctuation.
_COLUMNS = {
    "question": ("question", "query", "questiontext", "querytext"),
    "id": ("questionid", "queryid", "qid", "id"),
    "document": ("document", "answerdocument", "doc", "documentname", "documentid", "docid", "corpusid", "title"),
    "phrase": ("phrase", "answer", "passage", "excerpt", "quote", "text"),
    "start": ("start", "startchar"),
    "end": ("end", "endchar"),
    "grade": ("grade", "relevance", "score", "label", "rating"),
}


class FlatReader(Gathering):
    """Reads files of that kind; columns are told by their names."""

    def read(self, files: Mapping[str, str]) -> ReadSet:
        for name, text in files.items():
            rows = (
                self.json_rows(name, text) if name.lower().endswith(("jsonl", "ndjson")) else self._csv_rows(name, text)
            )
            for line, row in rows:
                self._take(name, line, _named(row))
        return self.found

    def _csv_rows(self, name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
        head = text.replace("\x00", "").split("\n", 1)[0]
        delimiter = max("\t;,", key=head.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
        names = {_plain_name(column) for column in reader.fieldnames or [] if column}
        if not names & set(_COLUMNS["question"]):
            self.problem(name, 1, "the first line names no column “question”")
            return
        before = reader.line_num
        try:
            for row in reader:
                yield before + 1, {key: _unguard(value) for key, value in row.items() if isinstance(key, str)}
                before = reader.line_num
        except csv.Error as error:
            self.problem(name, reader.line_num, f"the file is no CSV from here on ({error})")

    def _take(self, file: str, line: int, row: dict[str, Any]) -> None:
        question = self.question(file, line, str(row.get("question") or ""), _optional(row.get("id")))
        document, phrase = str(row.get("document") or "").strip(), str(row.get("phrase") or "").strip()
        if question is None:
            return
        if not document:
            if phrase:
                self.problem(file, line, "it has a phrase, but names no document")
            return
        grade = parse_grade(row.get("grade") if row.get("grade") is not None else "")
        if grade is None:
            self.problem(file, line, f"the grade is a whole number from 0 to 3, not {_quoted(row.get('grade'))}")
            return
        span = read_span(row.get("start"), row.get("end"))
        if span is None:
            self.problem(file, line, "start and end are no span of characters")
            return
        self.judge(question, ReadJudgement(file, line, document, grade, phrase, *span))


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row under our own names of the columns; where two columns fit, the more telling name wins."""
    plain = {_plain_name(key): value for key, value in row.items()}
    return {
        ours: next((plain[theirs] for theirs in names if plain.get(theirs) not in (None, "")), None)
        for ours, names in _COLUMNS.items()
    }


def _plain_name(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _unguard(value: Any) -> Any:
    """Without the apostrophe that guards a spreadsheet against formulas."""
    if isinstance(value, str) and value.startswith("'") and value[1:].lstrip(" ").startswith(_FORMULA):
        return value[1:]
    return value


def _optional(value: Any) -> str | None:
    return None if value is None or not str(value).strip() else str(value).strip()


def _quoted(value: Any) -> str:
    return f"“{str(value)[:40]}”"
