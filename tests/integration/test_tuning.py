"""Better settings: what is simulated is what a search returns, and the job finds them, or says that there are none."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from rag.errors import DatabaseUnavailable, InvalidInput, NotAllowed, NotFound
from rag.evaluation.candidates import DEPTH, read_candidates
from rag.evaluation.question_sets import add_question, create_set
from rag.evaluation.simulating import rank
from rag.evaluation.tuning_job import tune
from rag.evaluation.tunings import Tuning, cancel_tuning, delete_tuning, list_tunings, read_tuning, start_tuning
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.retrieval.stored_profiles import save_profile
from rag.store.database import Database
from rag.work.evaluating import KINDS
from rag.work.leases import LeaseLost
from tests.integration.judged import Judged, vector_of
from tests.integration.searchable import add_document

WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "inlet",
    "juniper",
    "knoll",
    "lagoon",
    "meadow",
    "orchard",
]


@pytest.fixture
def judged(database: Database, alice: UUID) -> Judged:
    return Judged(database, alice)


def read(judged: Judged, number: int) -> Tuning:
    with judged.database.as_user(judged.user) as conn:
        return read_tuning(conn, number)


def start(judged: Judged, **options: Any) -> int:
    with judged.database.as_user(judged.user) as conn:
        return start_tuning(conn, judged.set_id, **options)


def fill(judged: Judged, seed: int = 0) -> None:
    """More chunks than a leg gives, a tenth of them the same as another one, some without any vector."""
    rng = np.random.default_rng(seed)
    for number in range(12):
        texts = [" ".join(rng.choice(WORDS, int(rng.integers(4, 12)))) for _ in range(30)]
        texts[3:6] = texts[:3]
        vectors = [vector_of(text).tolist() for text in texts]
        add_document(judged.database, judged.collection, texts, name=f"{number}.txt", vectors=vectors)
    add_document(judged.database, judged.collection, ["amber cedar", "fjord heron amber"], name="bare.txt")


def any_profile(rng: np.random.Generator) -> RetrievalProfile:
    return RetrievalProfile(
        mode=str(rng.choice(["hybrid", "hybrid", "hybrid", "dense", "lexical"])),  # type: ignore[arg-type]
        fusion=str(rng.choice(["convex", "rrf"])),  # type: ignore[arg-type]
        k=int(rng.choice([1, 5, 10, 63, 64, 65, 200])),
        threshold=None if rng.random() < 0.6 else round(float(rng.uniform(-1, 1)), 2),
        dense_weight=float(rng.choice([0.0, 0.35, 0.6, 1.0])),
        rrf_k=int(rng.choice([1, 10, 60, 1000])),
        diversity=float(rng.choice([0.0, 0.0, 0.1, 0.5, 0.9, 1.0])),
    )


def test_the_simulated_order_is_that_of_a_search(judged: Judged) -> None:
    fill(judged)
    rng = np.random.default_rng(7)
    for round_ in range(8):
        question = " ".join(rng.choice(WORDS, int(rng.integers(1, 5)))) if round_ else "nothing of the kind"
        vector = vector_of(question)
        with judged.database.as_user(judged.user) as conn:
            candidates = read_candidates(conn, judged.collection, question, vector, index_id=judged.index)
        assert DEPTH <= len(candidates) <= 2 * DEPTH
        for _ in range(25):
            profile = any_profile(rng)
            hits = retrieve(
                lambda: judged.database.as_user(judged.user),
                judged.collection,
                question,
                None if profile.mode == "lexical" else vector,
                profile,
            )
            found = candidates.chunk_ids[rank(candidates, profile)]
            assert found.tolist() == [hit.chunk_id for hit in hits], (question, profile)


def test_candidates_are_for_those_who_may_see_them(judged: Judged, bob: UUID) -> None:
    with pytest.raises(NotFound), judged.database.as_user(bob) as conn:
        read_candidates(conn, judged.collection, "amber", vector_of("amber"))
    with pytest.raises(InvalidInput, match="dimensions"), judged.database.as_user(judged.user) as conn:
        read_candidates(conn, judged.collection, "amber", np.ones(3, np.float32))


def test_a_question_that_finds_nothing_by_words_has_candidates_by_meaning(judged: Judged) -> None:
    with judged.database.as_user(judged.user) as conn:
        found = read_candidates(conn, judged.collection, "zzz", vector_of("zzz"))
    assert (found.lexical_rank == 0).all()
    assert np.isnan(found.lexical).all()
    assert sorted(found.dense_rank) == list(range(1, len(found) + 1))


class Misled(Judged):
    """Forty questions in which the words say nothing and the vectors all."""

    def __init__(self, database: Database, user: UUID, *, alike: bool = False) -> None:
        super().__init__(database, user)
        with database.as_user(user) as conn:
            self.set_id = create_set(conn, self.collection, "Misled")
        rng = np.random.default_rng(3)
        for number in range(40):
            question = f"Where do the {' '.join(rng.choice(WORDS, 3))} meet number {number}?"
            near = vector_of(question)
            texts = [question, "Far from here they do."]
            vectors = [(-near).tolist(), near.tolist()]
            document, _ = add_document(database, self.collection, texts[1:], name=f"{number}.md", vectors=vectors[1:])
            add_document(database, self.collection, texts[:1], name=f"{number}.bad", vectors=vectors[:1])
            with database.as_user(user) as conn:
                asked = add_question(conn, self.set_id, question)
            self.judge(asked, document, (100, 150))


def test_better_settings_are_found_and_promised(database: Database, alice: UUID) -> None:
    judged = Misled(database, alice)
    with database.as_user(alice) as conn:
        words = save_profile(conn, judged.collection, "Words", RetrievalProfile(mode="lexical", k=5, neighbours=1))
    number = start(judged, profile_id=words.id)
    tune(judged.errand(), number)
    tuning = read(judged, number)
    found = tuning.findings
    assert (tuning.state, tuning.asked, tuning.label) == ("done", 40, "Words v1")
    assert found is not None
    assert found.promised
    assert found.unit == "passage"
    assert found.gain is not None
    assert found.gain.low > 0.3
    assert found.candidate.mode != "lexical"
    assert (found.candidate.k, found.candidate.neighbours) == (5, 1)
    assert found.scores[1] > found.scores[0] + 0.3
    assert found.wins > 30
    assert found.latency is not None
    assert found.latency.searches == 60
    assert found.tried[0].profile == tuning.profile == words.profile
    assert len(found.folds) == 25
    assert {one.question_id for one in found.changed} <= {row[0] for row in judged.rows("select id from questions")}


def test_where_nothing_is_better_the_present_settings_stay(database: Database, alice: UUID) -> None:
    judged = Misled(database, alice)
    with database.as_user(alice) as conn:
        meaning = save_profile(conn, judged.collection, "Meaning", RetrievalProfile(mode="dense"))
    number = start(judged, profile_id=meaning.id, objective="recall")
    tune(judged.errand(), number)
    found = read(judged, number).findings
    assert found is not None
    assert not found.promised
    assert found.candidate == found.present == meaning.profile
    assert found.latency is None


def test_a_set_of_a_dozen_questions_is_refused(judged: Judged) -> None:
    number = start(judged)
    tune(judged.errand(), number)
    found = read(judged, number).findings
    assert found is not None
    assert (found.verdict, found.questions, found.gain) == ("few", 12, None)


def test_reading_needs_judged_passages(database: Database, alice: UUID) -> None:
    judged = Judged(database, alice)
    number = start(judged, objective="reading", budget=600)
    tune(judged.errand(), number)
    tuning = read(judged, number)
    assert (tuning.state, tuning.findings) == ("failed", None)
    assert "whole documents" in str(tuning.reason)


def test_a_profile_that_reranks_is_refused(judged: Judged) -> None:
    with judged.database.as_user(judged.user) as conn:
        stored = save_profile(conn, judged.collection, "Slow", RetrievalProfile(rerank="some/model"))
    with pytest.raises(InvalidInput, match="rerank"):
        start(judged, profile_id=stored.id)


def test_it_goes_through_the_queue_and_is_taken_up_again(judged: Judged) -> None:
    number = start(judged)
    assert judged.rows("select message from pgmq.q_evaluate") == [({"tuning": number},)]
    lives = itertools.count()
    with pytest.raises(LeaseLost):
        KINDS["tuning"].work(judged.errand(lambda: next(lives) < 3), number)
    assert read(judged, number).state == "running"
    KINDS["tuning"].work(judged.errand(), number)
    assert read(judged, number).state == "done"
    judged.embedder.before = lambda: pytest.fail("it is over")
    KINDS["tuning"].work(judged.errand(), number)


def test_a_cancelled_one_ends_and_stays_cancelled(judged: Judged) -> None:
    number = start(judged)

    def cancel() -> bool:
        with judged.database.as_user(judged.user) as conn:
            cancel_tuning(conn, number)
        return True

    tune(judged.errand(cancel), number, noted_every_s=0)
    assert read(judged, number).state == "cancelled"


def test_a_database_that_is_away_is_waited_for(judged: Judged) -> None:
    number = start(judged)

    def away() -> None:
        raise DatabaseUnavailable

    judged.embedder.before = away
    with pytest.raises(DatabaseUnavailable):
        tune(judged.errand(), number)
    assert read(judged, number).state == "running"


def test_what_is_lost_is_queued_again(judged: Judged) -> None:
    number = start(judged)
    with judged.database.as_owner() as conn:
        conn.execute("delete from pgmq.q_evaluate")
        conn.execute("update public.tunings set touched_at = now() - interval '3 minutes'")
        assert conn.execute("select corpuscope.requeue_evaluations()").fetchone() == (1,)
        assert conn.execute("select corpuscope.requeue_evaluations()").fetchone() == (0,)
    assert judged.rows("select message from pgmq.q_evaluate") == [({"tuning": number},)]


def test_only_editors_start_cancel_and_delete(judged: Judged, bob: UUID) -> None:
    number = start(judged)
    with pytest.raises(NotAllowed), judged.database.as_user(bob) as conn:
        start_tuning(conn, judged.set_id)
    with pytest.raises(NotFound), judged.database.as_user(bob) as conn:
        read_tuning(conn, number)
    with judged.database.as_owner() as conn:
        conn.execute(
            "insert into collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
            [judged.collection, bob],
        )
    with judged.database.as_user(bob) as conn:
        assert [one.id for one in list_tunings(conn, judged.set_id)] == [number]
        assert not cancel_tuning(conn, number)
        with pytest.raises(NotAllowed):
            delete_tuning(conn, number)
    with judged.database.as_user(judged.user) as conn:
        delete_tuning(conn, number)
        assert list_tunings(conn, judged.set_id) == []


def test_whoever_lost_access_meanwhile_learns_nothing(judged: Judged, bob: UUID) -> None:
    with judged.database.as_owner() as conn:
        conn.execute(
            "insert into collection_members (collection_id, user_id, role) values (%s, %s, 'editor')",
            [judged.collection, bob],
        )
    with judged.database.as_user(bob) as conn:
        number = start_tuning(conn, judged.set_id)
    with judged.database.as_owner() as conn:
        conn.execute("delete from collection_members where user_id = %s", [bob])
    tune(judged.errand(), number)
    tuning = read(judged, number)
    assert (tuning.state, tuning.result) == ("failed", None)
