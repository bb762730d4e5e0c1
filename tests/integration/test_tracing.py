"""“Why isn't it here?”: a document is lost at each stage in turn, and exactly that stage is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from rag.corpus.collections import create_collection
from rag.corpus.marks import exclude_span
from rag.errors import InvalidInput, NotFound
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.retrieval.scopes import Piece, make_scope
from rag.retrieval.search import search
from rag.retrieval.trace_records import TITLES
from rag.retrieval.trace_rows import trace_dense, trace_lexical
from rag.retrieval.tracing import apply_fix
from rag.store.database import Database
from tests.integration.searchable import active_index, add_document
from tests.integration.traceable import QUESTION, VECTOR, Corpus, outcomes

WING = "The boundary layer separates from the wing."
NEAR, MIDDLE, FAR = [1.0, 0.0, 0.0, 0.0], [0.6, 0.8, 0.0, 0.0], [0.1, 0.99, 0.0, 0.0]


@pytest.fixture
def trace(database: Database, alice: UUID, corpus: UUID) -> Corpus:
    return Corpus(database, alice, corpus)


def test_what_is_there_is_lost_nowhere(trace: Corpus) -> None:
    document, ids = trace.add("wing.txt", WING, vectors=[NEAR])
    trace.fill(2)
    found = trace.why(document)
    assert (found.lost_at, found.rank) == (None, 1)
    assert set(outcomes(found).values()) == {"passed"}
    assert found.headline == "It is there: number 1 of the results."
    assert (found.target.chunk_id, found.target.text) == (ids[0], WING)
    assert [stage.name for stage in found.stages] == [name for name in TITLES if name not in ("filtered", "scoped")]
    assert not found.advice


def test_a_file_that_cannot_be_read_says_its_reason(trace: Corpus, database: Database) -> None:
    with database.as_owner() as conn:
        row = conn.execute(
            "insert into documents (collection_id, name, size, sha256, stage, error, error_hint)"
            " values (%s, 'scan.pdf', 1, sha256('x'), 'failed', 'No text was found in this file.', 'Run OCR on it.')"
            " returning id",
            [trace.collection],
        ).fetchone()
    assert row is not None
    trace.add("wing.txt", WING, vectors=[NEAR])
    lost = trace.why(row[0])
    assert lost.lost_at == "parsed"
    assert "No text was found in this file." in lost.stage("parsed").words
    assert lost.advice[0].words == "Run OCR on it."
    assert outcomes(lost)["uploaded"] == "passed"
    assert outcomes(lost)["k"] == "unknown"
    nowhere = trace.why(phrase="a sentence that only the scan has")
    assert nowhere.lost_at == "parsed"
    assert "1 of 2 have no text yet" in nowhere.stage("parsed").words
    assert "scan.pdf" in nowhere.advice[0].words


@pytest.mark.parametrize(
    ("stage", "paused", "said"),
    [("cancelled", False, "cancelled"), ("parsing", True, "paused"), ("stored", False, "waits for a worker")],
)
def test_what_waits_to_be_read_is_said_to(
    trace: Corpus, database: Database, stage: str, paused: bool, said: str
) -> None:
    with database.as_owner() as conn:
        row = conn.execute(
            "insert into documents (collection_id, name, size, sha256, stage, paused)"
            " values (%s, 'x.pdf', 1, sha256('x'), %s, %s) returning id",
            [trace.collection, stage, paused],
        ).fetchone()
    assert row is not None
    lost = trace.why(row[0])
    assert lost.lost_at == "parsed"
    assert said in lost.stage("parsed").words
    assert lost.advice[0].place is not None


def test_a_phrase_that_is_not_in_the_text(trace: Corpus) -> None:
    document, _ = trace.add("wing.txt", WING, vectors=[NEAR])
    lost = trace.why(document, "an entirely different sentence about pumps")
    assert lost.lost_at == "parsed"
    assert outcomes(lost) == outcomes(lost) | {"uploaded": "passed", "chunked": "unknown", "k": "unknown"}
    assert trace.why(phrase="an entirely different sentence about pumps").lost_at == "parsed"


@pytest.mark.parametrize(
    ("text", "phrase", "said"),
    [
        (WING, "boundary layer separates", "as it stands"),
        ("The bound-\nary   layer “separates” here.", 'the boundary LAYER "separates"', "hyphenation"),
        ("The layer isn’t thick.", "layer isn't thick", "quotation marks differ"),
        ("The ﬁrst layer.", "first layer", "forms of letters differ"),
        ("The boundary layer seperates from the wing.", "boundary layer separates from the wing", "Only approximately"),
    ],
)
def test_a_phrase_is_found_however_it_is_written(trace: Corpus, text: str, phrase: str, said: str) -> None:
    trace.add("wing.txt", text, vectors=[NEAR])
    found = trace.why(phrase=phrase)
    assert found.lost_at is None
    assert said in found.stage("parsed").words


def test_a_phrase_split_across_two_chunks(trace: Corpus) -> None:
    text = WING + " It thickens along the plate, as everybody knows who has seen it."
    _, ids = trace.add("wing.txt", text, spans=[(0, 53), (54, len(text))], vectors=[NEAR, FAR])
    trace.fill(1, vector=MIDDLE)
    lost = trace.why(phrase="thickens along the plate", k=1)
    assert lost.lost_at == "chunked"
    assert "split across chunks 1 and 2" in lost.stage("chunked").words
    assert lost.stage("chunked").figures["holding"] == [1, 2]
    assert lost.target.chunk_id == ids[1]
    assert outcomes(lost)["excluded"] == "would_pass"
    assert outcomes(lost)["k"] == "would_lose"
    whole = trace.why(phrase="thickens along the plate", k=10)
    assert (whole.lost_at, whole.rank) == (None, 3)


def test_what_is_left_out_of_search(trace: Corpus, database: Database, alice: UUID) -> None:
    document, _ = trace.add("wing.txt", WING, vectors=[NEAR])
    trace.fill(3)
    with database.as_user(alice) as conn:
        exclude_span(conn, document, 0, len(WING))
    for mode in ("dense", "lexical", "hybrid"):
        lost = trace.why(document, mode=mode)
        assert lost.lost_at == "excluded"
        assert lost.advice[0].place is not None
        assert (lost.advice[0].place.document_id, lost.advice[0].place.end) == (document, len(WING))
        assert outcomes(lost)["k"] == "would_pass"
        assert lost.stage("fusion").figures["rank"] == 1
    assert trace.why(document, threshold=0.99).stage("threshold").outcome == "would_pass"


def test_what_has_no_vector_yet(trace: Corpus) -> None:
    document, _ = trace.add("wing.txt", WING)
    trace.fill(3)
    lost = trace.why(document, mode="dense")
    assert lost.lost_at == "embedded"
    assert "no vector of tiny" in lost.stage("embedded").words
    assert outcomes(lost)["exact"] == "unknown"
    assert [advice.checked for advice in lost.advice if advice.fix] == [True]
    assert trace.why(document, mode="lexical", vector=None).lost_at is None
    assert trace.why(document).lost_at is None


def test_another_persons_document_is_no_different_from_none(trace: Corpus, database: Database, bob: UUID) -> None:
    trace.add("wing.txt", WING, vectors=[NEAR])
    with database.as_user(bob) as conn:
        other = create_collection(conn, "Bob's")
    theirs, _ = Corpus(database, bob, other).add("secret.txt", "The launch code is 7431-PWNED.", vectors=[NEAR])
    lost, none = trace.why(theirs), trace.why(uuid4())
    assert lost.lost_at == "visible"
    assert lost == none
    assert "No document that you may see" in lost.headline
    by_phrase, invented = trace.why(phrase="The launch code is 7431-PWNED"), trace.why(phrase="The lunch code is 9999")
    assert by_phrase.lost_at == invented.lost_at == "parsed"
    assert by_phrase.stages == invented.stages
    with pytest.raises(NotFound):
        trace.why(theirs, user=bob)
    with pytest.raises(NotFound):
        Corpus(database, trace.user, other).why(theirs)


def test_a_document_of_another_collection_that_one_sees(trace: Corpus, database: Database, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        other = create_collection(conn, "Other")
    document, _ = Corpus(database, alice, other).add("wing.txt", WING, vectors=[NEAR])
    lost = trace.why(document)
    assert lost.lost_at == "uploaded"
    assert "another collection" in lost.headline


def test_what_is_not_among_the_chosen_documents(trace: Corpus) -> None:
    document, _ = trace.add("wing.txt", WING, vectors=[NEAR])
    other, _ = trace.add("lake.txt", "Ducks.", vectors=[FAR])
    assert trace.why(document, documents=[other]).lost_at == "filtered"
    assert trace.why(document, documents=[document]).lost_at is None


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_what_is_not_in_the_selection(trace: Corpus, database: Database, mode: str) -> None:
    halves = [(0, len(WING)), (len(WING), 2 * len(WING))]
    document, ids = trace.add("wing.txt", WING * 2, spans=halves, vectors=[NEAR, MIDDLE])
    other, _ = trace.add("lake.txt", "Ducks.", vectors=[FAR])
    with database.as_user(trace.user) as conn:
        elsewhere = make_scope(conn, trace.collection, None, [Piece(other, 0, 10_000)])
        second = make_scope(conn, trace.collection, None, [Piece(document, *halves[1])])
    lost = trace.why(document, scope=elsewhere, mode=mode)
    assert lost.lost_at == "scoped"
    assert "kept to 1 passage of 1 document" in lost.headline
    assert set(outcomes(lost).values()) <= {"passed", "lost", "would_pass", "would_lose"}
    # Of its chunks the one that the selection has is followed.
    found = trace.why(document, scope=second, mode=mode)
    assert (found.lost_at, found.target.chunk_id) == (None, ids[1])
    assert outcomes(found)["scoped"] == "passed"


def test_too_far_for_any_search(trace: Corpus, database: Database) -> None:
    document, _ = trace.add("far.txt", "Ducks on the lake.", vectors=[[-1.0, 0.0, 0.0, 0.0]])
    add_document(database, trace.collection, [f"cat {n}" for n in range(1001)], name="many", vectors=[MIDDLE] * 1001)
    lost = trace.why(document, mode="dense")
    assert lost.lost_at == "exact"
    assert lost.stage("exact").figures["rank"] == 1002
    hybrid = trace.why(document)
    assert hybrid.lost_at == "exact"
    assert "passes on its best 200" in hybrid.headline
    assert outcomes(hybrid)["lexical"] == "would_lose"


def test_a_miss_of_the_vector_index_is_said_to_be_one(database: Database, trace: Corpus) -> None:
    """With ef_search 1 the graph often finds a neighbour instead; another question is asked until it does."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(1500, 4))
    owners, ids = [], []
    for part in range(30):
        some = vectors[part * 50 : part * 50 + 50].tolist()
        document, chunks = add_document(database, trace.collection, ["x"] * 50, name=f"{part}.txt", vectors=some)
        owners += [document] * 50
        ids += chunks
    with database.as_owner() as conn:
        conn.execute(
            "create index embeddings_hnsw_1 on embeddings using hnsw"
            " ((embedding::extensions.halfvec(4)) extensions.halfvec_cosine_ops) with (m = 2, ef_construction = 4)"
            " where model_id = 1"
        )
        conn.execute("analyze embeddings")
    missed = None
    for question in rng.normal(size=(200, 4)):
        unit = question / np.linalg.norm(question)
        best = int(np.argmax((vectors / np.linalg.norm(vectors, axis=1)[:, None]) @ unit))
        with database.as_user(trace.user) as conn:
            profile = RetrievalProfile(mode="dense", k=1, ef_search=1)
            facts = trace_dense(conn, active_index(conn, trace.collection), unit, profile, None, ids[best])
            hits = search(conn, trace.collection, "x", unit, profile)
        assert facts.by_graph
        if facts.leg_rank is None and facts.exact_rank == 1 and hits[0].document_id != owners[best]:
            missed = best, unit.tolist()
            break
    assert missed is not None
    lost = trace.why(owners[missed[0]], vector=missed[1], mode="dense", k=1, ef_search=1)
    assert lost.target.chunk_id == ids[missed[0]]
    assert lost.lost_at == "hnsw"
    assert "The index missed it: number 1 exactly" in lost.headline
    assert outcomes(lost)["exact"] == "passed"
    better = lost.advice[0].fix
    assert better is not None
    assert better["ef_search"] > 1
    assert lost.advice[0].checked


def test_small_collections_are_searched_exactly(trace: Corpus) -> None:
    document, _ = trace.add("wing.txt", WING, vectors=[NEAR])
    assert "Searched exactly" in trace.why(document).stage("hnsw").words


def test_no_word_of_the_question(trace: Corpus) -> None:
    document, _ = trace.add("lake.txt", "Ducks eat elm leaves near the stone.", vectors=[MIDDLE])
    trace.add("wing.txt", WING, vectors=[NEAR])
    add_document(trace.database, trace.collection, ["Die Grenzschicht."], name="de", language="de", vectors=[FAR])
    lost = trace.why(document, question="the boundary of xylophones", mode="lexical")
    assert lost.lost_at == "lexical"
    assert lost.stage("lexical").figures == lost.stage("lexical").figures | {
        "matched": [],
        "missing": ["boundary"],
        "unknown": ["xylophones"],
        "stop words": ["the", "of"],
    }
    assert any(advice.fix == {"mode": "hybrid"} and advice.checked for advice in lost.advice)
    assert trace.why(document, question="the boundary of xylophones").lost_at is None


def test_below_the_threshold(trace: Corpus) -> None:
    document, _ = trace.add("wing.txt", WING, vectors=[MIDDLE])
    lost = trace.why(document, threshold=0.75)
    assert lost.lost_at == "threshold"
    assert lost.stage("threshold").figures["margin"] == pytest.approx(-0.15, abs=1e-3)
    assert lost.advice[0].fix is not None
    assert lost.advice[0].fix["threshold"] <= 0.6
    assert lost.advice[0].checked
    assert outcomes(lost)["k"] == "would_pass"


def test_beaten_by_diversity(trace: Corpus) -> None:
    trace.add("first.txt", "Alpha text.", vectors=[[0.9, 0.436, 0.0, 0.0]])
    document, _ = trace.add("twin.txt", "Beta text.", vectors=[[0.89, 0.456, 0.0, 0.0]])
    trace.add("other.txt", "Gamma text.", vectors=[[0.7, -0.714, 0.0, 0.0]])
    trace.add("last.txt", "Delta text.", vectors=[FAR])
    assert trace.why(document, mode="dense", k=2).lost_at is None
    lost = trace.why(document, mode="dense", k=2, diversity=0.8)
    assert lost.lost_at == "diversity"
    assert "first.txt" in lost.stage("diversity").words
    assert all(advice.checked for advice in lost.advice)
    assert {key for advice in lost.advice for key in advice.fix or {}} == {"k", "diversity"}


class Shortest:
    """A reranker that prefers short passages."""

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        return [-float(len(passage)) for passage in passages]


def test_lost_by_the_reranker(trace: Corpus) -> None:
    document, _ = trace.add("wing.txt", WING, vectors=[NEAR])
    trace.fill(4, vector=FAR)
    settings: dict[str, Any] = {"mode": "dense", "rerank": "shortest", "rerankers": lambda name: Shortest()}
    lost = trace.why(document, k=2, **settings)
    assert lost.lost_at == "rerank"
    assert lost.stage("rerank").figures == {"before": 1, "after": 5, "score": -float(len(WING)), "depth": 50}
    assert all(advice.checked for advice in lost.advice)
    assert trace.why(document, k=5, **settings).rank == 5
    far, _ = trace.add("far.txt", "Ha.", vectors=[[0.0, 0.0, 1.0, 0.0]])
    beyond = trace.why(far, k=2, rerank_depth=3, **settings)
    assert beyond.lost_at == "rerank"
    assert beyond.advice[0].fix == {"rerank_depth": 6}
    assert beyond.advice[0].checked


def test_beyond_k(trace: Corpus) -> None:
    trace.fill(5, text="The boundary layer, a boundary layer", vector=NEAR)
    document, _ = trace.add("wing.txt", "A layer on the boundary of something very long indeed.", vectors=[MIDDLE])
    for mode in ("dense", "lexical", "hybrid"):
        lost = trace.why(document, mode=mode, k=3)
        assert lost.lost_at == "k", mode
        assert lost.advice[0].fix == {"k": 6}
        assert lost.advice[0].checked


def test_fusion_is_named_where_one_leg_alone_would_have_found_it(trace: Corpus) -> None:
    document, _ = trace.add("near.txt", "Ducks.", vectors=[NEAR])
    trace.fill(3, text="boundary layer", vector=[0.9, 0.436, 0.0, 0.0])
    lost = trace.why(document, k=1)
    assert lost.lost_at == "fusion"
    assert {"k": 4} in [advice.fix for advice in lost.advice]
    assert all(advice.checked for advice in lost.advice)


def test_two_losses_have_a_cure_together(trace: Corpus) -> None:
    trace.fill(5, text="boundary layer", vector=NEAR)
    document, _ = trace.add("wing.txt", "A layer.", vectors=[MIDDLE])
    lost = trace.why(document, mode="dense", k=3, threshold=0.8)
    assert lost.lost_at == "threshold"
    assert outcomes(lost)["k"] == "would_lose"
    assert not lost.advice[0].checked
    assert lost.cure is not None
    assert lost.cure.fix == {"threshold": 0.59, "k": 6} or lost.cure.fix == {"threshold": 0.6, "k": 6}
    cured = apply_fix(RetrievalProfile(mode="dense", k=3, threshold=0.8), lost.cure.fix)
    assert trace.why(document, **cured.to_json()).lost_at is None


@pytest.mark.parametrize(
    "settings", [{"mode": "dense"}, {"mode": "lexical"}, {}, {"fusion": "rrf"}, {"k": 300}], ids=str
)
def test_ranks_are_those_of_the_search(trace: Corpus, database: Database, settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 30, 8)) for _ in range(300)]
    add_document(database, trace.collection, texts, language=None, vectors=rng.normal(size=(300, 4)).tolist())
    profile = RetrievalProfile(**settings)
    with database.as_user(trace.user) as conn:
        home = active_index(conn, trace.collection)
        hits: list[Hit] = search(conn, trace.collection, "w1 w2 w3", VECTOR, profile)
        assert hits
        for hit in hits[:: max(1, len(hits) // 10)]:
            dense = trace_dense(conn, home, VECTOR, profile, None, hit.chunk_id)
            assert dense.similarity == pytest.approx(hit.similarity, abs=1e-6)
            depth = 200 if profile.k <= 200 else 1000
            lexical = trace_lexical(conn, home, "w1 w2 w3", None, depth, hit.chunk_id)
            if profile.mode != "lexical":
                assert dense.leg_rank == hit.dense_rank
                assert hit.dense_rank is None or dense.exact_rank == hit.dense_rank
            if profile.mode != "dense":
                assert lexical.rank == hit.lexical_rank
                assert lexical.score == pytest.approx(hit.lexical) if hit.lexical else lexical.rank is None


PROFILES: list[dict[str, Any]] = [
    {"mode": "dense", "k": 4, "threshold": 0.5},
    {"mode": "lexical", "k": 4},
    {"k": 4},
    {"k": 4, "fusion": "rrf", "threshold": 0.2},
    {"k": 4, "diversity": 0.6},
    {"mode": "dense", "k": 4, "diversity": 0.6},
    {"k": 4, "rerank": "shortest", "rerank_depth": 12},
    {"mode": "dense", "k": 4, "rerank": "shortest", "rerank_depth": 12, "diversity": 0.5, "threshold": 0.0},
]


def test_an_explanation_agrees_with_the_search_and_accounts_for_every_loss(trace: Corpus, database: Database) -> None:
    rng = np.random.default_rng(4)
    documents = []
    for number in range(20):
        text = " ".join(f"w{n}" for n in rng.integers(0, 12, int(rng.integers(3, 12))))
        vectors = None if number % 7 == 0 else [rng.normal(size=4).tolist()]
        documents.append(trace.add(f"{number}.txt", text, vectors=vectors)[0])
    with database.as_user(trace.user) as conn:
        exclude_span(conn, documents[3], 0, 6)

    def rerankers(name: str) -> Shortest:
        return Shortest()

    lost = set()
    for settings in PROFILES:
        hits = retrieve(
            lambda: database.as_user(trace.user),
            trace.collection,
            "w1 w2",
            VECTOR,
            RetrievalProfile(**settings),
            rerankers=rerankers,
        )
        ranks = {hit.document_id: hit.rank for hit in hits}
        for document in documents[:8]:
            found = trace.why(document, question="w1 w2", rerankers=rerankers, **settings)
            assert found.rank == ranks.get(document)
            assert (found.lost_at is None) == (document in ranks)
            assert not any("No stage accounts" in stage.words for stage in found.stages)
            lost.add(found.lost_at)
    assert {None, "excluded", "embedded", "threshold", "k"} <= lost


def test_what_cannot_be_asked_is_said_in_words(trace: Corpus, bob: UUID) -> None:
    document, _ = trace.add("wing.txt", WING, vectors=[NEAR])
    with pytest.raises(InvalidInput, match="Choose a document, or paste a phrase"):
        trace.why(phrase="  ")
    with pytest.raises(InvalidInput, match="letters or digits"):
        trace.why(phrase="…!")
    with pytest.raises(InvalidInput, match="has 2 dimensions"):
        trace.why(document, vector=[1.0, 0.0])
    with pytest.raises(NotFound):
        trace.why(document, user=bob)
    assert trace.why(document, question=QUESTION).question == QUESTION
