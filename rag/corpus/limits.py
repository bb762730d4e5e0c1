"""What a person and a collection may still store and ask. Triggers keep the limits; this says what is left of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

What = Literal["files", "bytes", "questions today"]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of one limit is used. ``allowed`` is None without a limit; days end at midnight UTC."""

    scope: Literal["person", "collection"]
    what: What
    used: int
    allowed: int | None

    @property
    def left(self) -> int | None:
        """What may still come; None without a limit."""
        return None if self.allowed is None else max(0, self.allowed - self.used)


def my_limits(conn: psycopg.Connection[Any], collection_id: UUID | None = None) -> list[Usage]:
    """The person's own, and those of a collection that they see."""
    with conn.cursor(row_factory=class_row(Usage)) as cursor:
        return cursor.execute("select * from public.my_limits(%s)", [collection_id]).fetchall()


def tightest(usages: Iterable[Usage], what: What) -> Usage | None:
    """The limit on ``what`` that is reached first; None where there is none."""
    limited = [usage for usage in usages if usage.what == what and usage.left is not None]
    return min(limited, key=lambda usage: usage.left or 0, default=None)


def describe_left(usages: Sequence[Usage]) -> str:
    """``Room for 3 more files and 12 MB. 7 questions left today.`` Empty without limits."""
    files, size, questions = (tightest(usages, what) for what in _WHATS)
    room = [_count(files.left or 0, "more file")] if files else []
    room += [say_bytes(size.left or 0)] if size else []
    sentences = []
    if any(usage is not None and usage.left == 0 for usage in (files, size)):
        sentences.append("No room for more files.")
    elif room:
        sentences.append(f"Room for {' and '.join(room)}.")
    if questions:
        sentences.append(f"{_count(questions.left or 0, 'question')} left today.")
    return " ".join(sentences)


_WHATS: tuple[What, What, What] = ("files", "bytes", "questions today")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say_bytes(number: int) -> str:
    """As ``corpuscope.say_bytes`` in the schema and as pages say it: by thousands."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if number >= scale:
            return f"{round(number / scale, 1):g} {unit}"
    return _count(number, "byte")
