"""A new index beside the old one: searches and edits go on, nothing is mixed, lost or done twice, and back it goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from psycopg import Connection

from rag.corpus.documents import list_failed_jobs
from rag.corpus.embedding_models import add_model, describe_candidate, list_models
from rag.corpus.indexes import (
    IndexRow,
    activate_index,
    build_index,
    get_index,
    list_indexes,
    pause_index,
    read_searched_index,
    resume_index,
    retire_index,
)
from rag.corpus.texts import correct_text
from rag.errors import CorpuscopeError, InvalidInput, ModelError, NotAllowed, ProviderRefused
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search
from rag.settings import Settings, load_settings
from rag.store.database import Database
from rag.vectors.embedders import Embedder
from rag.vectors.models import PACKAGED, ModelRow
from rag.work.jobs import Backoff
from rag.work.modelnotes import LEAST_MEASURED_S, ModelNotes
from tests.integration.workshop import CountingEmbedder, Vectors, Workshop, prose, wait_for

OTHER = "another-model"
OTHER_DIMENSIONS = 24
QUICK = Backoff(first_s=0.1, growth=1.2)


class OtherEmbedder(CountingEmbedder):
    """A model with shorter vectors: one that meets the wrong index is an error at once."""

    def vector(self, text: str) -> Vectors:
        found = super().vector(f"other {text}")[:OTHER_DIMENSIONS]
        return np.asarray(found / np.linalg.norm(found), np.float32)


class TwoModels(Workshop):
    """A workshop that can build indexes with a second model."""

    def __init__(self, database: Database, settings: Settings, user: UUID) -> None:
        super().__init__(database, settings, user)
        self.other = OtherEmbedder(settings)
        self.other_problem: Exception | None = None
        info = describe_candidate(settings, "openai", OTHER, OTHER_DIMENSIONS, 256)
        with database.as_worker() as conn:
            self.other_id = add_model(conn, info, as_worker=True)
            conn.execute("update public.embedding_models set random_mean = 0, random_p95 = 0")

    def _load(self, settings: Settings) -> Embedder:
        if settings.embedding_model != OTHER:
            return self.embedder
        if self.other_problem is not None:
            raise self.other_problem
        return self.other

    def embedder_of(self, model: ModelRow) -> CountingEmbedder:
        return self.other if model.name == OTHER else self.embedder

    def build(self, max_tokens: int = 96, model: int | None = None) -> int:
        with self.database.as_user(self.user) as conn:
            return build_index(conn, self.collection, {"max_tokens": max_tokens}, model)

    def act(self, deed: Callable[[Connection[Any], int], None], index: int) -> None:
        with self.database.as_user(self.user) as conn:
            deed(conn, index)

    def index(self, index: int) -> IndexRow:
        with self.database.as_user(self.user) as conn:
            return get_index(conn, self.collection, index)

    def active(self) -> int:
        return int(self.value("select active_index_id from public.collections"))

    def is_complete(self, index: int) -> bool:
        row = self.index(index)
        return row.state == "ready" and row.complete and not self.queued()

    def swap(self, index: int) -> None:
        """Make active as soon as it is complete."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return self.act(activate_index, index)
            except InvalidInput:
                assert time.monotonic() < deadline, "it was never complete"
                time.sleep(0.05)

    def texts(self, index: int) -> str:
        """All that the chunks of an index say."""
        return "\n".join(text for (text,) in self.rows("select text from public.chunks where index_id = %s", index))

    def check_all(self) -> None:
        """Every chunk of every index has the vector of its own content and model, and its words; no index has more."""
        while self.value("select corpuscope.sweep_lexical(500)"):
            continue
        rows = self.rows(
            """
            select m.name, c.context, c.text, e.embedding::text, t.chunk_id is not null, e.index_id = c.index_id
            from public.chunks c join public.indexes i on i.id = c.index_id
            join public.embedding_models m on m.id = i.model_id
            left join public.embeddings e on e.chunk_id = c.id and e.model_id = i.model_id
            left join corpuscope.chunk_terms t on t.chunk_id = c.id and t.index_id = c.index_id
            """
        )
        for name, context, text, vector, has_words, is_home in rows:
            assert vector is not None, "a chunk has no vector of its index's model"
            assert has_words, "a chunk has no words"
            assert is_home
            wanted = (self.other if name == OTHER else self.embedder).vector(f"{context}\n{text}" if context else text)
            np.testing.assert_allclose(np.array(vector.strip("[]").split(","), float), wanted, atol=2e-3)
        counted = "select index_id, sum(chunk_count), sum(embedded_count) from public.index_documents group by 1"
        for index, chunks, embedded in self.rows(counted):
            there = self.value("select count(*) from public.chunks where index_id = %s", index)
            words = self.value("select sum(chunks) from corpuscope.lexical_totals where index_id = %s", index)
            assert chunks == embedded == there == words


@pytest.fixture
def shop(database: Database, alice: UUID) -> TwoModels:
    return TwoModels(database, load_settings(None), alice)


class Searcher:
    """Searches again and again, as the app does; keeps what went wrong and which indexes answered."""

    def __init__(self, shop: TwoModels) -> None:
        self.shop = shop
        self.errors: list[str] = []
        self.answered: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Searcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._search()
            except CorpuscopeError as error:
                self.errors.append(repr(error))

    def _search(self) -> None:
        shop = self.shop
        with shop.database.as_user(shop.user) as conn:
            index = read_searched_index(conn, shop.collection)
        vector = shop.embedder_of(index.model).embed_question("amber heron lagoon")
        with shop.database.as_user(shop.user) as conn:
            profile = RetrievalProfile(k=20)
            hits = search(conn, shop.collection, "amber heron lagoon", vector, profile, None, index.id)
            homes = conn.execute(
                "select distinct index_id from public.chunks where id = any (%s)", [[hit.chunk_id for hit in hits]]
            ).fetchall()
        if not hits:
            self.errors.append("nothing was found")
        if homes != [(index.id,)]:
            self.errors.append(f"index {index.id} was searched, hits are of {homes}")
        self.answered[index.id] = self.answered.get(index.id, 0) + 1


@pytest.mark.drill
def test_searches_and_edits_go_on_while_an_index_is_built_swapped_and_rolled_back(shop: TwoModels) -> None:
    documents = [shop.store(f"{n}.txt", prose(60, seed=n)) for n in range(4)]
    shop.finish()
    old = shop.active()
    with shop.working(backoff=QUICK), Searcher(shop) as searcher:
        new = shop.build(model=shop.other_id)
        wait_for(lambda: shop.index(new).embedded > 0)
        edit(shop, documents, "while it was built")
        wait_for(lambda: shop.is_complete(new))
        said = shop.texts(new)
        assert "while it was built" in said
        assert "Paragraph 9-0 " in said, "an upload made during the build"
        assert "Paragraph 3-0 " not in said, "a document deleted during the build"
        for _ in range(3):
            shop.swap(new)
            shop.swap(old)
        shop.swap(new)
        edit(shop, documents[:3], "after the swap", seed=11)
        wait_for(lambda: "after the swap" in shop.texts(new))
        shop.swap(old)
        wait_for(lambda: shop.is_finished() and shop.is_complete(new))
        assert "after the swap" in shop.texts(old), "the index that is rolled back to was kept in step"
        assert "Paragraph 11-0 " in shop.texts(old)
    assert searcher.errors == []
    assert set(searcher.answered) == {old, new}
    assert sum(searcher.answered.values()) > 20
    assert {stage for (stage,) in shop.rows("select stage from public.documents")} == {"ready"}
    excluded = "select count(*) from public.chunks where excluded and index_id = %s"
    assert shop.value(excluded, old) > 0
    assert shop.value(excluded, new) > 0
    assert shop.value("select count(*) from public.failed_jobs") == 0
    shop.check_all()


def edit(shop: TwoModels, documents: Sequence[UUID], words: str, seed: int = 9) -> None:
    """An upload, a correction, an exclusion, and the deletion of the last document."""
    shop.store(f"{seed}.txt", prose(20, seed=seed))
    with shop.database.as_user(shop.user) as conn:
        revision = conn.execute("select text_revision from documents where id = %s", [documents[0]]).fetchone()
        assert revision is not None
        correct_text(conn, documents[0], revision[0], 0, 0, f"This was written {words}.\n\n")
    shop.run(
        "insert into public.span_marks (document_id, collection_id, start_char, end_char, kind)"
        " values (%s, %s, 400, 1400, 'exclusion')",
        documents[1],
        shop.collection,
    )
    shop.run("delete from public.documents where id = %s", documents[-1])


def test_a_paused_index_waits_and_loses_nothing(shop: TwoModels) -> None:
    document = shop.store("a.txt", prose(200))
    shop.finish()
    old = shop.active()
    new = shop.build()
    shop.act(pause_index, new)
    with shop.working():
        wait_for(lambda: not shop.queued())
        assert shop.index(new).chunks == 0, "nothing is done for a paused index"
        late = shop.store("late.txt", prose(5, seed=3))
        wait_for(lambda: shop.stage(late) == "ready" and not shop.queued())
        with pytest.raises(InvalidInput, match="paused"):
            shop.act(activate_index, new)
        shop.act(resume_index, new)
        wait_for(lambda: shop.index(new).chunks > 0)
        shop.act(pause_index, new)
        wait_for(lambda: not shop.queued())
        shop.act(resume_index, new)
        wait_for(lambda: shop.is_complete(new))
    assert shop.stage(document) == "ready"
    assert shop.index(new).documents == shop.index(new).expected == 2
    shop.swap(new)
    shop.swap(old)
    shop.check_all()


def test_equal_content_lends_no_vector_to_a_paused_index(shop: TwoModels) -> None:
    """Else it would look embedded when it is resumed, and never get its words."""
    shop.store("a.txt", prose(30))
    shop.finish()
    new = shop.build(max_tokens=32)
    shop.work_until(lambda: shop.index(new).chunks > 0)
    shop.act(pause_index, new)
    with shop.database.as_owner() as conn:
        conn.execute("delete from public.embeddings where index_id = %s", [new])
        conn.execute("select corpuscope.remove_lexical(array(select id from public.chunks where index_id = %s))", [new])
        conn.execute("select corpuscope.send_chunks(array(select id from public.chunks where index_id = %s))", [new])
    shop.finish()
    assert shop.index(new).embedded == 0
    shop.act(resume_index, new)
    shop.work_until(lambda: shop.is_complete(new))
    shop.check_all()


def test_what_failed_in_the_new_index_shows_once_it_is_active_and_can_be_tried_again(shop: TwoModels) -> None:
    document = shop.store("a.txt", prose(30))
    shop.finish()
    old = shop.active()

    def refuse(texts: Sequence[str]) -> None:
        if any("Paragraph 0-7 " in text for text in texts):
            raise ProviderRefused("Not this one.")

    shop.other.before = refuse
    new = shop.build(model=shop.other_id)
    shop.work_until(lambda: shop.is_complete(new), backoff=QUICK)
    assert shop.index(new).failed == 1
    assert shop.stage(document) == "ready"
    with shop.database.as_user(shop.user) as conn:
        [failed] = list_failed_jobs(conn, shop.collection)
    assert f"In index {new}, which is not the active one" in (failed.hint or "")
    shop.swap(new)
    assert shop.stage(document) == "failed"
    assert "1 of" in shop.value("select error from public.documents")
    shop.swap(old)
    assert shop.stage(document) == "ready"
    shop.other.before = lambda texts: None
    shop.act(resume_index, new)
    shop.work_until(lambda: shop.is_complete(new))
    assert shop.index(new).failed == 0
    shop.check_all()


def test_a_model_that_can_not_be_loaded_is_named_in_words_until_it_can(shop: TwoModels) -> None:
    shop.store("a.txt", prose(10))
    shop.finish()
    shop.other_problem = ModelError("There is no such model here.", hint="Install it.")
    new = shop.build(model=shop.other_id)
    with shop.working(backoff=QUICK):
        wait_for(lambda: shop.index(new).problem is not None)
        broken = shop.index(new)
        assert (broken.problem, broken.problem_hint, broken.paused) == (
            "There is no such model here.",
            "Install it.",
            False,
        )
        shop.other_problem = None
        wait_for(lambda: shop.is_complete(new) and shop.index(new).problem is None)
    shop.check_all()


def test_settings_that_make_no_sense_stop_that_index_alone(shop: TwoModels) -> None:
    shop.store("a.txt", prose(10))
    shop.finish()
    with shop.database.as_user(shop.user) as conn:
        new = build_index(conn, shop.collection, {"max_tokens": 2})
    with shop.working(backoff=QUICK):
        wait_for(lambda: shop.index(new).paused)
        late = shop.store("late.txt", prose(5, seed=2))
        wait_for(lambda: shop.stage(late) == "ready")
    assert "between 16 and 8192" in (shop.index(new).problem or "")
    assert shop.value("select count(*) from public.failed_jobs") == 0


def test_a_dropped_index_is_emptied_in_portions_and_leaves_the_other_alone(shop: TwoModels) -> None:
    shop.store("a.txt", prose(40))
    shop.store("b.txt", prose(40, seed=1))
    shop.finish()
    new = shop.build()
    shop.work_until(lambda: shop.is_complete(new))
    with shop.database.as_owner() as conn:
        # As of a large one: retire_index() empties small ones at once.
        conn.execute("update public.indexes set state = 'retired' where id = %s", [new])
    with shop.database.as_worker() as conn:
        assert conn.execute("select corpuscope.empty_retired(1)").fetchone() == (1,)
        assert conn.execute("select count(*) from public.chunks where index_id = %s", [new]).fetchone() != (0,)
        assert conn.execute("select corpuscope.empty_retired(1)").fetchone() == (1,)
        assert conn.execute("select corpuscope.empty_retired(1)").fetchone() == (0,)
    while shop.value("select corpuscope.sweep_lexical(100)"):
        continue
    assert (
        shop.index(new).chunks == shop.value("select count(*) from corpuscope.postings where index_id = %s", new) == 0
    )
    assert shop.value("select count(*) from corpuscope.chunk_terms where index_id = %s", new) == 0
    shop.check_all()
    with pytest.raises(InvalidInput, match="was dropped"):
        shop.act(activate_index, new)


def test_the_active_index_can_be_neither_paused_nor_dropped_and_strangers_do_nothing(
    shop: TwoModels, bob: UUID
) -> None:
    active = shop.active()
    with pytest.raises(NotAllowed):
        shop.act(pause_index, active)
    with pytest.raises(NotAllowed):
        shop.act(retire_index, active)
    with pytest.raises(InvalidInput, match="active already"):
        shop.act(activate_index, active)
    with shop.database.as_user(bob) as conn:
        assert list_indexes(conn, shop.collection) == []
    for deed in (pause_index, resume_index, activate_index, retire_index):
        with pytest.raises(NotAllowed), shop.database.as_user(bob) as conn:
            deed(conn, active)


def test_the_last_one_that_answered_is_known(shop: TwoModels) -> None:
    old = shop.active()
    new = shop.build()
    shop.swap(new)
    assert shop.index(old).answered_until is not None
    assert shop.index(new).answered_until is None
    entries = [action for (action,) in shop.rows("select action from public.audit_log order by id")]
    assert entries[-2:] == ["index build begun", "index made active"]


def test_rates_are_measured_at_work(shop: TwoModels) -> None:
    with shop.database.as_user(shop.user) as conn:
        default = next(model for model in list_models(conn) if model.is_default)
    assert default.chars_per_s is None
    notes = ModelNotes()
    notes.note_work(default.row, 1, 100.0)  # the first call, which warms the model up
    notes.note_work(default.row, 100, LEAST_MEASURED_S / 2)
    with shop.database.as_worker() as conn:
        notes.write(conn)
    with shop.database.as_user(shop.user) as conn:
        assert list_models(conn)[0].chars_per_s is None, "too short to tell"
    for chars in (900, 3000):
        notes.note_work(default.row, chars, LEAST_MEASURED_S / 2)
        notes.note_work(default.row, 0, LEAST_MEASURED_S / 2)
        with shop.database.as_worker() as conn:
            notes.write(conn)
    with shop.database.as_user(shop.user) as conn:
        found = list_models(conn)[0]
    first, second = 1000 / (1.5 * LEAST_MEASURED_S), 3000 / LEAST_MEASURED_S
    assert found.chars_per_s == pytest.approx((first + second) / 2, rel=0.01)
    assert found.measured_at is not None


def test_models_beside_the_default(database: Database, alice: UUID) -> None:
    shop = Workshop(database, load_settings(None), alice)
    settings = shop.settings
    with pytest.raises(ModelError, match="neither the packaged one nor a folder"):
        describe_candidate(settings, "local", "no such model, surely")
    with pytest.raises(InvalidInput, match="needs a name"):
        describe_candidate(settings, "local", " ")
    with pytest.raises(ModelError, match="not known how long"):
        describe_candidate(settings, "openai", "unheard-of")
    info = describe_candidate(settings, "openai", "text-embedding-3-small")
    assert (info.dimensions, info.window) == (1536, 8191)
    with pytest.raises(NotAllowed), database.as_user(alice) as conn:
        add_model(conn, info)
    with database.as_worker() as conn:
        made = add_model(conn, info, as_worker=True)
        assert add_model(conn, info, as_worker=True) == made
    with database.as_user(alice) as conn:
        assert [(model.name, model.is_default) for model in list_models(conn)] == [
            (PACKAGED, True),
            ("text-embedding-3-small", False),
        ]
    other = describe_candidate(settings, "openai", "text-embedding-3-small", 512)
    with pytest.raises(InvalidInput, match="1536"), database.as_worker() as conn:
        add_model(conn, other, as_worker=True)
