"""search_chunks() through rag.retrieval.search: modes, fusion, filters, rights, what k and a threshold never do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest

from rag.errors import InvalidInput, NotFound
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import mark_matches, neighbours, question_lexemes, search
from rag.store.database import Database
from tests.integration.searchable import add_document, embed_chunks

TEXTS = [
    "The boundary layer separates from the wing.",
    "Cats and dogs play in the garden.",
    "Heat transfer in a laminar boundary layer.",
    "The garden has a boundary of stone.",
]
VECTORS: list[list[float]] = [[1, 0, 0, 0], [0, 1, 0, 0], [0.8, 0.6, 0, 0], [0, 0.6, 0.8, 0]]
QUESTION = "Boundary layers?"
VECTOR = [1.0, 0, 0, 0]


def ask(
    database: Database,
    user: UUID,
    collection: UUID,
    question: str = QUESTION,
    vector: Sequence[float] | None = VECTOR,
    documents: list[UUID] | None = None,
    **settings: Any,
) -> list[Hit]:
    with database.as_user(user) as conn:
        return search(conn, collection, question, vector, RetrievalProfile(**settings), documents)


def test_a_hit_says_all_of_itself(database: Database, corpus: UUID, alice: UUID) -> None:
    document, ids = add_document(database, corpus, TEXTS, vectors=VECTORS)
    hit = ask(database, alice, corpus)[0]
    assert (hit.rank, hit.chunk_id, hit.document_id, hit.document) == (1, ids[0], document, "a.txt")
    assert (hit.start, hit.end, hit.text_revision, hit.page, hit.heading_path) == (100, 150, 1, None, [])
    assert (hit.text, hit.title) == (TEXTS[0], None)
    assert hit.similarity == pytest.approx(1, abs=1e-3)
    assert (hit.dense_rank, hit.lexical_rank) == (1, 1)
    assert set(hit.matched) == {"boundari", "layer"}


def test_convex_fusion_by_hand(database: Database, corpus: UUID, alice: UUID) -> None:
    _, ids = add_document(database, corpus, TEXTS, vectors=VECTORS)
    hits = {hit.chunk_id: hit for hit in ask(database, alice, corpus, dense_weight=0.7)}
    best = max(hit.lexical or 0 for hit in hits.values())
    assert len(hits) == 4
    for chunk, vector in zip(ids, VECTORS, strict=True):
        hit = hits[chunk]
        assert hit.similarity == pytest.approx(vector[0], abs=1e-3)
        assert hit.score == pytest.approx(0.7 * vector[0] + 0.3 * (hit.lexical or 0) / best, abs=1e-3)
    assert hits[ids[1]].lexical is None


def test_reciprocal_rank_fusion_by_hand(database: Database, corpus: UUID, alice: UUID) -> None:
    add_document(database, corpus, TEXTS, vectors=VECTORS)
    for hit in ask(database, alice, corpus, fusion="rrf", rrf_k=10):
        expected = sum(1 / (10 + rank) for rank in (hit.dense_rank, hit.lexical_rank) if rank is not None)
        assert hit.score == pytest.approx(expected, abs=1e-6)


def test_modes_use_their_leg_only(database: Database, corpus: UUID, alice: UUID) -> None:
    _, ids = add_document(database, corpus, TEXTS, vectors=VECTORS)
    dense = ask(database, alice, corpus, "garden", mode="dense")
    assert [hit.chunk_id for hit in dense[:2]] == [ids[0], ids[2]]
    assert {hit.lexical for hit in dense} == {None}
    lexical = ask(database, alice, corpus, "garden", mode="lexical")
    assert {hit.chunk_id for hit in lexical} == {ids[1], ids[3]}
    assert [hit.score for hit in lexical] == [hit.lexical for hit in lexical]
    assert {hit.dense_rank for hit in lexical} == {None}
    assert all(hit.similarity is not None for hit in lexical)
    without = ask(database, alice, corpus, "garden", None, mode="lexical", threshold=0.9)
    assert [hit.chunk_id for hit in without] == [hit.chunk_id for hit in lexical]
    assert {hit.similarity for hit in without} == {None}


def test_hybrid_is_dense_where_no_word_is_known(database: Database, corpus: UUID, alice: UUID) -> None:
    add_document(database, corpus, TEXTS, vectors=VECTORS)
    hybrid = ask(database, alice, corpus, "xylophone")
    assert [hit.chunk_id for hit in hybrid] == [hit.chunk_id for hit in ask(database, alice, corpus, mode="dense")]


def test_hybrid_follows_words_where_all_vectors_are_alike(database: Database, corpus: UUID, alice: UUID) -> None:
    """As with a model that doesn't know the language."""
    vectors = [[1.0, 0.01 * n, 0.0, 0.0] for n in range(4)]
    _, ids = add_document(database, corpus, TEXTS, vectors=vectors)
    assert ask(database, alice, corpus, "garden of stone")[0].chunk_id == ids[3]


@pytest.mark.parametrize(("informed", "least", "most"), [(True, 0.99, 1.0), (False, 0.3, 0.7)])
def test_a_model_that_disagrees_with_the_words_loses_weight(
    database: Database, corpus: UUID, alice: UUID, informed: bool, least: float, most: float
) -> None:
    """Chunks have one of 60 topics, each with words of its own; vectors follow the topics or chance."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(60, 4))
    topics = rng.integers(0, 60, 300)
    vectors = centres[topics] + rng.normal(scale=0.01, size=(300, 4)) if informed else rng.normal(size=(300, 4))
    texts = [f"topic{topic} theme{topic} word{n} other{n % 7}" for n, topic in enumerate(topics)]
    add_document(database, corpus, texts, language=None, vectors=vectors.tolist())
    hits = ask(database, alice, corpus, "topic1 theme1", vectors[list(topics).index(1)].tolist(), dense_weight=1)
    with database.as_owner() as conn:
        row = conn.execute("select trust, chunks from corpuscope.index_agreement").fetchone()
    assert row is not None
    assert least <= row[0] <= most
    assert row[1] == 300
    best = max(hit.lexical or 0 for hit in hits)
    assert hits[0].score == pytest.approx(
        row[0] * (hits[0].similarity or 0) + (1 - row[0]) * (hits[0].lexical or 0) / best, abs=1e-2
    )


def test_chunks_without_a_vector_are_found_by_their_words(database: Database, corpus: UUID, alice: UUID) -> None:
    _, ids = add_document(database, corpus, TEXTS)
    embed_chunks(database, ids[:1], VECTORS[:1])
    hits = {hit.chunk_id: hit for hit in ask(database, alice, corpus)}
    assert hits[ids[2]].similarity is None
    assert ids[1] not in hits


def test_excluded_chunks_never_appear(database: Database, corpus: UUID, alice: UUID) -> None:
    document, ids = add_document(database, corpus, TEXTS, vectors=VECTORS)
    with database.as_user(alice) as conn:
        conn.execute(
            "insert into span_marks (document_id, collection_id, start_char, end_char, kind)"
            " values (%s, %s, 100, 150, 'exclusion')",
            [document, corpus],
        )
    for mode in ("dense", "lexical", "hybrid"):
        found = [hit.chunk_id for hit in ask(database, alice, corpus, mode=mode)]
        assert ids[0] not in found
        assert ids[2] in found


def test_documents_can_be_chosen(database: Database, corpus: UUID, alice: UUID) -> None:
    add_document(database, corpus, TEXTS, vectors=VECTORS)
    chosen, ids = add_document(database, corpus, TEXTS, name="b.txt", vectors=VECTORS)
    for mode in ("dense", "lexical", "hybrid"):
        hits = ask(database, alice, corpus, documents=[chosen], mode=mode)
        assert hits
        assert {hit.chunk_id for hit in hits} <= set(ids)
    assert ask(database, alice, corpus, documents=[]) == []
    assert ask(database, alice, corpus, documents=[uuid4()]) == []


def random_corpus(database: Database, corpus: UUID, seed: int, size: int = 600) -> random.Random:
    rng = random.Random(seed)
    words = [f"w{n}" for n in range(60)]
    for part in range(3):
        texts = [" ".join(rng.choices(words, weights=range(1, 61), k=12)) for _ in range(size // 3)]
        vectors = [[rng.gauss(0, 1) for _ in range(4)] for _ in texts]
        add_document(database, corpus, texts, name=f"{seed}-{part}.txt", language=None, vectors=vectors)
    return rng


@pytest.mark.parametrize("settings", [{"mode": "dense"}, {"mode": "lexical"}, {}, {"fusion": "rrf"}], ids=str)
def test_smaller_k_and_higher_thresholds_never_add_a_hit(
    database: Database, corpus: UUID, alice: UUID, settings: dict[str, Any]
) -> None:
    rng = random_corpus(database, corpus, 1)
    for _ in range(3):
        question = " ".join(f"w{rng.randrange(60)}" for _ in range(4))
        vector = [rng.gauss(0, 1) for _ in range(4)]
        found: dict[tuple[int, float], set[int]] = {}
        ks = (1, 2, 5, 10, 60, 199, 200, 201, 300, 500, 1000)
        thresholds = (-1.0, -0.2, 0.0, 0.3, 0.7, 0.95)
        for k in ks:
            for threshold in thresholds:
                hits = ask(database, alice, corpus, question, vector, k=k, threshold=threshold, **settings)
                assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
                found[k, threshold] = {hit.chunk_id for hit in hits}
        for k, threshold in found:
            for smaller in ks[: ks.index(k)]:
                assert found[smaller, threshold] <= found[k, threshold]
            for higher in thresholds[thresholds.index(threshold) + 1 :]:
                assert found[k, higher] <= found[k, threshold]


def test_the_graph_and_the_scan_agree(database: Database, corpus: UUID, alice: UUID) -> None:
    """With an HNSW index: k rows whatever the filter, and nearly the same ones."""
    rng = np.random.default_rng(3)
    owned = []
    for part, size in enumerate((100, 1100, 10000)):
        vectors = rng.normal(size=(size, 4)).tolist()
        texts = [f"word {n}" for n in range(size)]
        owned.append(add_document(database, corpus, texts, name=f"{part}", vectors=vectors)[0])
    with database.as_user(alice) as conn:
        before = [search_ids(conn, corpus, vector, owned[:n] if n else None) for n in range(4) for vector in QUERIES]
    with database.as_worker() as conn:
        assert conn.execute("select corpuscope.ensure_vector_index(id) from embedding_models").fetchone() == (True,)
    with database.as_owner() as conn:
        conn.execute("analyze embeddings")
    with database.as_user(alice) as conn:
        after = [search_ids(conn, corpus, vector, owned[:n] if n else None) for n in range(4) for vector in QUERIES]
    assert all(len(found) == 50 for found in [*before, *after])
    shared = [len(set(a) & set(b)) / 50 for a, b in zip(before, after, strict=True)]
    assert sum(shared) / len(shared) > 0.97


QUERIES = [[1.0, 0, 0, 0], [0.3, -0.5, 0.2, 0.9], [-1.0, -1, -1, 0.5]]


def search_ids(
    conn: psycopg.Connection[Any], corpus: UUID, vector: list[float], documents: list[UUID] | None
) -> list[int]:
    hits = search(conn, corpus, "x", vector, RetrievalProfile(mode="dense", k=50), documents)
    assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)  # type: ignore[type-var]
    return [hit.chunk_id for hit in hits]


def test_settings_of_the_graph_do_not_outlive_the_search(database: Database) -> None:
    with database.as_owner() as conn, conn.transaction():
        conn.execute("select '[1]'::extensions.halfvec")
        names = [
            "hnsw.ef_search",
            "enable_seqscan",
            "jit",
            "search_path",
            "hnsw.iterative_scan",
            "hnsw.max_scan_tuples",
        ]
        before = [conn.execute("select current_setting(%s, true)", [name]).fetchone() for name in names]
        conn.execute(
            "select * from corpuscope.nearest_by_graph(1, 1, '[1,2,3,4]'::extensions.halfvec, null, 5, 77, 30000)"
        )
        assert before == [conn.execute("select current_setting(%s, true)", [name]).fetchone() for name in names]


def test_what_cannot_be_searched_is_said_in_words(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    add_document(database, corpus, TEXTS, vectors=VECTORS)
    with pytest.raises(InvalidInput, match="A dense search needs the vector"):
        ask(database, alice, corpus, vector=None, mode="dense")
    with pytest.raises(InvalidInput, match="has 2 dimensions; tiny has 4"):
        ask(database, alice, corpus, vector=[1, 2])
    with pytest.raises(InvalidInput, match="Type a question"):
        ask(database, alice, corpus, " \x00 ")
    with pytest.raises(NotFound, match="does not exist, or you may not see it"):
        ask(database, bob, corpus)
    with pytest.raises(NotFound):
        ask(database, alice, uuid4())
    with pytest.raises(InvalidInput, match="no setting top"), database.as_user(alice) as conn:
        conn.execute("select * from search_chunks(%s, 'x', null, '{\"top\": 1}')", [corpus])
    with pytest.raises(InvalidInput, match="between 1 and 1,000"), database.as_user(alice) as conn:
        conn.execute("select * from search_chunks(%s, 'x', null, '{\"k\": 1001}')", [corpus])


def test_odd_questions_are_questions(database: Database, corpus: UUID, alice: UUID) -> None:
    add_document(database, corpus, TEXTS, vectors=VECTORS)
    for question in ("boundary\x00layer", "\ud800 boundary", "' or 1=1 --", "%s %(x)s {}", "a" * 8000, "… ?"):
        assert len(ask(database, alice, corpus, question)) == 4


def test_neighbours_come_in_order(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    _, ids = add_document(database, corpus, TEXTS, vectors=VECTORS)
    with database.as_user(alice) as conn:
        rows = neighbours(conn, ids[1])
        assert [row.id for row in rows] == ids[:3]
        assert [row.ordinal for row in rows] == [0, 1, 2]
        assert [row.id for row in neighbours(conn, ids[3], before=2, after=5)] == ids[1:]
    with pytest.raises(NotFound, match="changed or deleted"), database.as_user(bob) as conn:
        neighbours(conn, ids[1])


@pytest.mark.parametrize(
    ("text", "question", "language", "marked"),
    [
        ("Layers of the boundary; a layered cake", "boundary layer", "en", ["Layers", "boundary", "layered"]),
        ("Die Häuser am See", "Haus", "de", ["Häuser"]),
        ("这些书保存在旧图书馆里。图", "图书馆", "zh", ["图书馆"]),
        ("lift/drag-ratio", "drag", "en", ["drag"]),
        ("ﬁre and ＦＵＬＬ", "fire full", None, ["ﬁre", "ＦＵＬＬ"]),
        ("किताबें पुराने", "किताब", "hi", ["किताबें"]),
        ("ｶﾀｶﾅ語", "カタカナ", "ja", ["ｶﾀｶﾅ"]),
        ("nothing here", "boundary", "en", []),
    ],
)
def test_matched_words_are_marked(
    module_database: Database, alice: UUID, text: str, question: str, language: str | None, marked: list[str]
) -> None:
    with module_database.as_user(alice) as conn:
        spans = mark_matches(conn, text, question_lexemes(conn, question, [language]), language)
    assert [text[start:end] for start, end in spans] == marked
