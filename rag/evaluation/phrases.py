"""Where a phrase stands in a text: exactly, or with other spaces, quotation marks, dashes or case. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ALIKE = ("'‘’‚‛`´", '"“”„‟«»', "-‐‑‒–—−")
#: Longer phrases are compared as they stand: a pattern of that many words would take too long.
_MAX_PATTERN = 20_000


def find_phrase(text: str, phrase: str, near: int = 0) -> tuple[int, int] | None:
    """The span (code points, end exclusive) of the phrase that is closest to ``near``; None when it isn't there."""
    return min(find_all(text, phrase), key=lambda span: abs(span[0] - near), default=None)


def find_all(text: str, phrase: str, most: int = 1000) -> list[tuple[int, int]]:
    """Spans of the phrase in text order, at most ``most``: exact ones, else those that differ only in form."""
    phrase = phrase.strip()
    if not phrase:
        return []
    found = _take(_exact(text, phrase), most)
    if found or (pattern := to_pattern(phrase)) is None:
        return found
    return _take((match.span() for match in re.finditer(pattern, text, re.IGNORECASE)), most)


def _exact(text: str, phrase: str) -> Iterator[tuple[int, int]]:
    start = text.find(phrase)
    while start >= 0:
        yield start, start + len(phrase)
        start = text.find(phrase, start + len(phrase))


def _take(spans: Iterator[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    return [span for span, _ in zip(spans, range(most), strict=False)]


def to_pattern(phrase: str) -> str | None:
    """The regular expression, for Python and Postgres alike, of the phrase in any form; None for one that is long."""
    if len(phrase) > _MAX_PATTERN or not phrase.split():
        return None
    words = [re.sub(r"\\?.", _alternatives, re.escape(word)) for word in phrase.split()]
    return r"\s+".join(words)


def _alternatives(match: re.Match[str]) -> str:
    character = match.group()[-1]
    for alike in _ALIKE:
        if character in alike:
            return f"[{re.escape(alike)}]"
    return match.group()
