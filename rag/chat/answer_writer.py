"""Writes an answer as it grows: phases with what they did and how long, and text at most ten times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from rag.chat import answer_rows
from rag.chat.answer_rows import Attempt
from rag.chat.chat_records import Citation, Passage, Phase, PhaseNote
from rag.chat.snapshots import Snapshot
from rag.store.database import Database
from rag.work.leases import LeaseLost

#: Seconds between writes of text: ten a second look fluent and cost the database little.
WRITE_EVERY_S = 0.1
#: How soon a stop is noticed while nothing is written.
_LOOK_EVERY_S = 0.2


class Stopped(Exception):
    """The asker wants no more of this answer."""


class AnswerWriter:
    """One attempt at one answer.

    Every method that stores something may raise :class:`LeaseLost` or :class:`~rag.chat.answer_rows.Superseded`;
    those that store text also :class:`Stopped`.
    """

    def __init__(self, database: Database, attempt: Attempt, still_ours: Callable[[], bool]) -> None:
        self.attempt = attempt
        #: Everything handed to :meth:`write` so far.
        self.text = ""
        self._database = database
        self._still_ours = still_ours
        self._notes: list[PhaseNote] = []
        self._phase: Phase = "analyzing"
        self._entered = time.monotonic()
        self._began = self._entered
        self._buffer = ""
        self._seq = 0
        self._looked = 0.0
        self._wrote = 0.0

    def enter(
        self,
        phase: Phase,
        detail: str,
        *,
        before: str | None = None,
        kind: str | None = None,
        model: str | None = None,
        standalone: str | None = None,
    ) -> None:
        """Begin a phase; ``before`` replaces the detail of the one that ends, now that it is known what it did.

        ``standalone`` is the question as it was understood, where that is another than the one that was typed.
        """
        self.flush()
        self._leave(before)
        self._phase = phase
        self._wrote = 0.0  # the first words of a phase are not kept waiting
        self._notes.append(PhaseNote(phase, _now(), detail, None))
        self._save(kind, model, standalone)

    def note(self, detail: str, *, standalone: str | None = None) -> None:
        """Say something else about the current phase; ``standalone`` as in :meth:`enter`."""
        self._notes[-1] = replace(self._notes[-1], detail=detail)
        self._save(standalone=standalone)

    def keep_passages(self, passages: Sequence[Passage]) -> None:
        """Store the retrieval snapshot."""
        with self._database.as_worker() as conn:
            answer_rows.store_passages(conn, self.attempt, passages)

    def write(self, text: str) -> None:
        """Add text; it is stored when the last write is long enough ago. An empty text only looks for a stop."""
        self.add(text)
        now = time.monotonic()
        if (self._buffer and now - self._wrote >= WRITE_EVERY_S) or now - self._looked >= _LOOK_EVERY_S:
            self.flush()

    def add(self, text: str) -> None:
        """Add text to be stored with the next write."""
        self.text += text
        self._buffer += text

    def flush(self) -> None:
        """Store what has been added."""
        self._require_ours()
        with self._database.as_worker() as conn:
            stop = answer_rows.hold(conn, self.attempt)
            if self._buffer:
                answer_rows.append_delta(conn, self.attempt, self._seq + 1, self._buffer)
        self._looked = time.monotonic()
        if self._buffer:
            self._seq += 1
            self._buffer = ""
            self._wrote = self._looked
        if stop:
            raise Stopped

    def end(
        self,
        phase: Phase,
        detail: str,
        citations: Sequence[Citation] = (),
        *,
        before: str | None = None,
        error: str | None = None,
        hint: str | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        """Give the answer its final phase, with the text that is still to be stored."""
        self._require_ours()
        self._leave(before)
        self._notes.append(PhaseNote(phase, _now(), detail, round(time.monotonic() - self._began, 3)))
        with self._database.as_worker() as conn:
            answer_rows.hold(conn, self.attempt)
            if self._buffer:
                answer_rows.append_delta(conn, self.attempt, self._seq + 1, self._buffer)
            answer_rows.end_attempt(
                conn, self.attempt, phase, self._notes, citations, error=error, hint=hint, snapshot=snapshot
            )
        self._buffer = ""

    def _leave(self, detail: str | None) -> None:
        now = time.monotonic()
        if self._notes:
            last = self._notes[-1]
            kept = last.detail if detail is None else detail
            self._notes[-1] = replace(last, detail=kept, seconds=round(now - self._entered, 3))
        self._entered = now

    def _save(self, kind: str | None = None, model: str | None = None, standalone: str | None = None) -> None:
        self._require_ours()
        with self._database.as_worker() as conn:
            answer_rows.note_phase(
                conn, self.attempt, self._phase, self._notes, kind=kind, model=model, standalone=standalone
            )

    def _require_ours(self) -> None:
        if not self._still_ours():
            raise LeaseLost


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
