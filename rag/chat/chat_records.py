"""Plain records of chats: they hold values and say nothing of where those came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

Phase = Literal["queued", "analyzing", "retrieving", "generating", "complete", "failed", "stopped"]

#: Phases after which nothing more happens by itself.
FINAL_PHASES: frozenset[Phase] = frozenset({"complete", "failed", "stopped"})


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation about one collection; ``scope_id`` is what its answers are made from, None for everything."""

    id: UUID
    collection_id: UUID
    title: str
    created_at: datetime
    updated_at: datetime
    scope_id: int | None = None


@dataclass(frozen=True, slots=True)
class ScopeNote:
    """The selection that one answer was to be made from, as it was when it was asked for."""

    id: int
    name: str | None
    passages: int
    documents: int


@dataclass(frozen=True, slots=True)
class PhaseNote:
    """What one phase of an answer did.

    ``phase`` is one of :data:`Phase` or ``restarted``, which says that an earlier attempt was given up.
    ``seconds`` is None while the phase goes on.
    """

    phase: str
    at: str
    detail: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved passage as it was for one answer; ``start``/``end`` are code points of that text revision."""

    number: int
    document_id: UUID | None
    chunk_id: int | None
    document: str
    title: str | None
    text_revision: int
    start: int
    end: int
    page: int | None
    text: str
    similarity: float | None
    lexical: float | None
    score: float | None


@dataclass(frozen=True, slots=True)
class Citation:
    """The ``ordinal``-th marker ``[number]`` of an answer and the exact span of the source that it quotes."""

    ordinal: int
    number: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Message:
    """A question (``role`` user) or an answer (``role`` assistant).

    ``content`` of an answer is Markdown that is safe to render; it is empty until the phase is final.
    """

    id: UUID
    chat_id: UUID
    position: int
    role: Literal["user", "assistant"]
    content: str
    phase: Phase
    phase_at: datetime
    phases: list[PhaseNote]
    attempt: int
    stop_requested: bool
    kind: Literal["extractive", "model"] | None
    model: str | None
    error: str | None
    error_hint: str | None
    created_at: datetime
    scope: ScopeNote | None = None
    passages: list[Passage] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """True when nothing more happens by itself."""
        return self.phase in FINAL_PHASES


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer's text; ``seq`` counts from 1 within one attempt."""

    attempt: int
    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class AnswerEvent:
    """Something that a viewer of a growing answer has to show.

    ``phase``: the phase or its detail changed. ``text``: append ``text``. ``restart``: forget the text so far, the
    answer was started again. ``waiting``: nothing new for a while. ``done``: the phase is final, read the message.
    ``attempt`` and ``seq`` are the position to continue from.
    """

    kind: Literal["phase", "text", "restart", "waiting", "done"]
    phase: Phase
    detail: str
    attempt: int
    seq: int
    text: str = ""
