"""The Edge Function embed under Deno, over the embedded Postgres: what it leaves of a queue full of trouble.

Its model is a server that speaks OpenAI's protocol, a stand-in; the one inside of Supabase's runtime exists only there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from rag.errors import ProviderBusy, ProviderError, ProviderRefused
from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.edge_embedder import EdgeFunctionEmbedder
from rag.vectors.embedders import load_question_encoder
from rag.vectors.models import describe_model
from tests.integration.workshop import Workshop, prose, wait_for
from tests.standin_openai import Exchange, StandInOpenAI, Status, Vectors, vector_of
from tests.supabase.edge import Served, deno, laid_out, serving_function
from tests.supabase.gateway import Gateway, serving
from tests.supabase.relay import over_tcp

DIMENSIONS = 384
MODEL = "stand-in-model"
SECRET = "a secret of the function's"
AUTHORIZED = {"Authorization": f"Bearer {SECRET}"}
POISON = "POISON"


class Shop(Workshop):
    """A workshop whose vectors are the stand-in server's."""

    def expected_vector(self, text: str) -> npt.NDArray[np.float32]:
        return np.asarray(vector_of(text, DIMENSIONS), np.float32)


@dataclass
class Trouble:
    """The model's server: refuses texts with POISON in them; ``meanwhile`` happens once while it reads ``word``."""

    word: str = ""
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        self.meanwhile: Any = lambda: None

    def answer(self, exchange: Exchange) -> None:
        texts = exchange.request.body["input"]
        if any(POISON in text for text in texts):
            Status(400).answer(exchange)
            return
        if self.word and any(self.word in text for text in texts):
            self.word = ""
            self.meanwhile()
        Vectors(DIMENSIONS, delay_s=self.delay_s).answer(exchange)


def settings_of(url: str = "http://127.0.0.1:1") -> Settings:
    return Settings(
        _env_file=None,
        embedding_provider="supabase",
        embedding_model=MODEL,
        embedding_dimensions=DIMENSIONS,
        supabase_url=url,
        supabase_secret_key=SECRET,
    )


@pytest.fixture
def model() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as server:
        server.default_embeddings = Trouble()
        yield server


@pytest.fixture
def shop(database: Database, alice: UUID) -> Shop:
    return Shop(database, settings_of(), alice)


@contextmanager
def function(database: Database, model: StandInOpenAI, **more: str) -> Iterator[Served]:
    with over_tcp(database.owner_dsn) as dsn:
        secrets = {"EMBED_SECRET": SECRET, "SUPABASE_DB_URL": dsn, "EMBED_LEASE_S": "3", "EMBED_BUDGET_S": "20"}
        own = {"EMBEDDING_BASE_URL": model.base_url, "EMBEDDING_API_KEY": "k", "EMBEDDING_MODEL": MODEL}
        with serving_function("embed", **(secrets | own | more)) as served:
            yield served


def wake(served: Served) -> dict[str, Any]:
    """One run, as the schedule asks for it."""
    answer = httpx.post(served.url, headers=AUTHORIZED, timeout=60, trust_env=False)
    assert answer.status_code == 200, (answer.text, served.said())
    return dict(answer.json())


def later(shop: Shop) -> None:
    """Ten minutes later: what was put off or leased is due."""
    shop.rows("update pgmq.q_embed set vt = clock_timestamp() returning 1")


def test_it_embeds_what_waits_and_ends(shop: Shop, model: StandInOpenAI) -> None:
    document = shop.store("a.txt", prose(30))
    shop.work_until(lambda: shop.stage(document) == "embedding", queues=("ingest",))
    with function(shop.database, model) as served:
        assert wake(served)["stored"] == shop.value("select count(*) from public.chunks")
        assert wake(served) == {"jobs": 0, "stored": 0, "failed": 0, "unfinished": False}
    assert shop.stage(document) == "ready"
    assert shop.check_vectors() >= 30
    assert shop.value("select count(*) from corpuscope.edge_runs") == 0
    assert shop.value("select count(distinct chunk_id) from corpuscope.chunk_terms") == shop.check_vectors()


def test_five_hundred_jobs_with_all_that_can_happen(shop: Shop, model: StandInOpenAI) -> None:
    documents = [shop.store(f"{n}.txt", prose(20, seed=n)) for n in range(20)]
    poisoned = shop.store("poisoned.txt", prose(3, seed=77).replace("77-1 ", f"77-1 {POISON} "))
    wanted = [*documents, poisoned]
    shop.work_until(lambda: all(shop.stage(one) == "embedding" for one in wanted), queues=("ingest",))
    send_five_hundred(shop)
    with shop.database.as_owner() as conn:  # with their messages left behind
        conn.execute("delete from public.documents where id = any (%s)", [documents[:2]])
    edited = documents[5]
    trouble = Trouble(word="Paragraph 5-3 ")
    trouble.meanwhile = lambda: shop.run(
        "update public.chunks set text = 'Edited while it was embedded.' where document_id = %s and ordinal = 3", edited
    )
    model.default_embeddings = trouble
    with function(shop.database, model, EMBED_JOBS="20") as served:
        die_once(served, trouble)
        for _ in range(12):
            with ThreadPoolExecutor(3) as crew:
                list(crew.map(wake, [served] * 3))
            if not shop.queued():
                break
            later(shop)
    assert shop.queued() == 0
    assert {shop.stage(one) for one in documents[2:]} == {"ready"}
    assert shop.check_vectors() > 300
    assert shop.rows(
        "select c.text like '%POISON%', f.attempts, f.reason"
        " from public.failed_jobs f join public.chunks c on c.id = f.chunk_id"
    ) == [(True, 8, "The embedding server refused this text (status 400).")]
    assert shop.value("select count(*) from corpuscope.job_attempts where queue = 'embed'") == 0
    said = "select text from public.chunks where document_id = %s and ordinal = 3"
    assert shop.value(said, edited) == "Edited while it was embedded."


def send_five_hundred(shop: Shop) -> None:
    """One message a chunk, and again for every one until there are five hundred; some make no sense."""
    chunks = [id for (id,) in shop.rows("select id from public.chunks order by id")]
    named = [[chunks[n % len(chunks)]] for n in range(497)]
    messages = [f'{{"chunks": {chunk}}}' for chunk in named] + [
        '{"chunks": "all"}',
        "{}",
        '{"chunks": [-1, null, "x"]}',
    ]
    with shop.database.as_owner() as conn:
        conn.execute("select pgmq.purge_queue('embed')")
        conn.execute("select corpuscope.send_jobs('embed', %s::jsonb[])", [messages])
    assert shop.value("select count(*) from pgmq.q_embed") == 500


def die_once(served: Served, trouble: Trouble) -> None:
    """A run is killed while the model reads; its jobs are leased until then."""
    reading = threading.Event()
    edit, trouble.word = trouble.meanwhile, "Paragraph 2-0 "
    trouble.meanwhile = reading.set
    trouble.delay_s = 1.0
    with ThreadPoolExecutor(1) as one:
        run = one.submit(lambda: httpx.post(served.url, headers=AUTHORIZED, timeout=60, trust_env=False))
        assert reading.wait(30)
        served.kill()
        died = run.exception(30)
        assert isinstance(died, httpx.HTTPError), run.result()
    trouble.delay_s = 0.0
    trouble.word, trouble.meanwhile = "Paragraph 5-3 ", edit
    served.start()


def test_workers_and_the_function_work_on_one_queue(shop: Shop, model: StandInOpenAI) -> None:
    documents = [shop.store(f"{n}.txt", prose(30, seed=n)) for n in range(12)]
    gateway = Gateway()
    with function(shop.database, model) as served, serving(gateway) as url:
        gateway.routes["/functions/v1/embed"] = served.url
        embedder = EdgeFunctionEmbedder(describe_model(settings_of(url)), shop.embedder.tokens, url, SECRET)
        with shop.working(load_embedder=lambda _settings: embedder), ThreadPoolExecutor(1) as one:
            done = threading.Event()
            runs = one.submit(lambda: [wake(served) for _ in iter(done.is_set, True)])
            try:
                wait_for(shop.is_finished)
            finally:
                done.set()
            assert sum(run["stored"] for run in runs.result(60)) > 0
    assert {shop.stage(one) for one in documents} == {"ready"}
    assert shop.check_vectors() > 300
    asked = [text for request in model.requests for text in request.body["input"] if text.startswith("Paragraph")]
    assert len(asked) == len(set(asked))


def test_jobs_of_other_models_stay_for_workers(shop: Shop, model: StandInOpenAI) -> None:
    document = shop.store("a.txt", prose(5))
    shop.work_until(lambda: shop.stage(document) == "embedding", queues=("ingest",))
    with function(shop.database, model, EMBEDDING_MODEL="another-model") as served:
        assert wake(served) == {"jobs": 0, "stored": 0, "failed": 0, "unfinished": False}
    assert shop.rows("select distinct read_ct from pgmq.q_embed") == [(0,)]


def test_a_model_that_is_down_is_left_alone(shop: Shop, model: StandInOpenAI) -> None:
    document = shop.store("a.txt", prose(60))
    shop.work_until(lambda: shop.stage(document) == "embedding", queues=("ingest",))
    model.default_embeddings = Status(503)
    with function(shop.database, model) as served:
        first = wake(served)
        assert (first["stored"], first["unfinished"]) == (0, True)
        assert len(model.requests) <= 4
        assert shop.value("select count(*) from pgmq.q_embed where vt > clock_timestamp() + interval '1 second'") > 0
        for _ in range(9):  # longer than the tries of a text would last
            later(shop)
            wake(served)
        assert shop.value("select max(attempts) from corpuscope.job_attempts") == 0
        model.default_embeddings = Trouble()
        later(shop)
        wake(served)
    assert shop.stage(document) == "ready"
    assert shop.rows("select * from public.failed_jobs") == []


def test_a_server_that_names_a_time_is_left_alone_for_that_long(shop: Shop, model: StandInOpenAI) -> None:
    document = shop.store("a.txt", prose(60))
    shop.work_until(lambda: shop.stage(document) == "embedding", queues=("ingest",))
    model.embeddings += [Status(429, retry_after=120)]
    with function(shop.database, model) as served:
        assert wake(served)["unfinished"]
    assert len(model.requests) == 1
    waits = "select extract(epoch from min(vt) - clock_timestamp()) from pgmq.q_embed"
    assert 100 < shop.value(waits) <= 120
    assert shop.value("select max(attempts) from corpuscope.job_attempts") == 0


def test_vectors_of_the_wrong_size_are_stored_nowhere(shop: Shop, model: StandInOpenAI) -> None:
    document = shop.store("a.txt", prose(2))
    shop.work_until(lambda: shop.stage(document) == "embedding", queues=("ingest",))
    model.default_embeddings = Vectors(DIMENSIONS - 1)
    with function(shop.database, model) as served:
        assert wake(served)["stored"] == 0
    assert "383 numbers instead of 384" in shop.value("select last_error from corpuscope.job_attempts")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer guess"}, {"apikey": "guess"}])
def test_only_who_has_the_key_is_served(database: Database, model: StandInOpenAI, headers: dict[str, str]) -> None:
    with function(database, model, SUPABASE_SECRET_KEYS='{"default": "sb_secret_x"}') as served:
        refused = httpx.post(served.url, headers=headers, json={"texts": ["a"]}, trust_env=False)
        assert refused.status_code == 401
        assert "secret key" in refused.json()["message"]
        allowed = httpx.post(served.url, headers={"apikey": "sb_secret_x"}, json={"texts": ["a"]}, trust_env=False)
        assert allowed.status_code == 200
    assert [request.body["input"] for request in model.requests] == [["a"]]


def test_the_app_embeds_questions_with_the_same_model(database: Database, model: StandInOpenAI) -> None:
    gateway = Gateway()
    with function(database, model) as served, serving(gateway) as url:
        gateway.routes["/functions/v1/embed"] = served.url
        embedder = load_question_encoder(settings_of(url))
        np.testing.assert_allclose(embedder.embed_question("Where?"), vector_of("Where?", DIMENSIONS), atol=1e-6)
        many = [f"text {n}" for n in range(150)]
        found = embedder.embed_passages(many)
        np.testing.assert_allclose(found, [vector_of(text, DIMENSIONS) for text in many], atol=1e-6)
        with pytest.raises(ProviderRefused, match="refused"):
            embedder.embed_passages([POISON])
        model.embeddings += [Status(429, retry_after=7)]
        with pytest.raises(ProviderBusy) as busy:
            embedder.embed_question("Where?")
        assert busy.value.retry_after == 7
        gateway.routes.clear()
        with pytest.raises(ProviderError, match="no Edge Function embed"):
            embedder.embed_question("Where?")
    with pytest.raises(ProviderBusy, match="can't be reached"):
        embedder.embed_question("Where?")


def test_the_function_is_well_typed_and_formatted() -> None:
    with laid_out() as folder:
        offline = ["--cached-only", "--node-modules-dir=manual", "--config=functions/embed/deno.json"]
        for command in (
            ["check", *offline, "functions/embed/index.ts"],
            ["lint", "functions/embed", "functions/_shared"],
            ["fmt", "--check", "--line-width=120", "functions/embed", "functions/_shared"],
        ):
            done = deno(folder, *command)
            assert done.returncode == 0, done.stderr
