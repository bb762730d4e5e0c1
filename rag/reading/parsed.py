"""What parsing gives and what it may cost: shared by the asking process and its child."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.settings import Settings


@dataclass(frozen=True)
class ParsedText:
    """A parsed file. Offsets count Unicode code points.

    ``text`` has ``\\n`` newlines and Markdown headings and tables where the source has structure; no NUL, U+FEFF or
    lone surrogate. ``page_starts[i]`` is the offset where page i + 1 starts; empty without pages. ``title`` comes from
    the file's metadata or first heading, None when neither is sensible.
    """

    text: str
    page_starts: list[int] = field(default_factory=list)
    title: str | None = None
    media_type: str = "text/plain"
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ParseLimits:
    """Most that one file may cost: its size, what it unpacks to, wall seconds and resident memory."""

    file_bytes: int = 200 * 2**20
    unpacked_bytes: int = 80 * 2**20
    seconds: float = 120.0
    memory_bytes: int = 2 * 2**30

    @classmethod
    def from_settings(cls, settings: Settings) -> ParseLimits:
        return cls(
            file_bytes=settings.max_file_mb * 2**20,
            unpacked_bytes=settings.max_unpacked_mb * 2**20,
            seconds=float(settings.parse_timeout_s),
            memory_bytes=settings.parse_memory_mb * 2**20,
        )
