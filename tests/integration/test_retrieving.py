"""retrieve(): diversity, reranking, another index; and over random profiles, what k and a threshold never do."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import UUID
from zlib import crc32

import numpy as np
import pytest
from psycopg import Connection

from rag.corpus.collections import create_collection
from rag.errors import InvalidInput, ModelError, NotFound
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.retrieval.search import DIVERSITY_POOL, diversify
from rag.store.database import Database
from tests.integration.searchable import add_document

DIMENSIONS = 4
PART = 150


class ByHash:
    """Scores that have nothing to do with the question."""

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        return [crc32(passage.encode()) / 2**32 for passage in passages]


class Shelf:
    """A collection of random chunks in four documents, shared by the tests of this module."""

    def __init__(self, database: Database, owner: UUID) -> None:
        self.database = database
        self.owner = owner
        with database.as_worker() as conn:
            conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
        with database.as_user(owner) as conn:
            self.collection = create_collection(conn, "Shelf")
        self.random = random.Random(4)
        self.documents = [self._add(part) for part in range(4)]

    def _add(self, part: int) -> UUID:
        words = [f"w{n}" for n in range(60)]
        texts = [" ".join(self.random.choices(words, weights=range(1, 61), k=12)) for _ in range(PART)]
        vectors = [self.vector() for _ in texts]
        return add_document(self.database, self.collection, texts, name=f"{part}.txt", language=None, vectors=vectors)[
            0
        ]

    def vector(self) -> list[float]:
        return [self.random.gauss(0, 1) for _ in range(DIMENSIONS)]

    def question(self) -> str:
        return " ".join(f"w{self.random.randrange(60)}" for _ in range(4))

    def open(self) -> AbstractContextManager[Connection[Any]]:
        return self.database.as_user(self.owner)

    def ask(
        self,
        question: str,
        vector: list[float] | None,
        profile: RetrievalProfile,
        documents: Sequence[UUID] | None = None,
    ) -> list[Hit]:
        return retrieve(
            self.open, self.collection, question, vector, profile, documents, rerankers=lambda name: ByHash()
        )

    def embeddings(self, ids: Sequence[int]) -> np.ndarray[Any, Any]:
        with self.open() as conn:
            rows = conn.execute(
                "select e.embedding from unnest(%s::bigint[]) with ordinality u (id, n)"
                " join embeddings e on e.chunk_id = u.id order by n",
                [list(ids)],
            ).fetchall()
        vectors = np.array([row[0].to_list() for row in rows])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def shelf(module_database: Database) -> Shelf:
    return Shelf(module_database, UUID("aaaaaaaa-0000-4000-8000-000000000001"))


def maximal_marginal_relevance(
    relevance: Sequence[float], vectors: np.ndarray[Any, Any], diversity: float, take: int
) -> list[int]:
    """The places of the first ``take``, as Carbonell and Goldstein wrote it down."""
    scores = np.array(relevance)
    scores = (scores - scores.min()) / (scores.max() - scores.min())
    taken: list[int] = []
    while len(taken) < take:
        nearest = np.max(vectors @ vectors[taken].T, axis=1).clip(min=0) if taken else np.zeros(len(scores))
        values = (1 - diversity) * scores - diversity * nearest
        values[taken] = -np.inf
        taken.append(int(np.argmax(values)))
    return taken


@pytest.mark.parametrize("settings", [{"mode": "dense"}, {}, {"fusion": "rrf"}, {"mode": "lexical"}], ids=str)
@pytest.mark.parametrize("diversity", [0.2, 0.6, 1.0])
def test_diversity_is_maximal_marginal_relevance(shelf: Shelf, settings: dict[str, Any], diversity: float) -> None:
    question, vector = shelf.question(), shelf.vector()
    plain = shelf.ask(question, vector, RetrievalProfile(k=100, **settings))
    assert [hit.fused_rank for hit in plain] == [hit.rank for hit in plain] == list(range(1, 101))
    pool = plain[:DIVERSITY_POOL]
    places = maximal_marginal_relevance(
        [hit.score for hit in pool], shelf.embeddings([hit.chunk_id for hit in pool]), diversity, 20
    )
    diverse = shelf.ask(question, vector, RetrievalProfile(k=20, diversity=diversity, **settings))
    assert [hit.fused_rank for hit in diverse] == [place + 1 for place in places]
    assert [hit.chunk_id for hit in diverse] == [pool[place].chunk_id for place in places]
    assert [hit.rank for hit in diverse] == list(range(1, 21))
    assert [(hit.score, hit.dense_rank, hit.lexical_rank) for hit in diverse] == [
        (pool[place].score, pool[place].dense_rank, pool[place].lexical_rank) for place in places
    ]
    assert places != list(range(20))


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_beyond_the_pool_the_fused_order_goes_on(shelf: Shelf, mode: Any) -> None:
    question, vector = shelf.question(), shelf.vector()
    ranks = [hit.fused_rank for hit in shelf.ask(question, vector, RetrievalProfile(mode=mode, k=100, diversity=0.5))]
    assert sorted(ranks[:DIVERSITY_POOL]) == list(range(1, DIVERSITY_POOL + 1))  # type: ignore[type-var]
    assert ranks[:DIVERSITY_POOL] != list(range(1, DIVERSITY_POOL + 1))
    assert ranks[DIVERSITY_POOL:] == list(range(DIVERSITY_POOL + 1, 101))


def test_diversity_passes_over_what_says_the_same(database: Database, corpus: UUID, alice: UUID) -> None:
    texts = ["one garden", "the same garden", "another garden", "a stone"]
    vectors = [[1.0, 0, 0, 0], [1.0, 0.01, 0, 0], [0.8, 0.6, 0, 0], [0.1, 0, 1, 0]]
    _, ids = add_document(database, corpus, texts, vectors=vectors)

    def ask(diversity: float) -> list[int]:
        profile = RetrievalProfile(mode="dense", k=2, diversity=diversity)
        found = retrieve(lambda: database.as_user(alice), corpus, "garden", [1.0, 0, 0, 0], profile)
        return [hit.chunk_id for hit in found]

    assert ask(0) == ids[:2]
    assert ask(0.6) == [ids[0], ids[3]]


def test_chunks_without_a_vector_are_like_nothing(database: Database, corpus: UUID, alice: UUID) -> None:
    _, ids = add_document(database, corpus, ["garden of stone", "garden wall", "garden"])
    with database.as_user(alice) as conn:
        assert diversify(conn, ids, [3, 2, 1], 0.7, 3) == [0, 1, 2]
        assert diversify(conn, [], [], 0.7, 3) == []
        assert diversify(conn, ids, [1, 1, 1], 1.0, 2) == [0, 1]


def test_vectors_of_strangers_tell_nothing(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    _, ids = add_document(
        database, corpus, ["a", "b", "c"], vectors=[[1, 0, 0, 0], [1, 0.01, 0, 0], [0, 1, 0, 0]], index=False
    )
    with database.as_user(alice) as conn:
        assert diversify(conn, ids, [3, 2, 1], 0.7, 3) == [0, 2, 1]
    with database.as_user(bob) as conn:
        assert diversify(conn, ids, [3, 2, 1], 0.7, 3) == [0, 1, 2]


def test_the_reranker_orders_the_first_and_leaves_the_rest(shelf: Shelf) -> None:
    question, vector = shelf.question(), shelf.vector()
    plain = shelf.ask(question, vector, RetrievalProfile(k=20))
    hits = shelf.ask(question, vector, RetrievalProfile(k=20, rerank="by hash", rerank_depth=12))
    assert [hit.rank for hit in hits] == list(range(1, 21))
    scores = [hit.rerank_score for hit in hits[:12]]
    assert scores == sorted(ByHash().score(question, [hit.text for hit in plain[:12]]), reverse=True)
    assert {hit.chunk_id for hit in hits[:12]} == {hit.chunk_id for hit in plain[:12]}
    assert [hit.chunk_id for hit in hits[12:]] == [hit.chunk_id for hit in plain[12:]]
    assert {hit.rerank_score for hit in hits[12:]} == {None}
    fused = {hit.chunk_id: (hit.rank, hit.score) for hit in plain}
    assert [(hit.fused_rank, hit.score) for hit in hits] == [fused[hit.chunk_id] for hit in hits]


def test_diversity_after_reranking_takes_the_rerankers_scores(shelf: Shelf) -> None:
    question, vector = shelf.question(), shelf.vector()
    profile = RetrievalProfile(k=64, rerank="by hash", rerank_depth=64)
    pool = shelf.ask(question, vector, profile)
    places = maximal_marginal_relevance(
        [hit.rerank_score or 0 for hit in pool], shelf.embeddings([hit.chunk_id for hit in pool]), 0.5, 15
    )
    diverse = shelf.ask(question, vector, profile.with_changes(k=15, diversity=0.5))
    assert [hit.chunk_id for hit in diverse] == [pool[place].chunk_id for place in places]


def test_reranking_holds_no_transaction(shelf: Shelf) -> None:
    open_now: list[int] = [0]

    @contextmanager
    def counted() -> Iterator[Connection[Any]]:
        with shelf.open() as conn:
            open_now[0] += 1
            yield conn
            open_now[0] -= 1

    class Watchful(ByHash):
        def score(self, question: str, passages: Sequence[str]) -> list[float]:
            assert open_now == [0]
            return super().score(question, passages)

    profile = RetrievalProfile(rerank="watchful", diversity=0.3)
    found = retrieve(counted, shelf.collection, "w1 w2", shelf.vector(), profile, rerankers=lambda name: Watchful())
    assert len(found) == 10


@pytest.mark.parametrize("rerank", [None, "by hash"])
def test_a_hit_exactly_at_the_threshold_stays(shelf: Shelf, rerank: str | None) -> None:
    vector = shelf.vector()
    profile = RetrievalProfile(mode="dense", k=20, rerank=rerank, rerank_depth=20)
    found = shelf.ask("w1 w2", vector, profile)
    assert len(found) == 20
    for hit in found:
        assert hit.similarity is not None
        at = shelf.ask("w1 w2", vector, profile.with_changes(threshold=hit.similarity))
        assert hit.chunk_id in {other.chunk_id for other in at}


def test_odd_questions_are_reranked(shelf: Shelf) -> None:
    class Strict(ByHash):
        def score(self, question: str, passages: Sequence[str]) -> list[float]:
            assert question.encode() == b"w1 w2"
            return super().score(question, passages)

    profile = RetrievalProfile(rerank="strict", mode="lexical")
    found = retrieve(shelf.open, shelf.collection, "\ud800w1\x00w2 ", None, profile, rerankers=lambda name: Strict())
    assert found
    assert {hit.similarity for hit in found} == {None}


def test_a_reranker_that_cannot_be_had_fails_the_search(shelf: Shelf) -> None:
    def missing(name: str) -> ByHash:
        raise ModelError(f"The reranker {name!r} is not a folder here.")

    with pytest.raises(ModelError, match="'gone' is not a folder here"):
        retrieve(shelf.open, shelf.collection, "w1", shelf.vector(), RetrievalProfile(rerank="gone"), rerankers=missing)


def test_another_index_of_the_collection_can_be_searched(
    database: Database, corpus: UUID, alice: UUID, bob: UUID
) -> None:
    _, old = add_document(database, corpus, ["the garden wall"], vectors=[[1, 0, 0, 0]])
    with database.as_owner() as conn:
        conn.execute("update indexes set state = 'ready' where collection_id = %s", [corpus])
        other = conn.execute(
            "insert into indexes (collection_id, model_id, chunking, state)"
            " select collection_id, model_id, '{}', 'active' from indexes where collection_id = %s returning id",
            [corpus],
        ).fetchone()
        assert other is not None
        before = conn.execute("select active_index_id from collections where id = %s", [corpus]).fetchone()
        assert before is not None
        conn.execute("update collections set active_index_id = %s where id = %s", [other[0], corpus])
    _, new = add_document(database, corpus, ["the garden", "the wall"], name="b.txt", vectors=[[1, 0, 0, 0]] * 2)

    def ask(index_id: int | None, mode: Any, user: UUID = alice) -> set[int]:
        profile = RetrievalProfile(mode=mode)
        vector = [1.0, 0, 0, 0]
        found = retrieve(lambda: database.as_user(user), corpus, "garden wall", vector, profile, index_id=index_id)
        return {hit.chunk_id for hit in found}

    for mode in ("dense", "lexical", "hybrid"):
        assert ask(None, mode) == ask(other[0], mode) == set(new)
        assert ask(before[0], mode) == set(old)
    with pytest.raises(NotFound):
        ask(before[0], "dense", bob)
    with pytest.raises(InvalidInput, match="has no index 999"):
        ask(999, "dense")
    with database.as_user(bob) as conn:
        theirs = create_collection(conn, "Bob's")
        row = conn.execute("select active_index_id from collections where id = %s", [theirs]).fetchone()
        assert row is not None
    with pytest.raises(InvalidInput, match="has no index"):
        ask(row[0], "dense")
    with database.as_owner() as conn:
        conn.execute("update indexes set state = 'retired' where id = %s", [before[0]])
    with pytest.raises(InvalidInput, match="or it was retired"):
        ask(before[0], "dense")


def random_profile(rng: random.Random) -> RetrievalProfile:
    return RetrievalProfile(
        mode=rng.choice(["dense", "lexical", "hybrid", "hybrid"]),
        fusion=rng.choice(["convex", "rrf"]),
        dense_weight=rng.choice([0, 0.3, 0.6, 1]),
        rrf_k=rng.choice([1, 60]),
        ef_search=rng.choice([10, 200]),
        diversity=rng.choice([0.0, 0.0, 0.2, 0.5, 1.0]),
        rerank=rng.choice([None, None, "by hash"]),
        rerank_depth=rng.choice([1, 7, 50, 120, 200]),
    )


@pytest.mark.parametrize("seed", range(30))
def test_a_higher_threshold_or_a_smaller_k_never_adds_a_hit(shelf: Shelf, seed: int) -> None:
    rng = random.Random(seed)
    profile = random_profile(rng)
    question = " ".join(f"w{rng.randrange(60)}" for _ in range(rng.randrange(1, 6)))
    vector = [rng.gauss(0, 1) for _ in range(DIMENSIONS)]
    documents = rng.choice([None, None, shelf.documents[:1], shelf.documents[1:]])
    ks = sorted({1, *rng.sample([2, 3, 5, 10, 50, 63, 64, 65, 100, 199, 200, 201, 350, 600], 4)})
    thresholds = [None, *sorted(rng.uniform(-1, 1) for _ in range(2))]
    found: dict[tuple[int, float], list[int]] = {}
    for k in ks:
        for threshold in thresholds:
            given = profile.with_changes(k=k, threshold=threshold)
            hits = shelf.ask(question, vector, given, documents)
            assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
            if threshold is not None:
                assert all(hit.similarity is not None and hit.similarity >= threshold - 1e-6 for hit in hits)
            found[k, -2.0 if threshold is None else threshold] = [hit.chunk_id for hit in hits]
    for (k, threshold), ids in found.items():
        for (wider, lower), more in found.items():
            if wider >= k and lower <= threshold:
                assert set(ids) <= set(more), (profile, documents, k, threshold, wider, lower)
                if lower == threshold:
                    assert ids == more[: len(ids)], (profile, documents, k, wider)
