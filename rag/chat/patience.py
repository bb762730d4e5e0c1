"""Sitting out a provider that is busy, in the sight of whoever waits for the answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from rag.chat.answer_writer import AnswerWriter
from rag.errors import ProviderBusy, ProviderError

#: How often a busy provider is asked again.
TRIES = 4
#: The longest wait that anybody is asked to sit through.
LONGEST_WAIT_S = 60.0
_FIRST_WAIT_S = 2.0
_SHORTEST_WAIT_S = 0.5
_SLICE_S = 0.2


class Patience:
    """Waits as the provider wishes, up to :data:`TRIES` times in one answer."""

    def __init__(self, writer: AnswerWriter, sleep: Callable[[float], None] = time.sleep) -> None:
        self._writer = writer
        self._sleep = sleep
        self._tried = 0

    def sit_out(self, busy: ProviderBusy) -> None:
        """Wait, saying so; :class:`ProviderError` when that was enough, or when the wait would be too long."""
        asked = busy.retry_after
        wait = _FIRST_WAIT_S * 2**self._tried if asked is None else max(asked, _SHORTEST_WAIT_S)
        self._tried += 1
        if self._tried > TRIES:
            raise ProviderError(f"{busy} It was asked {TRIES + 1} times.", hint="Try again in a few minutes.") from busy
        if wait > LONGEST_WAIT_S:
            raise ProviderError(
                f"{busy} It wants to be left alone for {_words(wait)}.", hint="Try again then."
            ) from busy
        self._writer.note(f"{busy} Asking again in {_words(wait)} ({self._tried} of {TRIES}).")
        while wait > 0:
            self._sleep(min(_SLICE_S, wait))
            wait -= _SLICE_S
            self._writer.write("")


def _words(seconds: float) -> str:
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} minutes"
