"""Evaluation runs: asked as the person, stored as they go, gone on with after anything, refused to whoever may not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from uuid import UUID

import pytest

from rag.errors import DatabaseUnavailable, InvalidInput, NotAllowed, NotFound, ProviderBusy, ProviderError
from rag.evaluation.question_sets import add_question, create_set
from rag.evaluation.running import far_reaching, run
from rag.evaluation.runs import (
    cancel_run,
    delete_run,
    list_runs,
    read_corpus_state,
    read_results,
    read_run,
    resume_run,
    start_run,
)
from rag.evaluation.scoring import DEPTH
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.retrieval.stored_profiles import save_profile
from rag.settings import load_settings
from rag.store.database import Database
from rag.work import jobs
from rag.work.evaluating import evaluate_loop
from rag.work.leases import LeaseLost
from tests.integration.judged import DOCUMENTS, Judged, vector_of
from tests.integration.workshop import wait_for


@pytest.fixture
def judged(database: Database, alice: UUID) -> Judged:
    return Judged(database, alice)


def until(count: int) -> Callable[[], bool]:
    """True so many times."""
    asked = itertools.count()
    return lambda: next(asked) < count


def share(database: Database, collection: UUID, user: UUID, role: str) -> None:
    with database.as_owner() as conn:
        conn.execute(
            "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, %s)",
            [collection, user, role],
        )


def test_a_run_keeps_what_the_search_finds_and_what_it_scores(judged: Judged) -> None:
    profile = RetrievalProfile(k=5, threshold=0.1)
    number = judged.start(profile)
    run(judged.errand(), number)
    found = judged.read(number)
    assert (found.state, found.asked, found.total) == ("done", DOCUMENTS, DOCUMENTS)
    assert found.profile == profile
    assert found.corpus["documents"] == DOCUMENTS
    assert found.corpus["fingerprint"] == found.corpus["fingerprint_after"]
    with judged.database.as_user(judged.user) as conn:
        results = read_results(conn, number)
    assert len(results) == DOCUMENTS
    for result in results:
        hits = retrieve(
            lambda: judged.database.as_user(judged.user),
            judged.collection,
            result.question,
            vector_of(result.question),
            far_reaching(profile),
            index_id=judged.index,
        )
        assert [(h.chunk, h.start, h.end, h.document) for h in result.hits] == [
            (h.chunk_id, h.start, h.end, str(h.document_id)) for h in hits
        ]
        assert len(result.hits) > profile.k
        assert result.latency_ms > 0
    values = found.values()
    assert values["ndcg@10"].n == DOCUMENTS
    assert 0.5 < values["ndcg@10"].mean <= 1
    assert values["ndcg@10"].low <= values["ndcg@10"].mean <= values["ndcg@10"].high
    assert values["latency_p50"].mean <= values["latency_p95"].mean
    assert "char_iou" not in values


def test_where_spans_are_judged_passages_and_characters_are_measured(database: Database, alice: UUID) -> None:
    judged = Judged(database, alice, spans=True)
    number = judged.start()
    run(judged.errand(), number)
    found = judged.read(number)
    assert found.unit == "passage"
    values = found.values()
    assert {"ndcg@10", "char_recall", "char_precision", "char_iou"} <= set(values)
    assert "ndcg@10" in found.values("document")
    # One chunk of each document is judged: ten returned ones hold one or none of it.
    assert values["precision@k"].mean <= 0.1
    assert values["char_recall"].mean == pytest.approx(values["hit@k"].mean)


def test_a_run_goes_on_where_a_killed_worker_stopped(judged: Judged) -> None:
    number = judged.start()
    with pytest.raises(LeaseLost):
        run(judged.errand(until(9)), number, stored_every_s=0)
    half = judged.read(number)
    assert half.state == "running"
    assert 0 < half.asked < DOCUMENTS
    before = dict(judged.rows("select question_id, latency_ms from public.evaluation_results"))
    judged.embedder.asked.clear()
    run(judged.errand(), number)
    assert judged.embedder.asked.total() == DOCUMENTS - half.asked
    after = dict(judged.rows("select question_id, latency_ms from public.evaluation_results"))
    assert before.items() <= after.items()
    done = judged.read(number)
    assert (done.state, done.asked) == ("done", DOCUMENTS)
    assert done.started_at == half.started_at


def test_a_run_whose_worker_died_goes_on_in_another_and_is_given_up_on_after_several(judged: Judged) -> None:
    number = judged.start()
    loop = evaluate_loop(judged.workplace(), load_settings(None))
    with judged.database.as_worker() as conn:
        assert len(jobs.claim(conn, "evaluate", lease_s=1)) == 1
    with pytest.raises(LeaseLost):
        run(judged.errand(until(9)), number, stored_every_s=0)
    assert not loop.step()
    wait_for(loop.step)
    assert judged.read(number).state == "done"
    assert judged.rows("select count(*) from pgmq.q_evaluate") == [(0,)]
    killer = judged.start()
    with judged.database.as_owner() as conn:
        conn.execute("update pgmq.q_evaluate set read_ct = %s", [jobs.KILLS_LIMIT])
    assert loop.step()
    buried = judged.read(killer)
    assert (buried.state, buried.asked) == ("failed", 0)
    assert "stopped unexpectedly" in str(buried.reason)
    assert judged.rows("select count(*) from pgmq.q_evaluate") == [(0,)]


def test_a_message_that_nobody_understands_goes(judged: Judged) -> None:
    loop = evaluate_loop(judged.workplace(), load_settings(None))
    with judged.database.as_worker() as conn:
        conn.execute("""select corpuscope.send_jobs('evaluate', array ['{"ruin": 1}', '{"run": "x"}']::jsonb[])""")
    assert loop.step()
    assert loop.step()
    assert not loop.step()


def test_a_cancelled_run_stops_keeps_what_it_has_and_goes_on_when_asked(judged: Judged) -> None:
    number = judged.start()
    calls = itertools.count()

    def cancel_in_between() -> bool:
        if next(calls) == 6:
            with judged.database.as_user(judged.user) as conn:
                assert cancel_run(conn, number)
        return True

    run(judged.errand(cancel_in_between), number, stored_every_s=0)
    stopped = judged.read(number)
    assert stopped.state == "cancelled"
    assert 0 < stopped.asked < DOCUMENTS
    with judged.database.as_user(judged.user) as conn:
        assert not cancel_run(conn, number)
        assert resume_run(conn, number)
        assert not resume_run(conn, number)
    run(judged.errand(), number)
    assert judged.read(number).state == "done"


def test_a_deleted_run_ends_quietly(judged: Judged) -> None:
    number = judged.start()
    calls = itertools.count()

    def delete_in_between() -> bool:
        if next(calls) == 3:
            with judged.database.as_user(judged.user) as conn:
                delete_run(conn, number)
        return True

    run(judged.errand(delete_in_between), number, stored_every_s=0)
    run(judged.errand(), number)
    assert judged.rows("select count(*) from public.evaluation_results") == [(0,)]


def test_a_finished_run_is_measured_again_without_a_search(judged: Judged) -> None:
    number = judged.start()
    run(judged.errand(), number)
    before = judged.read(number)
    for question in judged.questions[1:]:
        judged.judge(question, judged.documents[0], grade=1)
    judged.embedder.asked.clear()
    with judged.database.as_user(judged.user) as conn:
        assert resume_run(conn, number)
    run(judged.errand(), number)
    after = judged.read(number)
    assert not judged.embedder.asked
    assert after.state == "done"
    assert after.judgements != before.judgements
    assert after.values()["recall@k"].mean != before.values()["recall@k"].mean
    assert after.finished_at == before.finished_at
    assert after.corpus == before.corpus


def test_only_accepted_questions_with_an_answer_are_asked(judged: Judged) -> None:
    with judged.database.as_user(judged.user) as conn:
        add_question(conn, judged.set_id, "Nobody judged this?")
        draft = add_question(conn, judged.set_id, "Is this a draft?", state="draft")
        no_answer = add_question(conn, judged.set_id, "Only judged as none?")
    judged.judge(draft, judged.documents[0])
    judged.judge(no_answer, judged.documents[0], grade=0)
    number = judged.start()
    run(judged.errand(), number)
    assert judged.read(number).asked == DOCUMENTS


def test_a_busy_provider_is_waited_for_and_a_broken_one_ends_the_run(judged: Judged) -> None:
    number = judged.start()

    def busy() -> None:
        raise ProviderBusy(retry_after=3)

    judged.embedder.before = busy
    with pytest.raises(ProviderBusy):
        run(judged.errand(), number)
    waiting = judged.read(number)
    assert waiting.state == "running"
    assert "busy" in str(waiting.reason)

    def broken() -> None:
        raise ProviderError("No such model.", hint="Choose another.")

    judged.embedder.before = broken
    run(judged.errand(), number)
    failed = judged.read(number)
    assert (failed.state, failed.reason, failed.hint) == ("failed", "No such model.", "Choose another.")
    judged.embedder.before = lambda: None
    with judged.database.as_user(judged.user) as conn:
        resume_run(conn, number)
    run(judged.errand(), number)
    assert judged.read(number).reason is None


def test_a_bug_is_written_down_and_a_lost_database_is_not_a_failure(judged: Judged) -> None:
    number = judged.start()

    def away() -> None:
        raise DatabaseUnavailable

    judged.embedder.before = away
    with pytest.raises(DatabaseUnavailable):
        run(judged.errand(), number)
    assert judged.read(number).state == "running"

    def bug() -> None:
        raise ZeroDivisionError

    judged.embedder.before = bug
    with pytest.raises(ZeroDivisionError):
        run(judged.errand(), number)
    assert "unexpectedly" in str(judged.read(number).reason)


def test_a_run_sees_what_its_starter_sees_and_nothing_once_that_is_over(judged: Judged, bob: UUID) -> None:
    share(judged.database, judged.collection, bob, "editor")
    with judged.database.as_user(bob) as conn:
        number = start_run(conn, judged.set_id, profile=RetrievalProfile())
    with judged.database.as_owner() as conn:
        conn.execute("delete from public.collection_members where user_id = %s", [bob])
    run(judged.errand(), number)
    failed = judged.read(number)
    assert failed.state == "failed"
    assert failed.asked == 0
    assert "isn't shared" in str(failed.reason)


def test_a_run_of_an_index_that_is_gone_says_so(judged: Judged) -> None:
    number = judged.start()
    with judged.database.as_owner() as conn:
        conn.execute("update public.evaluation_runs set index_id = null")
    run(judged.errand(), number)
    assert "index of this run is gone" in str(judged.read(number).reason)


def test_who_may_only_read_can_start_cancel_and_delete_nothing(judged: Judged, bob: UUID) -> None:
    number = judged.start()
    with pytest.raises(NotAllowed), judged.database.as_user(bob) as conn:
        start_run(conn, judged.set_id, profile=RetrievalProfile())
    with judged.database.as_user(bob) as conn:
        assert list_runs(conn, judged.set_id) == []
        with pytest.raises(NotFound):
            read_run(conn, number)
    share(judged.database, judged.collection, bob, "viewer")
    with pytest.raises(NotAllowed), judged.database.as_user(bob) as conn:
        start_run(conn, judged.set_id, profile=RetrievalProfile())
    with judged.database.as_user(bob) as conn:
        assert [one.id for one in list_runs(conn, judged.set_id)] == [number]
        assert not cancel_run(conn, number)
        assert not resume_run(conn, number)
        with pytest.raises(NotAllowed):
            delete_run(conn, number)
    assert judged.read(number).state == "queued"


def test_a_run_takes_a_stored_profile_as_it_is_and_outlives_it(judged: Judged) -> None:
    with judged.database.as_user(judged.user) as conn:
        stored = save_profile(conn, judged.collection, "Words", RetrievalProfile(mode="lexical", k=3))
    number = judged.start(profile_id=stored.id)
    with judged.database.as_user(judged.user) as conn:
        conn.execute("delete from public.retrieval_profiles where id = %s", [stored.id])
    run(judged.errand(), number)
    found = judged.read(number)
    assert found.label == f"#{number} Words v1"
    assert found.profile == RetrievalProfile(mode="lexical", k=3)
    assert found.state == "done"
    assert not judged.embedder.asked


def test_a_profile_of_another_collection_is_refused(judged: Judged, bob: UUID) -> None:
    other = Judged(judged.database, bob)
    with judged.database.as_user(bob) as conn:
        foreign = save_profile(conn, other.collection, "Foreign", RetrievalProfile())
    with pytest.raises(NotFound):
        judged.start(profile_id=foreign.id)
    with pytest.raises(NotFound):
        judged.start(index_id=other.index)


def test_a_set_without_judged_answers_is_refused_in_words(judged: Judged) -> None:
    with judged.database.as_user(judged.user) as conn:
        empty = create_set(conn, judged.collection, "Empty")
    with pytest.raises(InvalidInput, match="judged answer"), judged.database.as_user(judged.user) as conn:
        start_run(conn, empty, profile=RetrievalProfile())


def test_a_run_notices_that_the_corpus_changed(judged: Judged) -> None:
    with judged.database.as_user(judged.user) as conn:
        before = read_corpus_state(conn, judged.index)
        conn.execute(
            "insert into public.span_marks (document_id, collection_id, start_char, end_char, kind)"
            " values (%s, %s, 0, 10, 'exclusion')",
            [judged.documents[0], judged.collection],
        )
        excluded = read_corpus_state(conn, judged.index)
        conn.execute("delete from public.documents where id = %s", [judged.documents[1]])
        deleted = read_corpus_state(conn, judged.index)
    assert len({before.fingerprint, excluded.fingerprint, deleted.fingerprint}) == 3
    assert (before.documents, deleted.documents) == (DOCUMENTS, DOCUMENTS - 1)


def test_a_lost_message_is_made_again(judged: Judged) -> None:
    number = judged.start()
    with judged.database.as_owner() as conn:
        conn.execute("delete from pgmq.q_evaluate")
        conn.execute("update public.evaluation_runs set touched_at = now() - interval '1 hour'")
    with judged.database.as_worker() as conn:
        assert conn.execute("select corpuscope.requeue_evaluations()").fetchone() == (1,)
        assert conn.execute("select corpuscope.requeue_evaluations()").fetchone() == (0,)
    assert judged.rows("select message from pgmq.q_evaluate") == [({"run": number},)]


@pytest.mark.parametrize(
    ("profile", "k"),
    [
        (RetrievalProfile(k=5), DEPTH),
        (RetrievalProfile(k=500), 500),
        (RetrievalProfile(mode="dense", ef_search=40), 40),
        (RetrievalProfile(mode="dense", k=60, ef_search=40), 60),
        (RetrievalProfile(mode="lexical", ef_search=40), DEPTH),
    ],
)
def test_more_is_asked_for_than_the_profile_returns_unless_that_would_change_it(
    profile: RetrievalProfile, k: int
) -> None:
    assert far_reaching(profile).k == k
