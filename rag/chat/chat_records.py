"""Plain records of chats: they hold values and say nothing of where those came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Verdict = Literal["supported", "weak", "unsupported", "uncited"]
Phase = Literal["queued", "analyzing", "retrieving", "generating", "complete", "failed", "stopped"]

#: Phases after which nothing more happens by itself.
FINAL_PHASES: frozenset[Phase] = frozenset({"complete", "failed", "stopped"})


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation about one collection and perhaps others; ``collection_id`` is its home.

    ``scope_id`` is what its answers are made from, None for everything. ``is_owner``: whether it is the reader's own,
    and not one that ``created_by`` shares with them; ``shared``: whether anybody takes part beside its owner.
    """

    id: UUID
    collection_id: UUID
    title: str
    created_at: datetime
    updated_at: datetime
    scope_id: int | None = None
    created_by: UUID | None = None
    is_owner: bool = True
    shared: bool = False


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
    """A retrieved passage as it was for one answer; ``start``/``end`` are code points of that text revision.

    ``revision_now`` is the one that its document has by now; None when whoever reads this can't see the document.
    """

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
    revision_now: int | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """The ``ordinal``-th marker ``[number]`` of an answer and the exact span of the source that it quotes."""

    ordinal: int
    number: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """How far the passages ``cited`` back one sentence, ``start``:``end`` of an answer's content.

    ``lexical`` is the share of its words that they have, ``similarity`` the likeness of meaning from 0 (unrelated) to 1
    (the same), None when it wasn't measured, and ``missing`` are its figures that they don't have.
    """

    ordinal: int
    start: int
    end: int
    cited: list[int]
    verdict: Verdict
    lexical: float
    similarity: float | None
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Message:
    """A question (``role`` user) or an answer (``role`` assistant).

    ``content`` of an answer is Markdown that is safe to render; it is empty until the phase is final.

    ``parent_id`` of an answer is its question, of a question the answer that it goes on from (None: a first question);
    ``position`` is the order in which messages came. ``asked_by`` is who asked, called ``asker`` (None and "" once
    their account is gone). ``profile`` is what was asked for, None for the collection's default then;
    ``wanted_model`` likewise. ``standalone`` is the question as it was searched for, where it was rewritten;
    ``snapshot`` what the answer was made with (:mod:`rag.chat.snapshots`).
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
    parent_id: UUID | None = None
    asked_by: UUID | None = None
    asker: str = ""
    profile: dict[str, Any] | None = None
    wanted_model: str | None = None
    standalone: str | None = None
    snapshot: dict[str, Any] | None = None
    passages: list[Passage] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    support: list[SentenceSupport] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """True when nothing more happens by itself."""
        return self.phase in FINAL_PHASES

    @property
    def seconds(self) -> float:
        """What its last attempt took so far; the note of the final phase has that of all phases."""
        ended = [note.seconds for note in self.phases if note.phase in FINAL_PHASES and note.seconds is not None]
        return ended[-1] if ended else sum(note.seconds or 0.0 for note in self.phases)


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


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply. Not ``exact``: the server didn't say, or was hung up on; then an upper estimate."""

    prompt_tokens: int
    completion_tokens: int
    exact: bool

    @property
    def total(self) -> int:
        """Read and written together."""
        return self.prompt_tokens + self.completion_tokens
