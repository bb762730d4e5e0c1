"""From a question to its hits under a profile: what the search page, chat, evaluation and the command line all call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import Vector, search

OpenConnection = Callable[[], AbstractContextManager[Connection[Any]]]


def retrieve(
    open_conn: OpenConnection,
    collection_id: UUID,
    question: str,
    vector: Vector | None,
    profile: RetrievalProfile,
    documents: Sequence[UUID] | None = None,
    index_id: int | None = None,
    rerankers: object = None,
) -> list[Hit]:
    """The best chunks for the question, best first. ``open_conn`` opens a transaction of whoever asks.

    ``vector`` is the question under the model of the index searched, ``index_id`` or else the collection's active one;
    only a lexical search goes without. ``documents`` restricts the hits to these.
    """
    with open_conn() as conn:
        return search(conn, collection_id, question, vector, profile, documents, index_id)
