"""How a text would be cut under some settings, before anything is built: its chunks, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rag.chunks.chunking import Chunk, ChunkSettings, chunk_text
from rag.chunks.tokens import TokenCounter

#: Characters of a document that a preview reads at most: about a second of work.
PREVIEW_CHARS = 200_000


@dataclass(frozen=True)
class Preview:
    """The chunks of the first ``length`` characters of a text that has ``total``."""

    chunks: list[Chunk]
    length: int
    total: int

    @property
    def is_part(self) -> bool:
        """Whether the text was too long to be read as a whole."""
        return self.length < self.total

    @property
    def tokens(self) -> list[int]:
        """Tokens of each chunk, as embedded."""
        return [chunk.token_count for chunk in self.chunks]

    @property
    def median_tokens(self) -> int:
        """Half of the chunks have as many tokens at most."""
        return round(median(self.tokens)) if self.chunks else 0


def preview_chunks(
    text: str,
    *,
    title: str,
    page_starts: Sequence[int],
    settings: ChunkSettings,
    tokenizer: TokenCounter,
    limit: int = PREVIEW_CHARS,
) -> Preview:
    """Cut the text as an index would; of a long one the beginning, up to a page or line that ends near ``limit``."""
    length = _cut(text, page_starts, limit)
    starts = [start for start in page_starts if start < length]
    chunks = chunk_text(text[:length], title=title, page_starts=starts, settings=settings, tokenizer=tokenizer)
    return Preview(chunks, length, len(text))


def _cut(text: str, page_starts: Sequence[int], limit: int) -> int:
    if len(text) <= limit:
        return len(text)
    page = max((start for start in page_starts if limit // 2 < start <= limit), default=0)
    line = text.rfind("\n", limit // 2, limit) + 1
    return page or line or limit


def histogram(previews: Sequence[Preview], bins: int = 16) -> tuple[list[int], list[list[int]]]:
    """Chunks by their number of tokens, in bins that all previews share: (lower edges, counts of each preview)."""
    most = max((n for preview in previews for n in preview.tokens), default=1)
    width = max(1, -(-(most + 1) // bins))
    edges = list(range(0, most + 1, width))
    counts = [[0] * len(edges) for _ in previews]
    for preview, counted in zip(previews, counts, strict=True):
        for n in preview.tokens:
            counted[n // width] += 1
    return edges, counts
