"""The jobs of maps: make one, and place on one what came since. In a worker; what computes is a process of its own.

A map that was interrupted is begun anew.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rag.errors import DatabaseError, NotFound
from rag.evaluation.errand import Errand, ErrandEnded
from rag.mapping.cluster_keeping import store_tree
from rag.mapping.cluster_labels import label_clusters
from rag.mapping.map_rows import (
    MapRequest,
    add_points,
    begin_map,
    fail_map,
    find_placing,
    finish_map,
    note_left_out,
    note_progress,
    note_waiting,
    read_page,
    read_points,
    save_leaves,
    save_points,
)
from rag.mapping.mapmaker import Clustered, Event, Layout, MapMaker, Measured, Progress
from rag.mapping.neighbours import unit
from rag.mapping.placing import Voters
from rag.work.leases import LeaseLost

log = logging.getLogger(__name__)

_NOTED_EVERY_S: Final = 1.0
#: New chunks that one job places; a later one places the next.
PLACED_AT_ONCE: Final = 20_000


@dataclass(frozen=True)
class MapErrand(Errand):
    """One job's tools, and what computes maps."""

    maker: MapMaker


def make_map(errand: MapErrand, map_id: int, *, noted_every_s: float = _NOTED_EVERY_S) -> None:
    """Make a map. Nothing to do when it is over already.

    Failures end in its row, in words; what is raised all the same, :meth:`Errand.ending_in_words` says.
    """
    with errand.database.as_worker() as conn:
        request = begin_map(conn, map_id)
    if request is None:
        return
    with errand.ending_in_words("The map", map_id, note_waiting, fail_map):
        try:
            _Making(errand, request, noted_every_s).go()
        except BaseException:
            errand.maker.stop()
            raise


class _Making:
    """One attempt at one map."""

    def __init__(self, errand: MapErrand, request: MapRequest, noted_every_s: float) -> None:
        self.errand = errand
        self.request = request
        self.noted_every_s = noted_every_s
        self.noted_at = self.began = time.perf_counter()
        self.progress = Progress("reading", 0, request.embedded)
        self.chunks = np.empty(0, np.int64)
        self.lacks: list[str] = []
        self.timings: dict[str, Any] = {}
        self.trust: float | None = None

    def go(self) -> None:
        self.errand.maker.start()
        self.chunks = self._read()
        self.timings["reading"] = time.perf_counter() - self.began
        settings = self.request.settings
        for event in self.errand.maker.make(
            neighbours=int(settings["neighbours"]), min_dist=float(settings["min_dist"]), seed=self.request.seed
        ):
            self._hear(event)
        self.timings["whole"] = time.perf_counter() - self.began
        with self.errand.database.as_worker() as conn:
            finish_map(conn, self.request.id, self.trust, _rounded(self.timings), " ".join(self.lacks) or None)

    def _read(self) -> NDArray[np.int64]:
        """Hand all vectors over, and keep whose they are."""
        found: list[NDArray[np.int64]] = []
        last = None
        while True:
            with self.errand.database.as_worker() as conn:
                page = read_page(conn, self.request.index_id, last)
            if page is None:
                break
            last = page.last
            found.append(page.chunks)
            self.errand.maker.feed(page.vectors)
            self._note(Progress("reading", sum(map(len, found)), self.request.embedded))
        if not found:
            raise NotFound(
                "Nothing of this index has a vector, so there is nothing to draw.",
                hint="Wait until its documents are embedded, then make the map again.",
            )
        return np.concatenate(found)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Layout):
            self._keep(event)
        elif isinstance(event, Clustered):
            self._cluster(event)
        elif isinstance(event, Measured):
            self.timings["measuring"] = event.seconds
            if event.trust is not None:
                self.trust = event.trust.value
                self.timings["trust_rows"] = event.trust.rows
        self._note(event if isinstance(event, Progress) else self.progress)

    def _keep(self, layout: Layout) -> None:
        """Save the points: from here on there is something to see."""
        self.errand.check()
        self.timings |= layout.timings
        before = time.perf_counter()
        with self.errand.database.as_worker() as conn:
            save_points(conn, self.request, self.chunks, layout.xy)
        now = time.perf_counter()
        self.timings |= {"saving": now - before, "first_picture": now - self.began}
        self.progress = Progress("clusters", 0, 0)

    def _cluster(self, clustered: Clustered) -> None:
        self.errand.check()
        self.timings["clusters"] = clustered.seconds
        self.progress = Progress("labels", 0, 0)
        if clustered.tree is None:
            self.lacks.append("Its clusters could not be made; the worker's log has the details.")
            return
        with self.errand.database.as_worker() as conn:
            store_tree(conn, self.request.id, clustered.tree)
            save_leaves(conn, self.request.id, clustered.tree.leaf)
        before = time.perf_counter()
        try:
            label_clusters(
                self.errand.database, self.request.id, clustered.tree, self.chunks, lambda: self._note(self.progress)
            )
        except (DatabaseError, ErrandEnded, LeaseLost):
            raise
        except Exception:
            log.exception("The clusters of map %d go without labels.", self.request.id)
            self.lacks.append("Its clusters could not be named; the worker's log has the details.")
        self.timings["labels"] = time.perf_counter() - before

    def _note(self, progress: Progress) -> None:
        """Look whether to go on, and write now and then how far it is."""
        self.errand.check()
        turned, self.progress = progress.phase != self.progress.phase, progress
        now = time.perf_counter()
        if turned or now - self.noted_at >= self.noted_every_s:
            self.noted_at = now
            with self.errand.database.as_worker() as conn:
                note_progress(conn, self.request.id, progress.phase, progress.done, progress.total)


def place_new(errand: MapErrand, map_id: int) -> None:
    """Put chunks that came since on a map, each among those that are nearest to it. Nothing else moves."""
    with errand.database.as_worker() as conn:
        found = find_placing(conn, map_id)
        page = read_page(conn, found.index_id, None, missing_on=map_id) if found else None
    if found is None:
        return
    pages, count = [], 0
    while page is not None:
        pages.append(page)
        count += len(page.chunks)
        if count >= PLACED_AT_ONCE:
            break
        errand.check()
        with errand.database.as_worker() as conn:
            page = read_page(conn, found.index_id, page.last, missing_on=map_id)
    if not pages:
        return
    chunks = np.concatenate([page.chunks for page in pages])
    voters = Voters(unit(np.concatenate([page.vectors for page in pages])))
    after = -1
    while True:
        errand.check()
        with errand.database.as_worker() as conn:
            points = read_points(conn, map_id, after)
        if points is None:
            break
        after = int(points.places[-1])
        voters.hear(unit(points.vectors), points.xy, points.leaves)
    errand.check()
    with errand.database.as_worker() as conn:
        if voters.silent:
            note_left_out(conn, map_id)
            return
        added = add_points(conn, map_id, chunks, *voters.decide())
    log.info("Placed %d new chunks on map %d.", added, map_id)


def _rounded(timings: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in timings.items()}
