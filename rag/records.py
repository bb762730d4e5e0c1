"""Plain records that cross module borders. They hold values and say nothing of where those came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

Stage = Literal["stored", "parsing", "chunking", "embedding", "ready", "failed", "cancelled"]
Role = Literal["viewer", "editor", "owner"]

#: Stages after which nothing more happens by itself.
FINAL_STAGES: frozenset[Stage] = frozenset({"ready", "failed", "cancelled"})

#: The local user of an installation without sign-in.
LOCAL_USER = UUID("00000000-0000-0000-0000-000000000001")


@dataclass(frozen=True, slots=True)
class Collection:
    """A corpus as one person sees it: ``role`` is a member's own; of a public one, everybody else is ``viewer``."""

    id: UUID
    name: str
    description: str
    role: Role
    active_index_id: int | None
    document_count: int
    created_at: datetime
    is_public: bool = False
    is_member: bool = True


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One uploaded file as the Documents table shows it; chunk counts are of the active index."""

    id: UUID
    collection_id: UUID
    name: str
    title: str | None
    media_type: str | None
    size: int
    language: str | None
    stage: Stage
    stage_at: datetime
    paused: bool
    error: str | None
    error_hint: str | None
    error_code: str | None
    text_revision: int
    page_count: int | None
    char_count: int | None
    chunk_count: int
    embedded_count: int
    failed_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """What became of one uploaded file.

    ``stored``: a new document. ``duplicate``: the same bytes are there already (``existing``). ``name_taken``: the
    name is there with other bytes (``existing``) and nothing was stored; ask whether to replace or keep both.
    ``restored``: the same bytes lay in the trash and were taken out of it (``existing``), with all that was theirs.
    """

    outcome: Literal["stored", "duplicate", "name_taken", "restored"]
    name: str
    document_id: UUID | None
    existing: DocumentRow | None = None


@dataclass(frozen=True, slots=True)
class DocumentText:
    """Parsed text of one revision; ``page_starts[i]`` is the offset where page i + 1 starts, empty without pages."""

    document_id: UUID
    revision: int
    text: str
    page_starts: list[int]


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk of the active index, in document order."""

    id: int
    ordinal: int
    start: int
    end: int
    page: int | None
    heading_path: list[str]
    text: str
    token_count: int
    excluded: bool
    embedded: bool


@dataclass(frozen=True, slots=True)
class SpanMark:
    """An exclusion or a tag on a span of a document's current text."""

    id: int
    document_id: UUID
    start: int
    end: int
    kind: Literal["exclusion", "tag"]
    tag: str | None


@dataclass(frozen=True, slots=True)
class FailedJob:
    """Work that was given up on, in words for a person."""

    id: int
    queue: str
    document_id: UUID | None
    document_name: str | None
    chunk_id: int | None
    reason: str
    hint: str | None
    attempts: int
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class Hit:
    """One retrieved chunk. Scores keep their own names; a rank in a leg is None where that leg did not find it.

    ``rank`` is the place in the end; ``score`` and ``fused_rank`` are those of the legs together, before reranking and
    diversity; ``rerank_score`` is the cross encoder's, None for what it did not read.
    """

    rank: int
    chunk_id: int
    document_id: UUID
    document: str
    title: str | None
    text_revision: int
    page: int | None
    start: int
    end: int
    heading_path: list[str]
    text: str
    similarity: float | None
    lexical: float | None
    score: float
    dense_rank: int | None
    lexical_rank: int | None
    matched: list[str] = field(default_factory=list)
    fused_rank: int | None = None
    rerank_score: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What the workers say of themselves, without saying where they run."""

    alive: int
    loading: int
    busy: int
    waiting_until: datetime | None
    waiting_reason: str | None
    last_seen: datetime | None
