"""What an explanation consists of: stages in the order of a search, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

#: ``lost``: here, and nowhere before. ``would_pass`` and ``would_lose``: what comes of the stages after that.
Outcome = Literal["passed", "lost", "would_pass", "would_lose", "unknown"]

StageName = Literal[
    "uploaded",
    "parsed",
    "chunked",
    "excluded",
    "embedded",
    "visible",
    "filtered",
    "scoped",
    "exact",
    "hnsw",
    "lexical",
    "threshold",
    "fusion",
    "rerank",
    "diversity",
    "k",
]

#: What people read; the order is that of the chain.
TITLES: dict[StageName, str] = {
    "uploaded": "Uploaded",
    "parsed": "Text read from the file",
    "chunked": "Cut into chunks",
    "excluded": "In search, not left out",
    "embedded": "Has a vector",
    "visible": "Yours to see",
    "filtered": "Among the chosen documents",
    "scoped": "In the selection",
    "exact": "Near in meaning (exact)",
    "hnsw": "Found by the vector index",
    "lexical": "Found by its words",
    "threshold": "Above the threshold",
    "fusion": "Kept by fusion",
    "rerank": "Kept by the reranker",
    "diversity": "Kept by diversity",
    "k": "Among the first k",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A page that helps: a document, at a span if there is one, or one of the others."""

    page: Literal["document", "documents", "operations", "indexes"]
    document_id: UUID | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to change: ``fix`` are settings of the profile that do it, ``place`` the page where it is done.

    ``checked``: the search was run with ``fix``, and what was missing is there.
    """

    words: str
    fix: dict[str, Any] | None = None
    place: Place | None = None
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """One link of the chain; ``figures`` are numbers and names under their own keys, for tables and JSON."""

    name: StageName
    outcome: Outcome
    words: str
    figures: dict[str, Any] = field(default_factory=dict)
    advice: tuple[Advice, ...] = ()

    @property
    def title(self) -> str:
        return TITLES[self.name]


@dataclass(frozen=True, slots=True)
class Finding:
    """A stage on its own: ``ok`` says whether it would let the chunk through, None where that can't be said."""

    name: StageName
    ok: bool | None
    words: str
    figures: dict[str, Any] = field(default_factory=dict)
    advice: tuple[Advice, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The chunk that was followed, as far as there is one; ``start`` and ``end`` are its span, else the phrase's.

    ``marked`` is the phrase as a span of ``text``.
    """

    document_id: UUID | None = None
    document: str | None = None
    chunk_id: int | None = None
    ordinal: int | None = None
    start: int | None = None
    end: int | None = None
    text: str = ""
    marked: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole chain. ``lost_at`` is the first stage that lost it, None where it is among the hits, at ``rank``.

    ``cure`` are the changes of the profile that were tried and bring it, where no single advice does.
    """

    question: str
    wanted: str
    target: Target
    stages: list[Stage]
    lost_at: StageName | None
    rank: int | None = None
    cure: Advice | None = None

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        if self.lost_at is None:
            return f"It is there: number {self.rank} of the results."
        return f"Lost at “{TITLES[self.lost_at]}”: {self.stage(self.lost_at).words}"

    def stage(self, name: StageName) -> Stage:
        """The stage of that name; :class:`KeyError` for one that this explanation leaves out."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What to change at the stage that lost it."""
        return self.stage(self.lost_at).advice if self.lost_at else ()
