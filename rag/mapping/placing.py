"""Where something belongs that has no point: among the points whose texts are nearest to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import Connection

from rag.errors import InvalidInput, NotFound

#: Points that decide about the place of another one.
VOTERS = 15


def place_vectors(conn: Connection[Any], map_id: int, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, 2] in map units: where these vectors would lie, one question to the database each.

    ``conn`` is of somebody who may look at the map. NaN on a map without points. :class:`NotFound` where there is no
    such map for them, :class:`InvalidInput` for vectors of another model.
    """
    placed = np.full((len(vectors), 2), np.nan, np.float32)
    for number, vector in enumerate(vectors):
        found = _nearest(conn, map_id, vector)
        if found:
            rows = np.array(found, np.float32)
            placed[number] = middle(rows[:, :2], rows[:, 2])
    return placed


def middle(points: NDArray[np.float32], similarities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The place for something with these similarities to these points ([k, 2], best first)."""
    weights = np.maximum(similarities - similarities.min(), 1e-6) ** 2
    return np.asarray((points * weights[:, None]).sum(0) / weights.sum(), np.float32)


def _nearest(conn: Connection[Any], map_id: int, vector: NDArray[np.float32]) -> list[tuple[Any, ...]]:
    try:
        return conn.execute(
            "select n.x, n.y, n.similarity from public.nearest_points(%s, %b, %s) n",
            [map_id, HalfVector(vector), VOTERS],
        ).fetchall()
    except psycopg.errors.NoDataFound as error:
        raise NotFound("That map is gone, or it isn't shared with you.") from error
    except psycopg.errors.DataException as error:
        raise InvalidInput(error.diag.message_primary) from error
