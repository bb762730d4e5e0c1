"""Limits in words: sizes as people write them, what is used of what is allowed, and what a change would mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from pages.parts.words import count, plain, size
from rag.auth.administration import CollectionRow, LimitRow, PersonRow, Scope
from rag.corpus.limits import say_bytes
from rag.errors import InvalidInput

_UNITS = {"": 1, "byte": 1, "bytes": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"(\d+(?:[.,]\d+)?)\s*([a-z]*)", re.IGNORECASE)
#: What each kind of limit is of.
SCOPES: dict[Scope, str] = {"person": "Each person", "guest": "Each guest", "collection": "Each collection"}


@dataclass(frozen=True)
class Limits:
    """Three limits that belong together; None is no limit of its own."""

    files: int | None = None
    bytes: int | None = None
    questions_per_day: int | None = None


@dataclass(frozen=True)
class Held:
    """What somebody or something uses."""

    name: str
    files: int
    bytes: int
    questions: int


def parse_size(text: str) -> int | None:
    """``500 MB``, ``1.5 GB`` or ``2000000`` as bytes; None when empty. Raises :class:`InvalidInput`."""
    if not text.strip():
        return None
    match = _SIZE.fullmatch(text.strip())
    scale = _UNITS.get(match[2].lower()) if match else None
    if match is None or scale is None:
        raise InvalidInput("That is not a size.", hint="Write it as in 500 MB or 2 GB, or leave it empty.")
    number = round(float(match[1].replace(",", ".")) * scale)
    if number >= 2**62:
        raise InvalidInput("That is more than any disk holds.", hint="Leave it empty for no limit.")
    return number


def write_size(number: int | None) -> str:
    """The same size as text that :func:`parse_size` reads back exactly."""
    if number is None:
        return ""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number >= scale and number % (scale // 100) == 0:
            return f"{number / scale:g} {unit}"
    return f"{number} bytes"


def find_limits(rows: Iterable[LimitRow], scope: Scope, subject: UUID | None) -> Limits:
    """The limits of exactly that person or collection, or the default."""
    found = next((row for row in rows if row.scope == scope and row.subject == subject), None)
    return Limits(found.files, found.bytes, found.questions_per_day) if found else Limits()


def effective(rows: Sequence[LimitRow], scope: Scope, subject: UUID) -> Limits:
    """What counts: own limits before the default, one by one."""
    own, usual = find_limits(rows, scope, subject), find_limits(rows, scope, None)
    return merge(own, usual)


def merge(own: Limits, usual: Limits) -> Limits:
    """``own`` where it says something, else ``usual``."""
    return Limits(
        usual.files if own.files is None else own.files,
        usual.bytes if own.bytes is None else own.bytes,
        usual.questions_per_day if own.questions_per_day is None else own.questions_per_day,
    )


def say(limits: Limits, *, nothing: str = "no limit") -> list[tuple[str, str]]:
    """Each limit's name and value in words."""
    return [
        ("Files", nothing if limits.files is None else f"{limits.files:,}"),
        ("Space", nothing if limits.bytes is None else say_bytes(limits.bytes)),
        ("Questions a day", nothing if limits.questions_per_day is None else f"{limits.questions_per_day:,}"),
    ]


def say_use(held: Held, limits: Limits) -> str:
    """``12 of 100 files · 3.2 MB · 4 of 20 questions today``."""
    parts = (
        (f"{held.files:,}", limits.files, count(held.files, "file"), "files"),
        (size(held.bytes), None if limits.bytes is None else say_bytes(limits.bytes), size(held.bytes), ""),
        (
            f"{held.questions:,}",
            limits.questions_per_day,
            f"{count(held.questions, 'question')} today",
            "questions today",
        ),
    )
    said = [
        alone if most is None else f"{used} of {most if isinstance(most, str) else f'{most:,}'} {noun}".strip()
        for used, most, alone, noun in parts
    ]
    return " · ".join(said)


def foresee(before: Limits, after: Limits, held: Sequence[Held], *, nothing: str) -> list[str]:
    """What a change means: each limit before and after, and whoever is over it already. Empty without a change."""
    changes = [
        f"**{name}**: {old} → **{new}**"
        for (name, old), (_, new) in zip(say(before, nothing=nothing), say(after, nothing=nothing), strict=True)
        if old != new
    ]
    if not changes and before == after:
        return []
    over = [one for one in held if _is_over(one.files, after.files) or _is_over(one.bytes, after.bytes)]
    if over:
        changes.append(f"{_names(over)} will be over it: nothing is deleted, and nothing can be added.")
    asked = [one for one in held if _is_over(one.questions, after.questions_per_day, reached=True)]
    if asked:
        changes.append(f"{_names(asked)} can't ask any more today.")
    return changes


def _is_over(used: int, most: int | None, *, reached: bool = False) -> bool:
    return most is not None and (used >= most if reached else used > most)


def _names(held: Sequence[Held]) -> str:
    named = ", ".join(plain(one.name) for one in held[:3])
    return named + (f" and {len(held) - 3:,} more" if len(held) > 3 else "")


def held_by(people: Sequence[PersonRow], collections: Sequence[CollectionRow]) -> dict[tuple[Scope, UUID], Held]:
    """What everybody and everything uses."""
    found: dict[tuple[Scope, UUID], Held] = {
        ("person", one.user_id): Held(one.label, one.files, one.bytes, one.questions_today) for one in people
    }
    for one in collections:
        found["collection", one.id] = Held(one.name, one.files, one.bytes, one.questions_today)
    return found
