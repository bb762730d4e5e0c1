"""A collection of made-up vectors in a few topics, and what the jobs of its maps work with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rag.corpus.collections import create_collection
from rag.mapping.map_job import MapErrand, make_map, place_new
from rag.mapping.mapmaker import MapMaker
from rag.mapping.maps import CorpusMap, MapSettings, read_map, request_map
from rag.settings import load_settings
from rag.store.database import Database
from rag.vectors.modelpool import ModelPool
from tests.integration.searchable import active_index, add_document

DIMENSIONS = 24
TOPICS = 4


class Mapped:
    """Alice's collection; every document is about one of :data:`TOPICS`, in turn."""

    def __init__(self, database: Database, user: UUID, maker: MapMaker | None = None) -> None:
        self.database, self.user, self.maker = database, user, maker
        self.rng = np.random.default_rng(11)
        self.topics = np.eye(TOPICS, DIMENSIONS)
        with database.as_worker() as conn:
            conn.execute("select corpuscope.register_model('local', 'tiny', %s, 64, '', '')", [DIMENSIONS])
        with database.as_user(user) as conn:
            self.collection = create_collection(conn, "Corpus")
            self.index = active_index(conn, self.collection)
        self.documents: list[UUID] = []

    def vectors(self, topic: int, count: int, noise: float = 0.08) -> NDArray[np.float64]:
        """Near the topic's own direction."""
        return np.asarray(self.topics[topic % TOPICS] + noise * self.rng.standard_normal((count, DIMENSIONS)))

    def add(self, count: int, *, documents: int = 1, vectors: NDArray[np.floating] | None = None) -> list[int]:
        """So many chunks in each of so many documents; their ids."""
        made: list[int] = []
        for _ in range(documents):
            number = len(self.documents)
            given = self.vectors(number, count) if vectors is None else vectors
            texts = [f"Chunk {place} of document {number}" for place in range(count)]
            document, ids = add_document(
                self.database, self.collection, texts, name=f"{number}.txt", vectors=given.tolist(), index=False
            )
            self.documents.append(document)
            made += ids
        return made

    def errand(self, still_ours: Callable[[], bool] = lambda: True) -> MapErrand:
        assert self.maker is not None
        settings = load_settings(env_file=None)
        return MapErrand(self.database, cast(ModelPool, None), settings, still_ours, self.maker)

    def request(self, **settings: Any) -> int:
        with self.database.as_user(self.user) as conn:
            return request_map(conn, self.collection, MapSettings(**settings))

    def read(self, map_id: int) -> CorpusMap:
        with self.database.as_user(self.user) as conn:
            return read_map(conn, map_id)

    def make(self, **settings: Any) -> CorpusMap:
        """A map, made."""
        number = self.request(**settings)
        make_map(self.errand(), number)
        return self.read(number)

    def place(self, map_id: int) -> CorpusMap:
        """The map after what came since was placed on it."""
        place_new(self.errand(), map_id)
        return self.read(map_id)

    def points(self, map_id: int) -> list[tuple[Any, ...]]:
        """(place, chunk, x, y, leaf, placed_later) of each point, as the person sees them."""
        with self.database.as_user(self.user) as conn:
            return conn.execute(
                "select place, chunk_id, x, y, leaf, placed_later from map_points where map_id = %s order by place",
                [map_id],
            ).fetchall()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the owner of the tables sees."""
        with self.database.as_owner() as conn:
            return conn.execute(query.encode(), values or None).fetchall()


def topic_spread(points: NDArray[np.floating], topics: NDArray[np.integer]) -> float:
    """How far points are from the middle of their topic, over how far those middles are from each other."""
    middles = np.stack([points[topics == topic].mean(0) for topic in range(TOPICS)])
    inside = np.linalg.norm(points - middles[topics], axis=1).mean()
    between = np.linalg.norm(middles[:, None] - middles[None], axis=2)[np.triu_indices(TOPICS, 1)].min()
    return float(inside / between)


def maker_in(folder: Path) -> MapMaker:
    return MapMaker(folder, kept_s=60)
