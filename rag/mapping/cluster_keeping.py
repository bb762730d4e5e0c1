"""Clusters as the worker keeps them. ``conn`` runs as the worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection

from rag.mapping.cluster_tree import ClusterTree
from rag.mapping.telling_sentences import Sample


@dataclass(frozen=True, slots=True)
class Described:
    """What is said of a cluster: ``words`` best first, ``label`` made of them, a sentence of ``chunk_id`` or ''."""

    words: list[str]
    label: str
    sentence: str = ""
    chunk_id: int | None = None


def store_tree(conn: Connection[Any], map_id: int, tree: ClusterTree) -> None:
    """Write the clusters of a map, without labels yet; what it had before goes."""
    conn.execute("delete from public.clusters where map_id = %s", [map_id])
    nodes = tree.nodes
    conn.execute(
        "insert into public.clusters (map_id, collection_id, cluster, parent, coarsest, finest, density, x, y, points)"
        " select m.id, m.collection_id, u.* from public.maps m cross join"
        " unnest(%b::int[], %b::int[], %b::int[], %b::int[], %b::real[], %b::int[], %b::int[], %b::int[]) u"
        " where m.id = %s",
        [
            [node.number for node in nodes],
            [node.parent for node in nodes],
            [node.coarsest for node in nodes],
            [node.finest for node in nodes],
            [node.density for node in nodes],
            [node.x for node in nodes],
            [node.y for node in nodes],
            [node.points for node in nodes],
            map_id,
        ],
    )


def read_samples(conn: Connection[Any], chunk_ids: Sequence[int]) -> dict[int, Sample]:
    """The texts and vectors of chunks, by their ids; chunks that are gone are missing."""
    rows = conn.cursor(binary=True).execute(
        "select c.id, c.text, c.language, c.excluded, e.embedding from public.chunks c"
        " join public.embeddings e on e.chunk_id = c.id where c.id = any (%b::bigint[])",
        [list(chunk_ids)],
    )
    return {
        chunk: Sample(chunk, text, language, excluded, vector.to_numpy().astype(np.float32))
        for chunk, text, language, excluded, vector in rows
    }


def store_labels(conn: Connection[Any], map_id: int, described: Mapping[int, Described]) -> None:
    """Write what is said of clusters, by their numbers; those of another tree are left alone."""
    for number, said in described.items():
        conn.execute(
            "update public.clusters c set words = %s, label = %s, chunk_id = k.id,"
            " sentence = case when k.id is null then '' else %s end"
            " from (select (select id from public.chunks where id = %s for key share) as id) k"
            " where c.map_id = %s and c.cluster = %s",
            [said.words, said.label, said.sentence, said.chunk_id, map_id, number],
        )
