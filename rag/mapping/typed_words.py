"""What somebody types to look for in passages, as patterns: every word must be in the text, "a phrase" as it stands."""

from __future__ import annotations

import re

#: Words that count; more would hardly leave anything.
MOST_WORDS = 6
_MOST_CHARS = 200
_PART = re.compile(r'"([^"]+)"?|(\S+)')


def split_typed(typed: str) -> list[str]:
    """The words and quoted phrases, at most :data:`MOST_WORDS`: ``pump "after delivery" wei`` is three."""
    parts = (quoted or word for quoted, word in _PART.findall(typed.replace("\x00", " ")[:_MOST_CHARS]))
    words = (" ".join(part.replace('"', " ").split()) for part in parts)
    return list(dict.fromkeys(word for word in words if word))[:MOST_WORDS]


def patterns_of(typed: str) -> list[str]:
    """A pattern for ILIKE for each of them, the longest first: it leaves the least for the others to look at."""
    words = sorted(split_typed(typed), key=len, reverse=True)
    return ["%" + re.sub(r"([\\%_])", r"\\\1", word) + "%" for word in words]
