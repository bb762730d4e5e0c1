"""Asking on the map: what comes back is what a search returns, and what is cut off is said with its reason."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from psycopg import Connection

from rag.errors import NotFound
from rag.mapping.asking import Asked, ask_map, find_points, place_question
from rag.mapping.maps import CorpusMap
from rag.mapping.remembered_scores import RememberedScores
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.store.database import Database
from tests.integration.handmade_map import draw_map
from tests.integration.searchable import add_document
from tests.integration.test_retrieving import ByHash, Shelf


@pytest.fixture(scope="module")
def shelf(module_database: Database) -> Shelf:
    return Shelf(module_database, UUID("aaaaaaaa-0000-4000-8000-000000000001"))


@pytest.fixture(scope="module")
def drawn(shelf: Shelf) -> CorpusMap:
    return draw_map(shelf.database, shelf.collection, shelf.owner)


def ask(shelf: Shelf, drawn: CorpusMap, question: str, vector: list[float] | None, profile: RetrievalProfile) -> Asked:
    return ask_map(shelf.open, drawn, question, vector, profile, rerankers=lambda name: ByHash())


def any_profile(chance: random.Random) -> RetrievalProfile:
    return RetrievalProfile(
        mode=chance.choice(["dense", "lexical", "hybrid"]),
        k=chance.choice([1, 5, 10, 40, 99, 100, 150, 200, 300]),
        threshold=chance.choice([None, -0.3, 0.0, 0.4, 0.9]),
        fusion=chance.choice(["convex", "rrf"]),
        dense_weight=chance.choice([0.0, 0.3, 0.6, 1.0]),
        diversity=chance.choice([0.0, 0.0, 0.5, 1.0]),
        rerank=chance.choice([None, None, None, "by-hash"]),
        rerank_depth=chance.choice([5, 60]),
    )


@pytest.mark.parametrize("seed", range(40))
def test_what_comes_back_is_what_a_search_returns(shelf: Shelf, drawn: CorpusMap, seed: int) -> None:
    chance = random.Random(seed)
    profile, question = any_profile(chance), " ".join(f"w{chance.randrange(60)}" for _ in range(4))
    vector = [chance.gauss(0, 1) for _ in range(4)]
    found = ask(shelf, drawn, question, vector, profile).returned
    expected = shelf.ask(question, vector, profile)
    assert [(one.rank, one.hit.chunk_id) for one in found] == [(hit.rank, hit.chunk_id) for hit in expected]
    assert [replace(one.hit, rank=0) for one in found] == [replace(hit, rank=0) for hit in expected]


def test_hits_have_their_points_and_what_is_cut_off_its_reason(shelf: Shelf, drawn: CorpusMap) -> None:
    question, vector = shelf.question(), shelf.vector()
    profile = RetrievalProfile(k=8, threshold=0.3)
    asked = ask(shelf, drawn, question, vector, profile)
    assert [hit.position for hit in asked.hits] == list(range(1, len(asked.hits) + 1))
    assert len(asked.hits) == 100
    by_state = Counter(hit.state for hit in asked.hits)
    assert by_state["beyond_k"] == 92
    assert by_state["in"] + by_state["below_threshold"] == 8
    assert all(hit.rank is None for hit in asked.hits if hit.state != "in")
    for hit in asked.hits[:8]:
        assert hit.similarity is not None
        assert (hit.state == "in") == (hit.similarity >= np.float32(0.3))
        if hit.state == "below_threshold":
            assert hit.lacking == pytest.approx(0.3 - hit.similarity, abs=1e-6)
    with shelf.open() as conn:
        rows = conn.execute("select chunk_id, place, x, y, leaf from public.map_points where map_id = %s", [drawn.id])
        points = {row[0]: tuple(row[1:]) for row in rows}
    assert all(hit.point is not None and tuple(hit.point) == points[hit.hit.chunk_id] for hit in asked.hits)


def test_a_threshold_never_counts_without_a_vector(shelf: Shelf, drawn: CorpusMap) -> None:
    profile = RetrievalProfile(mode="lexical", k=5, threshold=0.99)
    asked = ask(shelf, drawn, "w0 w1", None, profile)
    assert [hit.hit.chunk_id for hit in asked.returned] == [h.chunk_id for h in shelf.ask("w0 w1", None, profile)]
    assert len(asked.returned) == 5
    assert asked.star is None


def test_a_chunk_without_a_vector_is_below_any_threshold(shelf: Shelf, drawn: CorpusMap) -> None:
    add_document(shelf.database, shelf.collection, ["quokka quokka"], name="late.txt", language=None)
    profile = RetrievalProfile(k=3, threshold=-1.0)
    (first, *_) = ask(shelf, drawn, "quokka", [1.0, 0, 0, 0], profile).hits
    assert (first.hit.text, first.state, first.similarity, first.lacking) == (
        "quokka quokka",
        "below_threshold",
        None,
        None,
    )
    assert first.point is None


def test_the_star_lies_among_the_nearest_points(shelf: Shelf, drawn: CorpusMap) -> None:
    with shelf.open() as conn:
        row = conn.execute(
            "select p.x, p.y, e.embedding from public.map_points p join public.embeddings e using (chunk_id)"
            " where p.map_id = %s order by p.place limit 1",
            [drawn.id],
        ).fetchone()
        assert row is not None
        near = conn.execute("select x, y from public.nearest_points(%s, %s, 15)", [drawn.id, row[2]]).fetchall()
    asked = ask(shelf, drawn, "w1", row[2].to_list(), RetrievalProfile())
    assert asked.star is not None
    for axis in (0, 1):
        values = [point[axis] for point in near]
        assert min(values) <= asked.star[axis] <= max(values)
    kept = ask_map(shelf.open, drawn, "w1", row[2].to_list(), RetrievalProfile(), star=(1.0, 2.0))
    assert kept.star == (1.0, 2.0)


def test_a_map_without_points_has_no_star(database: Database, alice: UUID) -> None:
    shelf = Shelf(database, alice)
    with shelf.open() as conn:
        chunks = [row[0] for row in conn.execute("select id from public.chunks")]
    bare = draw_map(database, shelf.collection, alice, without=chunks)
    with shelf.open() as conn:
        assert place_question(conn, bare.id, [1.0, 0, 0, 0]) is None
    asked = ask_map(shelf.open, bare, "w1", [1.0, 0, 0, 0], RetrievalProfile(k=3))
    assert asked.star is None
    assert len(asked.returned) == 3
    assert all(hit.point is None for hit in asked.hits)


def test_a_stranger_gets_no_hit_no_point_and_no_star(shelf: Shelf, drawn: CorpusMap, bob: UUID) -> None:
    def as_bob() -> AbstractContextManager[Connection[Any]]:
        return shelf.database.as_user(bob)

    hits = ask(shelf, drawn, "w1", [1.0, 0, 0, 0], RetrievalProfile()).hits
    with pytest.raises(NotFound):
        ask_map(as_bob, drawn, "w1", [1.0, 0, 0, 0], RetrievalProfile())
    with as_bob() as conn:
        assert find_points(conn, drawn.id, [hit.hit.chunk_id for hit in hits]) == {}
    with pytest.raises(NotFound), as_bob() as conn:
        place_question(conn, drawn.id, [1.0, 0, 0, 0])


class Counting(ByHash):
    def __init__(self) -> None:
        self.read: Counter[str] = Counter()

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        self.read.update(passages)
        return super().score(question, passages)


def test_a_reranker_reads_each_passage_once_for_a_question(shelf: Shelf, drawn: CorpusMap) -> None:
    reranker = Counting()
    remembered = RememberedScores(lambda name: reranker)
    vector = shelf.vector()
    for k, threshold in ((3, None), (3, 0.5), (30, None), (120, 0.1)):
        profile = RetrievalProfile(k=k, threshold=threshold, rerank="by-hash", rerank_depth=20)
        asked = ask_map(shelf.open, drawn, "w1 w2", vector, profile, rerankers=remembered)
        expected = retrieve(shelf.open, shelf.collection, "w1 w2", vector, profile, rerankers=lambda name: ByHash())
        assert [hit.hit.chunk_id for hit in asked.returned] == [hit.chunk_id for hit in expected]
    assert set(reranker.read.values()) == {1}
    read = reranker.read.total()
    ask_map(shelf.open, drawn, "w3", vector, RetrievalProfile(rerank="by-hash", rerank_depth=20), rerankers=remembered)
    assert reranker.read.total() == read + 20
