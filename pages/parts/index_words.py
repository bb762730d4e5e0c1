"""What an index is and how far it has come, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages.parts.words import clock, count, duration, size
from rag.chunks.chunking import ChunkSettings
from rag.corpus.index_estimates import Amount
from rag.corpus.indexes import IndexRow
from rag.errors import InvalidInput

#: State → (what it is called, the badge's colour, what it means).
STATES = {
    "active": ("Active", "green", "Search, chat and evaluations use it."),
    "ready": ("Ready", "blue", "Complete and kept in step with every edit; it can be made active at once."),
    "building": ("Building", "orange", "Workers fill it beside the active one, which goes on answering."),
    "retired": ("Dropped", "gray", "Its chunks and vectors are gone."),
}
CSV_COLUMNS = (
    "index", "state", "model", "dimensions", "chunk size", "overlap", "title and headings", "documents",
    "documents expected", "chunks", "embedded", "failed", "vector bytes", "made", "answered until", "problem",
)  # fmt: skip


def state_of(index: IndexRow) -> tuple[str, str, str]:
    """Name, colour and meaning of its state."""
    if index.paused:
        return "Paused", "gray", "Nothing is done for it until somebody resumes it. What it has stays."
    if index.state == "ready" and not index.complete:
        return "Catching up", "orange", "It was complete; the latest edits are being taken in."
    return STATES[index.state]


def describe_chunking(chunking: Mapping[str, Any]) -> str:
    """``Chunks of up to 192 tokens, no overlap, title and headings before each``."""
    try:
        settings = ChunkSettings.from_json(chunking)
    except InvalidInput:
        return "Chunked under settings of another version"
    overlap = f"overlapping by up to {settings.overlap} tokens" if settings.overlap else "no overlap"
    context = "title and headings before each" if settings.with_context else "no title or headings added"
    return f"Chunks of up to {settings.max_tokens:,} tokens, {overlap}, {context}"


def describe_model(index: IndexRow) -> str:
    """``all-MiniLM-L6-v2 (384 dimensions)``."""
    where = ", hosted" if index.provider == "openai" else ""
    return f"{index.model_row.label} ({index.dimensions:,} dimensions{where})"


def describe_size(index: IndexRow) -> str:
    """``1,204 chunks of 19 documents · vectors 925 KB · 2 failed``."""
    parts = [f"{count(index.chunks, 'chunk')} of {count(index.documents, 'document')}"]
    if index.embedded:
        parts.append(f"vectors {size(index.vector_bytes)}")
    if index.failed:
        parts.append(f"{index.failed:,} failed")
    return " · ".join(parts)


def describe_work(index: IndexRow, rate: float | None) -> str:
    """``Chunked 12 of 40 documents · embedded 310 of about 1,030 chunks · 52 chunks/s · about 14 s left``."""
    parts = []
    if index.documents < index.expected:
        parts.append(f"Chunked {index.documents:,} of {count(index.expected, 'document')}")
    remaining = index.remaining
    if index.chunks:
        done = index.embedded + index.failed
        total = done + remaining if remaining is not None else index.chunks
        about = "about " if index.documents < index.expected else ""
        parts.append(f"embedded {done:,} of {about}{count(total, 'chunk')}")
    if rate and remaining:
        parts.append(f"{rate:,.0f} chunks/s" if rate >= 10 else f"{rate:.1f} chunks/s")
        parts.append(f"about {duration(max(1, remaining / rate))} left")
    words = " · ".join(parts) or "Waiting for a worker to begin"
    return words[0].upper() + words[1:]


def share_done(index: IndexRow) -> float:
    """From 0 to 1, unread documents reckoned in."""
    done, remaining = index.embedded + index.failed, index.remaining
    if remaining is None or not done + remaining:
        return 0.0
    return min(1.0, done / (done + remaining))


def csv_row(index: IndexRow) -> dict[str, object]:
    """One row of the download."""
    chunking = index.chunking
    return {
        "index": index.id,
        "state": state_of(index)[0].lower(),
        "model": index.model_row.label,
        "dimensions": index.dimensions,
        "chunk size": chunking.get("max_tokens", ChunkSettings().max_tokens),
        "overlap": chunking.get("overlap", ChunkSettings().overlap),
        "title and headings": "yes" if chunking.get("with_context", ChunkSettings().with_context) else "no",
        "documents": index.documents,
        "documents expected": index.expected,
        "chunks": index.chunks,
        "embedded": index.embedded,
        "failed": index.failed,
        "vector bytes": index.vector_bytes,
        "made": clock(index.created_at),
        "answered until": clock(index.answered_until) if index.answered_until else "",
        "problem": index.problem or "",
    }


def between(amount: Amount) -> str:
    """``1,204`` of an exact amount, ``about 1,200 (1,100 to 1,300)`` of an estimated one."""
    if amount.high <= amount.low:
        return f"{amount.value:,.0f}"
    return f"about {_rounded(amount.value)} ({_rounded(amount.low)} to {_rounded(amount.high)})"


def _rounded(value: float) -> str:
    """To three digits: an estimate has no more."""
    digits = 3 - len(f"{abs(value):.0f}")
    return f"{round(value, digits) if digits < 0 else round(value):,.0f}"
