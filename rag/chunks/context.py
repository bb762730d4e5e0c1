"""What a chunk is about beyond its own words: the document's title and the headings that it stands under."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from rag.chunks.boundaries import Heading
from rag.chunks.tokens import TokenCounter

#: Parts of a context at most: the title and the innermost headings.
MAX_PARTS = 4
#: How far into a chunk a title is looked for.
OPENING = 400

_SIGNS = re.compile(r"[\W_]+")


class Contexts:
    """The heading path and the context of any span of one document.

    ``budget``: most tokens of a context; 0 switches contexts off, heading paths stay.
    """

    def __init__(self, title: str, headings: Sequence[Heading], budget: int, tokenizer: TokenCounter) -> None:
        self.title = " ".join(title.split())
        self.budget, self.tokenizer = budget, tokenizer
        self.starts = [heading.start for heading in headings]
        self.paths = _paths(headings)
        self.joined: dict[tuple[str, ...], str] = {}

    def path(self, start: int) -> tuple[str, ...]:
        """Titles of the headings that a span starting here stands under, outermost first, its own included."""
        index = bisect_right(self.starts, start)
        return self.paths[index - 1] if index else ()

    def of(self, start: int, end: int, text: str) -> str:
        """Title and headings that ``text[start:end]`` does not say itself, one line; empty if it says all."""
        if not self.budget:
            return ""
        parts = [part for part in (self.title, *self.path(start)[1 - MAX_PARTS :]) if part]
        if not parts:
            return ""
        opening = _plain(text[start : min(end, start + OPENING + len(self.title))])
        parts = [part for part in parts if _plain(part) not in opening]
        if len(parts) > 1 and _plain(parts[0]) == _plain(parts[1]):
            del parts[0]
        key = tuple(parts)
        if key not in self.joined:
            self.joined[key] = self._join(parts)
        return self.joined[key]

    def _join(self, parts: list[str]) -> str:
        """Parts joined, each cut to its share of the budget where all together are over it."""
        if not parts:
            return ""
        share = max(4, self.budget // len(parts) - 2)
        return " › ".join(self._cut(part, share) for part in parts)

    def _cut(self, part: str, tokens: int) -> str:
        part = part[: tokens * 12]
        starts = self.tokenizer.starts(part)
        return part if len(starts) <= tokens else part[: int(starts[tokens])].rstrip() + "…"


def _paths(headings: Sequence[Heading]) -> list[tuple[str, ...]]:
    paths, open_headings = [], list[Heading]()
    for heading in headings:
        while open_headings and open_headings[-1].level >= heading.level:
            open_headings.pop()
        open_headings.append(heading)
        paths.append(tuple(each.title for each in open_headings))
    return paths


def _plain(text: str) -> str:
    return _SIGNS.sub("", text.casefold())
