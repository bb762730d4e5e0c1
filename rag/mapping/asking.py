"""What a question finds, on the map: the hits and where they lie, and beside them what k and the threshold cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from psycopg import Connection

from rag.mapping.placing import place_vectors
from rag.records import Hit
from rag.retrieval.profiles import MAX_K, RetrievalProfile
from rag.retrieval.reranking import Rerankers
from rag.retrieval.retrieving import OpenConnection, retrieve
from rag.retrieval.search import Vector

if TYPE_CHECKING:
    from rag.mapping.maps import CorpusMap

State = Literal["in", "below_threshold", "beyond_k"]

#: How many hits are looked at for a k below each of these, so that there is something to see beyond k.
_WIDTHS = (100, 200, MAX_K)
#: Up to here a search by words looks equally deep for every k.
_SAME_DEPTH = 200


class Point(NamedTuple):
    """Where a chunk lies on a map: the number of its point, map units, and its leaf cluster (-1: in none)."""

    place: int
    x: int
    y: int
    leaf: int


@dataclass(frozen=True, slots=True)
class MapHit:
    """One retrieved chunk, its fate under the profile, and its point.

    ``position`` is its place in the order before anything is cut off, from 1; ``rank`` is what a search calls it, None
    where it is cut off. ``lacking`` is how much similarity misses to the threshold; None where it misses nothing or
    the chunk has no similarity. ``point`` is None for a chunk that is not on the map yet.
    """

    hit: Hit
    state: State
    position: int
    rank: int | None
    lacking: float | None
    point: Point | None

    @property
    def similarity(self) -> float | None:
        """Cosine to the question; None without a vector."""
        return self.hit.similarity

    @property
    def place(self) -> int | None:
        """The number of its point."""
        return self.point.place if self.point else None

    @property
    def x(self) -> int | None:
        """In map units."""
        return self.point.x if self.point else None

    @property
    def y(self) -> int | None:
        """In map units."""
        return self.point.y if self.point else None


@dataclass(frozen=True, slots=True)
class Asked:
    """``star`` is where the question itself would lie, None without its vector; ``hits`` come in their order."""

    star: tuple[float, float] | None
    hits: list[MapHit]

    @property
    def returned(self) -> list[MapHit]:
        """What the search returns under the profile: just as :func:`rag.retrieval.retrieving.retrieve` would."""
        return [hit for hit in self.hits if hit.state == "in"]


def ask_map(
    open_conn: OpenConnection,
    map_: CorpusMap,
    question: str,
    vector: Vector | None,
    profile: RetrievalProfile,
    *,
    star: tuple[float, float] | None = None,
    rerankers: Rerankers | None = None,
) -> Asked:
    """Search the map's index once, further than ``profile`` goes, and say of each hit whether the profile keeps it.

    ``vector`` is the question under the model of the map's index; only a search by words goes without, and then no
    threshold counts. ``star`` is :func:`place_question` of an earlier run. Raises what ``retrieve`` does.
    """
    hits = search_wide(open_conn, map_, question, vector, profile, rerankers)
    with open_conn() as conn:
        points = find_points(conn, map_.id, [hit.chunk_id for hit in hits])
        if star is None and vector is not None:
            star = place_question(conn, map_.id, vector)
    return Asked(star, cut(hits, points, profile, similarities=vector is not None))


def search_wide(
    open_conn: OpenConnection,
    map_: CorpusMap,
    question: str,
    vector: Vector | None,
    profile: RetrievalProfile,
    rerankers: Rerankers | None = None,
) -> list[Hit]:
    """The hits under ``profile`` without its threshold, the first k of them as a search gives them, and some beyond."""

    def ask(k: int) -> list[Hit]:
        bare = replace(profile, k=k, threshold=None)
        return retrieve(
            open_conn, map_.collection_id, question, vector, bare, index_id=map_.index_id, rerankers=rerankers
        )

    width = next((width for width in _WIDTHS if profile.k < width), MAX_K)
    wide = ask(width)
    if profile.mode != "dense" and (width <= _SAME_DEPTH or profile.k > _SAME_DEPTH):
        return wide
    # A graph of vectors that is asked for more may find others, and deeper legs know more of each: then the k are asked
    # for by themselves.
    first = ask(profile.k)
    known = {hit.chunk_id for hit in first}
    return first if len(first) < profile.k else [*first, *(hit for hit in wide if hit.chunk_id not in known)]


def cut(
    hits: Sequence[Hit], points: Mapping[int, Point], profile: RetrievalProfile, *, similarities: bool
) -> list[MapHit]:
    """What ``profile`` makes of these: first the cut at k, then the threshold, as ``search_chunks()`` does it."""
    least = np.float32(profile.threshold) if similarities and profile.threshold is not None else None
    found, rank = [], 0
    for position, hit in enumerate(hits, 1):
        lacking, reaches = _compare(hit.similarity, least)
        state: State = "beyond_k" if position > profile.k else "in" if reaches else "below_threshold"
        rank += state == "in"
        number = rank if state == "in" else None
        found.append(MapHit(hit, state, position, number, lacking, points.get(hit.chunk_id)))
    return found


def _compare(similarity: float | None, least: np.float32 | None) -> tuple[float | None, bool]:
    """What is missing to the threshold, and whether it is reached; the database compares single precision."""
    if least is None:
        return None, True
    if similarity is None:
        return None, False
    reaches = bool(np.float32(similarity) >= least)
    return None if reaches else float(least - np.float32(similarity)), reaches


def place_question(conn: Connection[Any], map_id: int, vector: Vector) -> tuple[float, float] | None:
    """Where the question lies among its nearest neighbours, in map units; None on a map without points."""
    wanted = vector.to_numpy() if hasattr(vector, "to_numpy") else np.asarray(vector)
    placed = place_vectors(conn, map_id, np.asarray(wanted, np.float32)[None, :])
    x, y = (float(value) for value in placed[0])
    return (x, y) if np.isfinite(x) and np.isfinite(y) else None


def find_points(conn: Connection[Any], map_id: int, chunk_ids: Sequence[int]) -> dict[int, Point]:
    """The points of these chunks, of those that are on the map."""
    rows = conn.execute(
        "select chunk_id, place, x, y, leaf from public.map_points where map_id = %s and chunk_id = any (%s)",
        [map_id, list(chunk_ids)],
    )
    return {row[0]: Point(*row[1:]) for row in rows}
