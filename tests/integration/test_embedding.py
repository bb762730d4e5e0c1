"""The embed job: vectors follow content, whoever changes it and whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from uuid import UUID

import psycopg
import pytest

from rag.errors import ModelError, ProviderBusy, ProviderError, ProviderRefused
from rag.settings import Settings, load_settings
from rag.store.database import Database, connect
from rag.vectors.embedders import Embedder, load_tokens
from rag.work import jobs
from tests.integration.workshop import Workshop, prose, wait_for


@pytest.fixture
def shop(database: Database, alice: UUID) -> Workshop:
    return Workshop(database, load_settings(None), alice)


#: Delays between attempts are short.
IMPATIENT = jobs.Backoff(first_s=0.05, growth=1.2)


def fail_for(poison: str, error: Exception) -> Callable[[Sequence[str]], None]:
    def before(texts: Sequence[str]) -> None:
        if any(poison in text for text in texts):
            raise error

    return before


def test_an_upload_becomes_searchable_and_no_text_is_embedded_twice(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(200))
    shop.finish()
    assert shop.stage(document) == "ready"
    assert shop.check_vectors() > 100
    assert set(shop.embedder.asked.values()) == {1}
    assert shop.value("select count(*) from corpuscope.chunk_terms") == shop.value("select count(*) from public.chunks")


def test_equal_content_is_embedded_once_whoever_has_it(shop: Workshop) -> None:
    shop.store("first.txt", prose(20))
    shop.store("second.txt", prose(20) + "\n\n" + prose(5, seed=1))
    shop.finish()
    shop.store("third.txt", prose(20) + "\n")
    shop.finish()
    assert shop.check_vectors() > 60
    assert set(shop.embedder.asked.values()) == {1}


def test_edits_by_plain_sql_are_followed(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(20))
    shop.finish()
    shop.run("update public.chunks set text = 'An edited chunk.' where ordinal = 3")
    assert shop.stage(document) == "embedding"
    shop.run("update public.chunks set text = 'Another one.' where ordinal in (4, 5)")
    shop.run("delete from public.chunks where ordinal = 7")
    shop.run(
        """
        insert into public.chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text)
        select index_id, document_id, collection_id, 99, 1, 2, 'A chunk of somebody''s own.'
        from public.chunks where ordinal = 1
        """
    )
    before = sum(shop.embedder.asked.values())
    shop.finish()
    assert shop.stage(document) == "ready"
    shop.check_vectors()
    assert sum(shop.embedder.asked.values()) == before + 3


def test_edits_while_the_batch_is_with_the_model_coalesce_and_leave_no_stale_vector(shop: Workshop) -> None:
    shop.store("a.txt", prose(20))
    under_way, edited = threading.Event(), threading.Event()

    def before(texts: Sequence[str]) -> None:
        under_way.set()
        assert edited.wait(20)

    shop.embedder.before = before
    with shop.working():
        assert under_way.wait(20)
        for n in range(5):
            shop.run("update public.chunks set text = %s where ordinal = 2", f"Version {n} of this chunk.")
        edited.set()
        wait_for(shop.is_finished)
    shop.check_vectors()
    assert [text for text in shop.embedder.asked if "Version" in text] == ["Version 4 of this chunk."]
    assert set(shop.embedder.asked.values()) == {1}


def test_an_edit_that_holds_its_row_lets_the_others_be_written(shop: Workshop) -> None:
    """A worker never waits for a person's transaction, so the two can't wait for each other."""
    shop.store("a.txt", prose(20))
    shop.work_until(lambda: shop.value("select count(*) from public.chunks") > 0, queues=("ingest",))
    with connect(shop.database.owner_dsn) as conn, conn.transaction():
        conn.execute("update public.chunks set excluded = true where ordinal = 4")
        with shop.working(queues=("embed",)):
            wait_for(lambda: shop.value("select count(*) from pgmq.q_embed") < 99 and _unembedded(shop) == 1)
            conn.execute("select pg_sleep(0.5)")
            assert _unembedded(shop) == 1
    shop.finish()
    shop.check_vectors()
    assert shop.rows(
        "select e.excluded from public.embeddings e join public.chunks c on c.id = e.chunk_id where c.ordinal = 4"
    ) == [(True,)]


def _unembedded(shop: Workshop) -> int:
    return int(shop.value("select sum(chunk_count - embedded_count) from public.index_documents"))


def test_deleting_a_document_while_it_is_embedded_ends_its_job(shop: Workshop) -> None:
    gone, kept = shop.store("gone.txt", prose(30)), shop.store("kept.txt", prose(30, seed=1))
    under_way, deleted = threading.Event(), threading.Event()

    def before(texts: Sequence[str]) -> None:
        under_way.set()
        assert deleted.wait(20)

    shop.embedder.before = before
    with shop.working():
        assert under_way.wait(20)
        shop.run("delete from public.documents where id = %s", gone)
        deleted.set()
        wait_for(shop.is_finished)
    assert shop.stage(kept) == "ready"
    assert shop.value("select count(*) from public.failed_jobs") == 0
    shop.check_vectors()


def test_a_refused_text_is_isolated_at_once(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(150))
    shop.embedder.before = fail_for("Paragraph 0-77 ", ProviderRefused("It is too rude.", hint="Be kind."))
    shop.finish()
    assert shop.stage(document) == "failed"
    [(reason, hint, text, index)] = shop.rows(
        "select f.reason, f.hint, c.text, f.index_id from public.failed_jobs f"
        " join public.chunks c on c.id = f.chunk_id"
    )
    assert (reason, hint) == ("It is too rude.", "Be kind.")
    assert "Paragraph 0-77 " in text
    assert index is not None
    error, hint = shop.rows("select error, error_hint from public.documents")[0]
    assert error.startswith("1 of ")
    assert "retry" in hint
    shop.check_vectors()


def test_a_retry_takes_up_what_was_given_up_on(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(20))
    shop.embedder.before = fail_for("Paragraph 0-7 ", ProviderRefused())
    shop.finish()
    assert shop.stage(document) == "failed"
    shop.embedder.before = lambda texts: None
    before = sum(shop.embedder.asked.values())
    shop.run("select public.retry_documents(array [%s::uuid])", document)
    shop.finish()
    assert shop.stage(document) == "ready"
    assert shop.value("select sum(failed_count) from public.index_documents") == 0
    assert sum(shop.embedder.asked.values()) == before + 1
    shop.check_vectors()


def test_editing_or_deleting_the_chunk_that_failed_finishes_its_document(shop: Workshop) -> None:
    one, two = shop.store("a.txt", prose(9)), shop.store("b.txt", prose(9, seed=1))
    shop.embedder.before = fail_for("-7 ", ProviderRefused())
    shop.finish()
    assert {shop.stage(one), shop.stage(two)} == {"failed"}
    poisoned = "id in (select chunk_id from public.failed_jobs) and document_id = %s"
    shop.run(f"delete from public.chunks where {poisoned}", one)
    assert shop.stage(one) == "ready"
    shop.run(f"update public.chunks set text = 'Harmless.' where {poisoned}", two)
    assert shop.stage(two) == "embedding"
    shop.finish()
    assert shop.stage(two) == "ready"
    assert shop.value("select count(*) from public.failed_jobs") == 0
    shop.check_vectors()


@pytest.mark.parametrize(
    "error", [ProviderError("Nonsense came back."), ProviderBusy("Status 500."), RuntimeError("bug")]
)
def test_a_text_that_breaks_its_batch_is_isolated_and_given_up_on(shop: Workshop, error: Exception) -> None:
    document = shop.store("a.txt", prose(40))
    shop.embedder.before = fail_for("Paragraph 0-32 ", error)
    shop.finish(backoff=IMPATIENT)
    assert shop.stage(document) == "failed"
    [(text, attempts)] = shop.rows(
        "select c.text, f.attempts from public.failed_jobs f join public.chunks c on c.id = f.chunk_id"
    )
    assert "Paragraph 0-32 " in text
    assert attempts == jobs.ATTEMPTS_LIMIT
    shop.check_vectors()


def test_a_provider_that_is_down_for_a_while_costs_no_attempt(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(40))
    calls = 0

    def before(texts: Sequence[str]) -> None:
        nonlocal calls
        calls += 1
        if calls < 3 * jobs.ATTEMPTS_LIMIT:
            raise ProviderBusy("Nobody answers.")

    shop.embedder.before = before
    shop.finish(backoff=IMPATIENT)
    assert shop.stage(document) == "ready"
    assert shop.value("select count(*) from public.failed_jobs") == 0
    assert set(shop.embedder.asked.values()) == {1}


def test_a_busy_provider_is_waited_for_and_said_so(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(20))
    busy = [ProviderBusy("Too many requests.", retry_after=2.0)]

    def before(texts: Sequence[str]) -> None:
        if busy:
            raise busy.pop()

    shop.embedder.before = before
    with shop.working():
        wait_for(lambda: shop.value("select waiting_reason from public.worker_status()") == "Too many requests.")
        assert shop.rows("select state, waiting_until > now() from corpuscope.workers") == [("waiting", True)]
        wait_for(shop.is_finished)
    assert shop.stage(document) == "ready"
    assert shop.value("select count(*) from corpuscope.job_attempts") == 0


def test_excluded_spans_are_embedded_and_marked(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(20))
    shop.finish()
    start, end = shop.rows("select start_char, end_char from public.chunks where ordinal = 2")[0]
    shop.run(
        "insert into public.span_marks (document_id, collection_id, start_char, end_char, kind)"
        " values (%s, %s, %s, %s, 'exclusion')",
        document,
        shop.collection,
        start,
        end,
    )
    excluded = "select c.ordinal from public.embeddings e join public.chunks c on c.id = e.chunk_id where e.excluded"
    assert shop.rows(excluded) == [(2,)]
    # A text that moves every span moves no mark by itself: chunks are marked by where they are now.
    shop.run("delete from public.span_marks")
    assert shop.rows(excluded) == []
    shop.check_vectors()


def test_two_workers_share_the_work(shop: Workshop) -> None:
    for n in range(6):
        shop.store(f"{n}.txt", prose(60, seed=n))
    with shop.working(), shop.working():
        wait_for(shop.is_finished)
    shop.check_vectors()
    assert set(shop.embedder.asked.values()) == {1}


def test_the_writes_are_refused_to_people(shop: Workshop, alice: UUID) -> None:
    shop.store("a.txt", prose(3))
    shop.finish()
    for statement in (
        "select corpuscope.store_embeddings('{}', '{}', '{}')",
        "select corpuscope.reuse_embeddings('{}')",
        "select corpuscope.requeue_missing()",
        "delete from public.embeddings",
        "insert into public.failed_jobs (queue, message, reason, attempts) values ('x', '{}', 'x', 1)",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            connect(shop.database.owner_dsn, role="authenticated") as conn,
        ):
            conn.execute(statement)


def test_a_model_that_is_down_holds_up_no_other(shop: Workshop) -> None:
    """A second index under a model that can't be had: the first one's work goes on."""
    shop.store("a.txt", prose(20))
    shop.finish()
    with shop.database.as_owner() as conn:
        conn.execute(
            "insert into public.embedding_models (provider, name, dimensions, window_tokens)"
            " values ('local', 'gone', 384, 256)"
        )
    shop.run(
        "select public.build_index(%s, '{}', (select id from public.embedding_models where name = 'gone'))",
        shop.collection,
    )

    def load(settings: Settings) -> Embedder:
        if settings.embedding_model == "gone":
            raise ModelError("There is no such model.")
        return shop.embedder

    tokens = load_tokens(shop.settings)
    with shop.working(load_embedder=load, load_tokens=lambda settings: tokens, backoff=jobs.Backoff(first_s=600)):
        waiting = "select state, detail from corpuscope.workers"
        wait_for(lambda: shop.rows(waiting) == [("waiting", "There is no such model.")])
        late = shop.store("late.txt", prose(20, seed=1))
        wait_for(lambda: shop.stage(late) == "ready")
    assert shop.value("select count(*) from public.failed_jobs") == 0
