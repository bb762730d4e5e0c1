"""What doctor's answer to one question looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import psycopg

from rag.errors import CorpuscopeError

State = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question with its answer: ``words`` say what was found, ``next_step`` what to do about it."""

    question: str
    state: State
    words: str
    next_step: str = ""


def ok(question: str, words: str) -> Check:
    return Check(question, "ok", words)


def warn(question: str, words: str, next_step: str) -> Check:
    return Check(question, "warn", words, next_step)


def fail(question: str, words: str, next_step: str) -> Check:
    return Check(question, "fail", words, next_step)


def skipped(question: str, words: str) -> Check:
    return Check(question, "skipped", words)


def ask(question: str, answer: Callable[[], Check]) -> Check:
    """The answer, or a failure that says why there is none."""
    try:
        return answer()
    except CorpuscopeError as error:
        return fail(question, str(error), error.hint)
    except psycopg.Error as error:
        said = error.diag.message_primary or type(error).__name__
        return fail(question, f"This could not be looked up: {said}.", "Is DATABASE_URL's user the project's postgres?")


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first names, and how many more there are."""
    every = [str(name) for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
