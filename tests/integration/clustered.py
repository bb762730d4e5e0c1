"""A map of a few topics whose points lie where one wants them: for the tests of clusters and their labels."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np

from rag.corpus.collections import create_collection
from rag.mapping.cluster_keeping import store_tree
from rag.mapping.cluster_labels import label_clusters
from rag.mapping.cluster_rows import Cluster, list_clusters
from rag.mapping.cluster_tree import ClusterTree
from rag.mapping.clustering import cluster_points
from rag.mapping.map_rows import save_leaves
from rag.store.database import Database
from tests.integration.handmade_map import draw_map
from tests.integration.searchable import active_index, add_document
from tests.integration.topics import TEXTS, WORDS

DIMENSIONS = 8


class Clustered:
    """A collection with a document for each topic, a chunk for each of its passages, a map of it and its clusters."""

    def __init__(self, database: Database, user: UUID) -> None:
        self.database, self.user = database, user
        rng = np.random.default_rng(5)
        with database.as_worker() as conn:
            conn.execute("select corpuscope.register_model('local', 'tiny', %s, 64, '', '')", [DIMENSIONS])
        with database.as_user(user) as conn:
            self.collection = create_collection(conn, "Topics")
            self.index = active_index(conn, self.collection)
        self.chunks: dict[str, list[int]] = {}
        places = []
        for number, (topic, texts) in enumerate(TEXTS.items()):
            vectors = np.eye(DIMENSIONS)[number] + rng.normal(0, 0.02, (len(texts), DIMENSIONS))
            _, self.chunks[topic] = add_document(
                database,
                self.collection,
                texts,
                name=f"{topic}.txt",
                language=WORDS[topic][0],
                vectors=vectors.tolist(),
            )
            places.append(rng.normal((10_000 + 12_000 * (number % 4), 12_000 + 30_000 * (number // 4)), 700, (16, 2)))
        self.map_id = draw_map(database, self.collection, user).id
        self.xy = np.concatenate(places).round().astype(np.int32)
        self.tree = self._cluster()

    def _cluster(self) -> ClusterTree:
        tree = cluster_points(self.xy)
        self.do(
            "update public.map_points p set x = u.x, y = u.y"
            " from unnest(%s::int[], %s::int[]) with ordinality u (x, y, n)"
            " where p.map_id = %s and p.place = u.n - 1",
            self.xy[:, 0].tolist(),
            self.xy[:, 1].tolist(),
            self.map_id,
        )
        self.do("update public.maps set state = 'running' where id = %s", self.map_id)
        with self.database.as_worker() as conn:
            store_tree(conn, self.map_id, tree)
            save_leaves(conn, self.map_id, tree.leaf)
        self.do("update public.maps set state = 'done' where id = %s", self.map_id)
        ids = np.array([chunk for chunks in self.chunks.values() for chunk in chunks], np.int64)
        label_clusters(self.database, self.map_id, tree, ids)
        return tree

    def clusters(self, granularity: int = 5, user: UUID | None = None) -> list[Cluster]:
        with self.database.as_user(user or self.user) as conn:
            return list_clusters(conn, self.map_id, granularity)

    def cluster_of(self, topic: str) -> Cluster:
        """The leaf that most of a topic's passages are in."""
        first = list(TEXTS).index(topic) * 16
        leaves = self.tree.leaf[first : first + 16]
        leaf = int(np.bincount(leaves[leaves >= 0]).argmax())
        return next(one for one in self.clusters() if one.number == leaf)

    def share(self, user: UUID, role: str) -> None:
        with self.database.as_user(self.user) as conn:
            conn.execute(
                "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, %s)",
                [self.collection, user, role],
            )

    def do(self, statement: str, *values: Any) -> None:
        """As the owner of the tables."""
        with self.database.as_owner() as conn:
            conn.execute(statement.encode(), values)

    def value(self, query: str, *values: Any) -> Any:
        with self.database.as_owner() as conn:
            row = conn.execute(query.encode(), values).fetchone()
        assert row is not None
        return row[0]
