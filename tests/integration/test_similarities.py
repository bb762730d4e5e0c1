"""The histogram of a question's similarity to everything: the same counts as by hand, and nothing for strangers."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import numpy as np
import pytest

from rag.errors import InvalidInput, NotFound
from rag.retrieval.scopes import Piece, make_scope
from rag.retrieval.similarities import Histogram, count_similarities
from rag.store.database import Database, connect
from tests.integration.library import DIMENSIONS, Library

QUESTION = "the warranty of the pump"


@pytest.fixture
def library(database: Database, alice: UUID) -> Library:
    words = ["warranty", "pump", "lake", "swim", "the", "of", "and", "water", "duck"]
    rng = np.random.default_rng(3)
    return Library(database, alice, {f"{n}.txt": " ".join(rng.choice(words, 12)) for n in range(60)})


def cosines(database: Database, vector: np.ndarray) -> list[float]:
    half = np.asarray(vector, np.float16).astype(float)
    with connect(database.owner_dsn) as conn:
        rows = conn.execute("select embedding::text from public.embeddings where not excluded").fetchall()
    found = [np.array([float(x) for x in row[0].strip("[]").split(",")]) for row in rows]
    return [float(one @ half / np.linalg.norm(one) / np.linalg.norm(half)) for one in found]


def test_counts_are_those_of_a_scan_by_hand(database: Database, library: Library, alice: UUID) -> None:
    vector = library.embedder.embed_question(QUESTION)
    with database.as_user(alice) as conn:
        histogram = count_similarities(conn, library.collection, vector)
        (one, *_) = conn.execute("select document_id, start_char, end_char from chunks order by id").fetchall()
        scope = make_scope(conn, library.collection, None, [Piece(*one)])
        assert count_similarities(conn, library.collection, vector, scope=scope).total == 1
    wanted = Counter(int(np.floor(100 * similarity + 100 + 1e-9)) for similarity in cosines(database, vector))
    assert {n: count for n, count in enumerate(histogram.counts) if count} == dict(wanted)
    assert histogram.total == 60


def test_what_is_left_out_of_search_is_not_counted(database: Database, library: Library, alice: UUID) -> None:
    with connect(database.owner_dsn) as conn, conn.transaction():
        conn.execute(
            "update public.embeddings set excluded = true where chunk_id in"
            " (select chunk_id from public.embeddings order by chunk_id limit 7)"
        )
    with database.as_user(alice) as conn:
        vector = library.embedder.embed_question(QUESTION)
        assert count_similarities(conn, library.collection, vector).total == 53


def test_identical_opposite_and_empty_vectors_have_their_place(database: Database, alice: UUID) -> None:
    library = Library(database, alice, {"one.txt": "duck", "none.txt": "!!!"})
    vector = library.embedder.embed_question("duck")
    with database.as_user(alice) as conn:
        assert count_similarities(conn, library.collection, vector).counts[199] == 1
        assert count_similarities(conn, library.collection, -vector).counts[0] == 1
        assert count_similarities(conn, library.collection, vector).total == 1


def test_strangers_and_wrong_vectors_are_refused(database: Database, library: Library, alice: UUID, bob: UUID) -> None:
    vector = library.embedder.embed_question(QUESTION)
    with pytest.raises(NotFound), database.as_user(bob) as conn:
        count_similarities(conn, library.collection, vector)
    with pytest.raises(InvalidInput, match="dimensions"), database.as_user(alice) as conn:
        count_similarities(conn, library.collection, vector[: DIMENSIONS - 1])


def test_an_index_of_another_collection_is_none_of_this_one(
    database: Database, library: Library, alice: UUID, bob: UUID
) -> None:
    other = Library(database, bob, {"secret.txt": "the warranty of the pump"})
    vector = library.embedder.embed_question(QUESTION)
    with connect(database.owner_dsn) as conn:
        row = conn.execute(
            "select active_index_id from public.collections where id = %s", [other.collection]
        ).fetchone()
    assert row is not None
    with pytest.raises(NotFound), database.as_user(alice) as conn:
        count_similarities(conn, library.collection, vector, row[0])


def test_how_many_are_at_least_so_similar() -> None:
    counts = [0] * 200
    counts[135], counts[128], counts[199] = 3, 5, 1
    histogram = Histogram(tuple(counts))
    assert histogram.at_least(0.35) == 4
    assert histogram.at_least(0.28) == 9
    assert histogram.at_least(0.29) == 4
    assert histogram.at_least(-1) == histogram.total == 9
    assert histogram.at_least(1) == 0
