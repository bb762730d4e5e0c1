"""What somebody types to look for in passages, as patterns: every word must be in the text, "a phrase" as it stands."""

from __future__ import annotations

import re

#: Words that count; more would hardly leave anything.
MOST_WORDS = 4
_MOST_CHARS = 200
_PART = re.compile(r'"([^"]+)"?|(\S+)')


def split_typed(typed: str) -> list[str]:
    """The words and quoted phrases, at most :data:`MOST_WORDS`: ``pump "after delivery" wei`` is three."""
    parts = (quoted or word for quoted, word in _PART.findall(typed.replace("\x00", " ")[:_MOST_CHARS]))
    words = (" ".join(part.replace('"', " ").split()) for part in parts)
    return list(dict.fromkeys(word for word in words if word))[:MOST_WORDS]


def patterns_of(word: str) -> list[str]:
    """LIKE patterns of a word as it is usually written: as typed, in small letters, with a capital, in capitals.

    Comparing with these takes a tenth of ILIKE, which makes small letters of every text that it looks at.
    """
    plain = re.sub(r"([\\%_])", r"\\\1", word)
    small = plain.lower()
    forms = dict.fromkeys([small, small[:1].upper() + small[1:], small.title(), plain.upper(), plain])
    return [f"%{form}%" for form in forms]
