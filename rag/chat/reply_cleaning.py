"""What a chat model says, made fit to pass on while it comes: no thoughts, no key, no end of repeating."""

from __future__ import annotations

import re
import zlib

from rag.chat.provider_words import SHORTEST_KEY

_OPEN, _CLOSE = "<think>", "</think>"
#: The last so many characters of an answer, which say the same again and again if they pack so much better than prose
#: does: that packs to a third.
_LOOKED_AT, _REPEATING = 4000, 30
_LOOK_EVERY = 500
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


class ThoughtFilter:
    """Leaves out the ``<think>…</think>`` with which some servers let a model's thoughts begin its answer."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._done = False
        self._begun = True

    def feed(self, text: str) -> str:
        """What may be shown of it, now."""
        if self._done:
            return self._begin(text)
        self._held += text
        if not self._thinking:
            start = self._held.lstrip()
            if len(start) < len(_OPEN) and _OPEN.startswith(start):
                return ""
            self._thinking = start.startswith(_OPEN)
            if not self._thinking:
                return self._release(self._held)
        if _CLOSE in self._held:
            self._begun = False
            return self._begin(self._release(self._held.partition(_CLOSE)[2]))
        self._held = self._held[-len(_CLOSE) :] if len(self._held) > 4 * len(_CLOSE) else self._held
        return ""

    def finish(self) -> str:
        """What was held back and turned out to be no thought."""
        return "" if self._thinking or self._done else self._release(self._held)

    def _release(self, text: str) -> str:
        self._done, self._held = True, ""
        return text

    def _begin(self, text: str) -> str:
        """Without the empty lines between thoughts and answer."""
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text


class KeyFilter:
    """Keeps the server's key out of an answer, also where it comes in pieces. Without a key it changes nothing."""

    def __init__(self, key: str) -> None:
        self._key = key if len(key) >= SHORTEST_KEY else ""
        self._held = ""

    def feed(self, text: str) -> str:
        """``text`` without the key; an end that could become the key is held back."""
        if not self._key:
            return text
        text = (self._held + text).replace(self._key, "…")
        longest = min(len(text), len(self._key) - 1)
        keep = next((n for n in range(longest, 0, -1) if self._key.startswith(text[-n:])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back; it did not become the key."""
        held, self._held = self._held, ""
        return held


class RepetitionWatch:
    """Notices a model that repeats itself, which small ones do without ever coming to an end."""

    def __init__(self) -> None:
        self._end = ""
        self._fresh = 0

    def notices(self, text: str) -> bool:
        """Whether, now that ``text`` was said too, it has said nothing new for a page."""
        self._end = (self._end + text)[-_LOOKED_AT:]
        self._fresh += len(text)
        if self._fresh < _LOOK_EVERY or len(self._end) < _LOOKED_AT:
            return False
        self._fresh = 0
        end = self._end.encode("utf-8", "replace")
        return len(end) > _REPEATING * len(zlib.compress(end, 1))


def storable(text: str) -> str:
    """``text`` without what a database can't hold: NUL and halves of surrogate pairs."""
    return _UNSTORABLE.sub("", text)
