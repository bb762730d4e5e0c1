"""What both legs of a search find for a question, once, with all that any profile's order is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector

from rag.errors import InvalidInput, NotFound
from rag.retrieval.search import Vector

#: How many chunks each leg gives: as many as a search looks at for any k up to this.
DEPTH = 200

_READ = """
    select chunk_id, document_id, start_char, end_char, similarity, lexical, dense_rank, lexical_rank, trust, embedding
    from corpuscope.search_candidates(%s, %s, %b::extensions.halfvec, %s, %s) order by chunk_id
"""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The chunks of one question that either leg found, by chunk id.

    ``similarity`` and ``lexical`` are NaN where there is none, ranks are 0 where that leg did not find the chunk.
    ``trust`` scales the weight of the cosine in convex fusion. ``vectors`` [chunks, dimensions], float16, has rows of
    NaN for chunks without a vector.
    """

    chunk_ids: NDArray[np.int64]
    documents: list[UUID]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    similarity: NDArray[np.float32]
    lexical: NDArray[np.float32]
    dense_rank: NDArray[np.int64]
    lexical_rank: NDArray[np.int64]
    trust: float
    vectors: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.chunk_ids)


def read_candidates(
    conn: psycopg.Connection[Any],
    collection_id: UUID,
    question: str,
    vector: Vector,
    *,
    ef_search: int = 200,
    index_id: int | None = None,
) -> Candidates:
    """Ask both legs, to the depth :data:`DEPTH`, as :func:`rag.retrieval.search.search` asks them.

    Raises :class:`InvalidInput` for a vector of another model, :class:`NotFound` without access.
    """
    half = vector if isinstance(vector, HalfVector) else HalfVector(np.asarray(vector, np.float32))
    try:
        rows = conn.execute(_READ, (collection_id, question, half, ef_search, index_id), binary=True).fetchall()
    except psycopg.errors.NoDataFound as error:
        raise NotFound(error.diag.message_primary) from error
    except psycopg.errors.RaiseException as error:
        raise InvalidInput(error.diag.message_primary) from error
    columns = list(zip(*rows, strict=True)) or [()] * 10
    return Candidates(
        chunk_ids=np.array(columns[0], np.int64),
        documents=list(columns[1]),
        starts=np.array(columns[2], np.int64),
        ends=np.array(columns[3], np.int64),
        similarity=_floats(columns[4]),
        lexical=_floats(columns[5]),
        dense_rank=_ranks(columns[6]),
        lexical_rank=_ranks(columns[7]),
        trust=float(columns[8][0]) if rows else 1.0,
        vectors=_vectors(columns[9]),
    )


def _floats(column: tuple[Any, ...]) -> NDArray[np.float32]:
    return np.array([np.nan if value is None else value for value in column], np.float32)


def _ranks(column: tuple[Any, ...]) -> NDArray[np.int64]:
    return np.array([value or 0 for value in column], np.int64)


def _vectors(column: tuple[Any, ...]) -> NDArray[np.float16]:
    known = [value.to_numpy() for value in column if value is not None]
    width = len(known[0]) if known else 0
    found = np.full((len(column), width), np.nan, np.float16)
    if known:
        found[[value is not None for value in column]] = known
    return found
