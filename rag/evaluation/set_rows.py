"""What a file of labelled questions says, row by row. Pure: a row that can't be used becomes a :class:`Problem`."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rag.evaluation.question_sets import MAX_QUESTION


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that can't be used, or a whole file where ``line`` is None."""

    file: str
    line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class ReadJudgement:
    """A row's verdict. ``document`` is a name, title or id; without phrase and span the whole document is meant."""

    file: str
    line: int
    document: str
    grade: int
    phrase: str = ""
    start: int | None = None
    end: int | None = None


@dataclass(slots=True)
class ReadQuestion:
    """A question and what the files say of it."""

    text: str
    external_id: str | None
    judgements: list[ReadJudgement] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document of corpus.jsonl."""

    id: str
    title: str
    text: str


@dataclass(slots=True)
class ReadSet:
    """All that the files hold; ``repeated`` counts rows that say what another row said already."""

    questions: list[ReadQuestion] = field(default_factory=list)
    documents: dict[str, ReadDocument] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    repeated: int = 0

    @property
    def judgements(self) -> int:
        return sum(len(question.judgements) for question in self.questions)


def question_key(text: str) -> str:
    """What makes two questions the same one, as the database compares them."""
    return unicodedata.normalize("NFKC", " ".join(text.split())).lower()


def parse_grade(value: Any) -> int | None:
    """0 to 3, as a number or in words; None for anything else. Below 0 is TREC's way to say 0."""
    if isinstance(value, bool):
        return int(value)
    text = str(value).strip().lower()
    if text in ("", "relevant", "yes", "true"):
        return 1
    if text in ("irrelevant", "not relevant", "no", "false"):
        return 0
    if not re.fullmatch(r"[+-]?\d{1,9}(\.0*)?", text):
        return None
    grade = max(0, int(float(text)))
    return grade if grade <= 3 else None


def read_span(start: Any, end: Any) -> tuple[int | None, int | None] | None:
    """Both or neither; None for anything that is no span."""
    if start in (None, "") and end in (None, ""):
        return None, None
    try:
        first, last = int(str(start).strip()), int(str(end).strip())
    except ValueError:
        return None
    return (first, last) if 0 <= first < last < 2**31 else None


class Gathering:
    """Questions by their key, in the order of their first row; what is said twice counts once."""

    def __init__(self) -> None:
        self.found = ReadSet()
        self._by_key: dict[str, ReadQuestion] = {}
        self._seen: dict[tuple[str, str, str, int | None, int | None], int] = {}

    def problem(self, file: str, line: int | None, text: str) -> None:
        self.found.problems.append(Problem(file, line, text))

    def question(self, file: str, line: int, text: str, external_id: str | None) -> ReadQuestion | None:
        text = " ".join(text.replace("\x00", " ").split())
        if not text:
            self.problem(file, line, "there is no question")
            return None
        if len(text) > MAX_QUESTION:
            self.problem(file, line, f"the question has more than {MAX_QUESTION:,} characters")
            return None
        made = ReadQuestion(text, (external_id or "").strip()[:200] or None)
        known = self._by_key.setdefault(question_key(text), made)
        if known is made:
            self.found.questions.append(made)
        return known

    def judge(self, question: ReadQuestion, judged: ReadJudgement) -> None:
        key = (question_key(question.text), judged.document, judged.phrase, judged.start, judged.end)
        if key in self._seen:
            self.found.repeated += 1
            if self._seen[key] != judged.grade:
                self.problem(
                    judged.file, judged.line, "another row gives the same passage another grade; that one counts"
                )
            return
        self._seen[key] = judged.grade
        question.judgements.append(judged)

    def json_rows(self, file: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and object of each line of a JSONL file."""
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, dict):
                yield number, value
            else:
                self.problem(file, number, "this is not a JSON object")
