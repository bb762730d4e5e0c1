"""What was looked for on a map a moment ago: the page counts it, the browser fetches it, the next letter narrows it.

Looking through all texts of 250,000 passages takes half a second. Kept for one person, one version of a map and exactly
what was asked; whoever reads it has been found to see the map just now.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

T = TypeVar("T")

#: Of a map of 250,000 points each takes 250 KB.
MOST = 24
KEPT_S = 30.0


class Asked(NamedTuple):
    """Who asked what of which map: ``database`` and ``person`` as the connection knows them."""

    database: str
    person: UUID | None
    map_id: int
    version: int
    kind: str
    arguments: tuple[tuple[str, str], ...]

    def extends(self, other: Asked) -> bool:
        """Whether this can only find what ``other`` found: the same text with more at its end."""
        if self[:5] != other[:5]:
            return False
        mine, others = dict(self.arguments), dict(other.arguments)
        text, before = mine.pop("text", ""), others.pop("text", "")
        return mine == others and bool(before) and text.startswith(before)


class Recent(Generic[T]):
    """The latest answers of this process, each for :data:`KEPT_S`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Asked, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, asked: Asked) -> T | None:
        """The answer to just that."""
        with self._lock:
            self._forget()
            found = self._kept.get(asked)
        return found[1] if found else None

    def find_wider(self, asked: Asked) -> T | None:
        """The answer to the longest beginning of what is looked for; it holds all that this one can find."""
        with self._lock:
            self._forget()
            wider = [one for one in self._kept if asked.extends(one)]
            best = max(wider, key=lambda one: len(dict(one.arguments)["text"]), default=None)
            return self._kept[best][1] if best else None

    def keep(self, asked: Asked, answer: T) -> T:
        """Keep it for a while; the oldest go."""
        with self._lock:
            self._kept[asked] = time.monotonic(), answer
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return answer

    def _forget(self) -> None:
        since = time.monotonic() - KEPT_S
        for asked in [one for one, (kept_at, _) in self._kept.items() if kept_at < since]:
            del self._kept[asked]
