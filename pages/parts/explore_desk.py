"""What Explore reads once a run of the page, so that colours, filters and panels move without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pages.parts import explore_state
from pages.parts.session import connect
from rag.corpus.indexes import SearchedIndex, read_searched_index
from rag.corpus.progress import Progress, read_progress
from rag.errors import NotFound
from rag.mapping.maps import UNFINISHED, CorpusMap, latest_map, list_maps
from rag.mapping.payload import PointsVersion, points_version
from rag.records import Collection


@dataclass(frozen=True)
class Desk:
    """All of it. ``maps`` are the newest first; ``shown`` is the one to look at, None where there is none yet.

    ``working`` is one that waits or is being made, maybe the shown one whose names and figures are still to come.
    ``index`` is that of the shown map, None where it was dropped; ``version`` changes with its points.
    """

    collection: Collection
    progress: Progress
    maps: Sequence[CorpusMap]
    shown: CorpusMap | None
    working: CorpusMap | None
    index: SearchedIndex | None
    version: PointsVersion | None

    @property
    def may_edit(self) -> bool:
        """Whether the person may make maps and curate."""
        return self.collection.role in ("editor", "owner")

    @property
    def map(self) -> CorpusMap:
        """The shown one, where there is one."""
        assert self.shown is not None
        return self.shown


def open_desk(collection: Collection) -> tuple[Desk, list[str]]:
    """Read it in one transaction; and a sentence for each thing of the look that nobody has (any more)."""
    problems: list[str] = []
    wanted = explore_state.look().map_id
    with connect() as conn:
        progress = read_progress(conn, collection.id)
        maps = list_maps(conn, collection.id)
        newest = latest_map(conn, collection.id)
        shown = next((one for one in maps if one.id == wanted and one.drawn), None) if wanted else newest
        if wanted and shown is None:
            problems.append(f"This collection has no map {wanted} (any more); the newest one is shown.")
            explore_state.change(map_id=None, place=None, hidden=())
            shown = newest
        if shown is None:
            shown = next((one for one in maps if one.drawn), None)
        index = version = None
        if shown is not None:
            version = points_version(conn, shown.id)
            try:
                index = read_searched_index(conn, collection.id, shown.index_id)
            except NotFound:
                index = None
    working = next((one for one in maps if one.state in UNFINISHED), None)
    return Desk(collection, progress, maps, shown, working, index, version), problems
