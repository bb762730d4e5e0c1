"""Kill drills: whatever is killed or goes wrong, at the end every chunk has the vector of its own content."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from rag.errors import DatabaseError
from rag.settings import Settings, load_settings
from rag.store import bootstrap
from rag.store.database import Database, connect, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.vectors.embedders import Embedder, load_tokens
from rag.vectors.hosted_embedder import OpenAIEmbedder
from rag.vectors.models import describe_model
from rag.work.jobs import Backoff
from tests.integration.workshop import Workshop, prose, wait_for
from tests.standin_openai import Behaviour, Exchange, Garbage, Hang, StandInOpenAI, Status, Vectors, vector_of

pytestmark = pytest.mark.drill

DIMENSIONS = 8
ROOT = Path(__file__).parents[2]

#: A killed worker's jobs come back when their leases run out.
LONG_S = 120.0


class Provider(StandInOpenAI):
    """The stand-in, with what it was asked for."""

    def asked(self) -> Counter[str]:
        """How often each text was sent; a worker that is killed may leave half a request."""
        return Counter(text for request in list(self.requests) for text in request.body.get("input", []))


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider(default_embeddings=Vectors(DIMENSIONS, delay_s=0.2))
    with server:
        yield server


@pytest.fixture
def settings(provider: Provider, tmp_path: Path) -> Settings:
    return load_settings(None).model_copy(
        update={
            "corpuscope_home": tmp_path,
            "embedding_provider": "openai",
            "embedding_model": "stand-in",
            "embedding_dimensions": DIMENSIONS,
            "openai_base_url": provider.base_url,
        }
    )


class HostedWorkshop(Workshop):
    """A workshop whose vectors come from the provider."""

    def __init__(self, database: Database, settings: Settings, user: UUID) -> None:
        super().__init__(database, settings, user)
        self.clients: list[OpenAIEmbedder] = []
        with database.as_owner() as conn:
            # Else the first request would be for the similarity of unrelated texts.
            conn.execute("update public.embedding_models set random_mean = 0, random_p95 = 0")

    def load(self, settings: Settings) -> Embedder:
        info = describe_model(settings)
        tokens, url = load_tokens(settings), settings.openai_base_url
        made = OpenAIEmbedder(info, tokens, api_key="k", base_url=url, ask_dimensions=True, timeout_s=2)
        self.clients.append(made)
        return made

    def close(self) -> None:
        for client in self.clients:
            client._client.close()

    def expected_vector(self, text: str) -> npt.NDArray[np.float32]:
        return np.array(vector_of(text, DIMENSIONS), np.float32)

    def stored_texts(self) -> set[str]:
        """The inputs of the chunks that have a vector."""
        rows = self.rows("select c.context, c.text from public.chunks c join public.embeddings e on e.chunk_id = c.id")
        return {f"{context}\n{text}" if context else text for context, text in rows}

    def progress(self) -> tuple[int, int]:
        """(embedded, chunks)."""
        counts = "coalesce(sum(embedded_count), 0)::int, coalesce(sum(chunk_count), 0)::int"
        [(embedded, chunks)] = self.rows(f"select {counts} from public.index_documents")
        return embedded, chunks


@pytest.fixture
def shop(database: Database, settings: Settings, alice: UUID) -> Iterator[HostedWorkshop]:
    shop = HostedWorkshop(database, settings, alice)
    yield shop
    shop.close()


@contextmanager
def worker_process(shop: HostedWorkshop) -> Iterator[subprocess.Popen[bytes]]:
    """`corpuscope worker` on the test's database; killed with all of its children at the end, if it still lives."""
    environment = {
        **os.environ,
        "DATABASE_URL": shop.database.owner_dsn,
        "CORPUSCOPE_HOME": str(shop.settings.corpuscope_home),
        "EMBEDDING_PROVIDER": "openai",
        "EMBEDDING_MODEL": shop.settings.embedding_model,
        "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
        "OPENAI_BASE_URL": shop.settings.openai_base_url,
        "OPENAI_API_KEY": "k",
    }
    process = subprocess.Popen([sys.executable, "-m", "rag.cli", "worker"], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            kill(process.pid)
        process.wait()


def kill(pid: int) -> None:
    """kill -9 of a process and what it started."""
    process = psutil.Process(pid)
    for one in [process, *process.children(recursive=True)]:
        one.kill()


def check_economy(asked: Counter[str], stored_before: set[str]) -> None:
    """Nothing that was stored was embedded again, and what was under way was so once more at most."""
    assert {asked[text] for text in stored_before} <= {1}
    assert max(asked.values()) <= 2


def test_a_worker_killed_while_embedding(shop: HostedWorkshop, provider: Provider) -> None:
    documents = [shop.store(f"{n}.txt", prose(150, seed=n)) for n in range(3)]
    with worker_process(shop) as worker:
        wait_for(lambda: 0 < shop.progress()[0] < shop.progress()[1], LONG_S)
        kill(worker.pid)
        worker.wait()
        stored = shop.stored_texts()
        assert 0 < len(stored) < shop.progress()[1]
    with worker_process(shop):
        wait_for(shop.is_finished, LONG_S)
    assert {shop.stage(document) for document in documents} == {"ready"}
    assert shop.check_vectors() >= 450
    assert shop.value("select count(*) from public.failed_jobs") == 0
    check_economy(provider.asked(), stored)


def test_a_worker_killed_while_a_second_index_is_built(shop: HostedWorkshop, provider: Provider) -> None:
    documents = [shop.store(f"{n}.txt", prose(120, seed=n)) for n in range(3)]
    with worker_process(shop) as worker:
        wait_for(shop.is_finished, LONG_S)
        first = shop.progress()[1]
        shop.run("select public.build_index(%s, '{\"max_tokens\": 80}')", shop.collection)
        wait_for(lambda: first < shop.progress()[0] < shop.progress()[1], LONG_S)
        kill(worker.pid)
        worker.wait()
        stored = shop.stored_texts()
    states = "select state from public.indexes order by id"
    with worker_process(shop):
        wait_for(lambda: shop.rows(states) == [("active",), ("ready",)] and shop.is_finished(), LONG_S)
    assert {shop.stage(document) for document in documents} == {"ready"}
    assert shop.check_vectors() > first
    assert shop.value("select count(*) from public.failed_jobs") == 0
    check_economy(provider.asked(), stored)


def test_postgres_killed_while_ingesting(provider: Provider, settings: Settings, tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "own", durable=True) as server, open_embedded(server) as database:
        shop = HostedWorkshop(database, settings, bootstrap.LOCAL_USER)
        documents = [shop.store(f"{n}.txt", prose(150, seed=n)) for n in range(3)]
        with shop.working(load_embedder=shop.load, lease_s=6.0):
            wait_for(lambda: 0 < shop.progress()[0] < shop.progress()[1], LONG_S)
            stored = shop.stored_texts()
            pid = server.pid
            assert pid is not None
            kill(pid)
            documents.append(_store_after_the_crash(shop))
            wait_for(lambda: _is_up(database) and shop.is_finished(), LONG_S)
            assert server.pid != pid
        assert {shop.stage(document) for document in documents} == {"ready"}
        assert shop.check_vectors() >= 450
        assert shop.value("select count(*) from public.failed_jobs") == 0
        check_economy(provider.asked(), stored)
        shop.close()


def _store_after_the_crash(shop: HostedWorkshop) -> UUID:
    """A person's next upload, as soon as the database is there again."""
    wait_for(lambda: _is_up(shop.database), LONG_S)
    return shop.store("later.txt", prose(20, seed=9))


def _is_up(database: Database) -> bool:
    try:
        with database.as_owner() as conn:
            conn.execute("select 1")
    except DatabaseError:
        return False
    return True


@dataclass
class RefuseOne:
    """Vectors, but status ``status`` for every request that holds ``poison``."""

    poison: str
    status: int
    vectors: Vectors = field(default_factory=lambda: Vectors(DIMENSIONS))

    def answer(self, exchange: Exchange) -> None:
        poisoned = any(self.poison in text for text in exchange.request.body["input"])
        (Status(self.status, message="not this one") if poisoned else self.vectors).answer(exchange)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param([Status(429, retry_after=1), Status(429, retry_after=0.5)], id="429"),
        pytest.param([Status(500), Status(503), Status(502)], id="500"),
        pytest.param([Garbage(), Garbage('{"data": [{"index": 0, "embedding": ["a"]}]}'), Garbage("{}")], id="garbage"),
        pytest.param([Vectors(DIMENSIONS, spare=1), Vectors(DIMENSIONS, spare=-1)], id="wrong count"),
        pytest.param([Hang(4.0), Hang(4.0)], id="nothing at all"),
    ],
)
def test_a_provider_in_trouble(shop: HostedWorkshop, provider: Provider, trouble: list[Behaviour]) -> None:
    provider.embeddings += trouble
    document = shop.store("a.txt", prose(100))
    shop.finish(load_embedder=shop.load, backoff=Backoff(first_s=0.2, growth=1.5))
    assert not provider.embeddings, "all of the trouble was met"
    assert shop.stage(document) == "ready"
    assert shop.check_vectors() >= 100
    assert shop.value("select count(*) from public.failed_jobs") == 0


def test_a_provider_that_names_a_time_is_left_alone_until_then(shop: HostedWorkshop, provider: Provider) -> None:
    provider.embeddings.append(Status(429, retry_after=2))
    shop.store("a.txt", prose(10))
    shop.finish(load_embedder=shop.load)
    first, second = provider.requests
    assert second.at - first.at >= 1.9


@pytest.mark.parametrize("status", [400, 500])
def test_a_text_that_a_provider_can_not_take(shop: HostedWorkshop, provider: Provider, status: int) -> None:
    provider.default_embeddings = RefuseOne("Paragraph 0-33 ", status)
    document = shop.store("a.txt", prose(80))
    shop.finish(load_embedder=shop.load, backoff=Backoff(first_s=0.05, growth=1.1))
    assert shop.stage(document) == "failed"
    failed: list[tuple[Any, ...]] = shop.rows(
        "select c.text from public.failed_jobs f join public.chunks c on c.id = f.chunk_id"
    )
    assert len(failed) == 1
    assert "Paragraph 0-33 " in failed[0][0]
    shop.check_vectors()


def test_workers_on_two_hosts_and_one_dies(shop: HostedWorkshop, provider: Provider) -> None:
    documents = [shop.store(f"{n}.txt", prose(120, seed=n)) for n in range(3)]
    with worker_process(shop) as first, worker_process(shop):
        wait_for(lambda: shop.value("select count(*) from corpuscope.workers") == 2, LONG_S)
        wait_for(lambda: shop.progress()[0] > 0, LONG_S)
        kill(first.pid)
        wait_for(shop.is_finished, LONG_S)
    assert {shop.stage(document) for document in documents} == {"ready"}
    shop.check_vectors()
    assert max(provider.asked().values()) <= 2
    with connect(shop.database.owner_dsn) as conn:
        assert conn.execute("select count(*) from public.failed_jobs").fetchone() == (0,)
