"""Two ways to search side by side: what entered, what left, what moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from pages.parts.hit_cards import open_link
from pages.parts.words import count
from rag.records import Hit

CSV_COLUMNS = (
    "change",
    "rank",
    "other rank",
    "document",
    "page",
    "start",
    "end",
    "text",
    "similarity",
    "other similarity",
    "fused",
    "other fused",
)
#: Characters of a passage in a compact row.
_EXCERPT = 180


@dataclass(frozen=True, slots=True)
class Pair:
    """The same passage on both sides; None where a side doesn't have it."""

    here: Hit | None
    there: Hit | None

    @property
    def change(self) -> str:
        """``entered``, ``left``, ``moved`` or ``stayed``, seen from the other side to this one."""
        if self.there is None:
            return "entered"
        if self.here is None:
            return "left"
        return "stayed" if self.here.rank == self.there.rank else "moved"


def pair_hits(here: Sequence[Hit], there: Sequence[Hit]) -> list[Pair]:
    """Each passage of either side once: this side's in its order, then what only the other one has.

    A passage is the same if it is the same chunk, or, between two indexes, if more than half of the shorter one's
    characters are in the other.
    """
    left = list(there)
    pairs = []
    for hit in here:
        same = next((other for other in left if _same(hit, other)), None)
        if same is not None:
            left.remove(same)
        pairs.append(Pair(hit, same))
    return pairs + [Pair(None, other) for other in left]


def _same(one: Hit, other: Hit) -> bool:
    if one.chunk_id == other.chunk_id:
        return True
    if one.document_id != other.document_id or one.text_revision != other.text_revision:
        return False
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared * 2 > min(one.end - one.start, other.end - other.start)


def summarise(pairs: Sequence[Pair]) -> str:
    """``2 entered, 2 left, 5 moved, 3 stayed``."""
    numbers = {
        change: sum(pair.change == change for pair in pairs) for change in ("entered", "left", "moved", "stayed")
    }
    if not pairs:
        return "Neither side found anything."
    if numbers["stayed"] == len(pairs):
        return f"The same {count(len(pairs), 'passage')} in the same order."
    return ", ".join(f"{number} {change}" for change, number in numbers.items() if number) + "."


def columns_html(pairs: Sequence[Pair], here: str, there: str) -> str:
    """Both lists as HTML, each in its own order; ``here`` and ``there`` are what the sides are called."""
    ours = [pair for pair in pairs if pair.here]
    theirs = sorted((pair for pair in pairs if pair.there), key=lambda pair: pair.there.rank if pair.there else 0)
    return (
        '<div class="cs-compare">'
        f"{_column(there, [_row(pair.there, _fate(pair)) for pair in theirs if pair.there])}"
        f"{_column(here, [_row(pair.here, _origin(pair)) for pair in ours if pair.here])}</div>"
    )


def _column(name: str, rows: Sequence[str]) -> str:
    listed = f"<ol>{''.join(rows)}</ol>" if rows else '<p class="cs-quiet">Nothing was found.</p>'
    return f"<section><h3>{escape(name)}</h3>{listed}</section>"


def _row(hit: Hit, change: str) -> str:
    similarity = "" if hit.similarity is None else f"{hit.similarity:.3f}"
    page = f" · page {hit.page}" if hit.page else ""
    text = hit.text if len(hit.text) <= _EXCERPT else hit.text[:_EXCERPT].rsplit(" ", 1)[0] + " …"
    return (
        f'<li><div class="cs-head"><span class="cs-rank">{hit.rank}</span>{open_link(hit, hit.document)}'
        f'<span class="cs-quiet">{similarity}{page}</span>{change}</div>'
        f'<div class="cs-quiet cs-excerpt" dir="auto">{escape(text)}</div></li>'
    )


def _origin(pair: Pair) -> str:
    assert pair.here is not None
    if pair.there is None:
        return _badge("in", "entered")
    moved = pair.there.rank - pair.here.rank
    if not moved:
        return ""
    return _badge("up", f"▲ {moved}") if moved > 0 else _badge("down", f"▼ {-moved}")


def _fate(pair: Pair) -> str:
    return _badge("out", "left") if pair.here is None else ""


def _badge(kind: str, words: str) -> str:
    return f'<span class="cs-badge cs-{kind}">{words}</span>'


def csv_rows(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """The same for a download."""
    rows = []
    for pair in pairs:
        hit = pair.here or pair.there
        assert hit is not None
        rows.append(
            {
                "change": pair.change,
                "document": hit.document,
                "page": hit.page,
                "start": hit.start,
                "end": hit.end,
                "text": hit.text,
                "rank": pair.here and pair.here.rank,
                "other rank": pair.there and pair.there.rank,
                "similarity": pair.here and pair.here.similarity,
                "other similarity": pair.there and pair.there.similarity,
                "fused": pair.here and pair.here.score,
                "other fused": pair.there and pair.there.score,
            }
        )
    return rows
