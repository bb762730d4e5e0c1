"""Originals in the bucket as people and workers meet them: ingest, downloads, the page's picture, the command."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.testclient import TestClient

from rag.auth.identity import Identity
from rag.commands import cli_originals
from rag.commands.children import settings_environment
from rag.commands.cli_output import Output
from rag.commands.cli_session import Session
from rag.corpus.originals import open_store
from rag.errors import InvalidInput, OriginalLost, ProviderBusy, SettingsError, StorageBusy
from rag.reading.parsed import ParsedText
from rag.settings import Settings, load_settings
from rag.store.database import Database
from rag.vectors.embedders import load_tokens
from rag.web.files import address, routes
from rag.work.ingesting import IngestTools, ingest
from tests.conftest import ALICE, BOB
from tests.integration.workshop import Workshop, wait_for
from tests.supabase.originals import MB, Depot, depot, noise
from tests.supabase.storage_stub import KEY, Fault, StorageStub, storage_stub

LARGE = noise(7 * MB + 11)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stub() -> Iterator[StorageStub]:
    with storage_stub() as running:
        yield running


@pytest.fixture
def store(database: Database, stub: StorageStub) -> Iterator[Depot]:
    with depot(database, stub) as made:
        yield made


def with_bucket(stub: StorageStub, **changes: Any) -> Settings:
    keys = {"supabase_url": stub.url, "supabase_secret_key": SecretStr(KEY)}
    return load_settings(None).model_copy(update=keys | changes)


# The worker ----------------------------------------------------------------------------------------------------------


def test_a_worker_brings_what_is_uploaded_and_removes_what_is_deleted(database: Database, stub: StorageStub) -> None:
    shop = Workshop(database, with_bucket(stub, originals="supabase"), ALICE)
    with shop.working():
        document = shop.store("pump.txt", "The pump hums. " * 40)
        wait_for(lambda: shop.value("select original_object from public.documents"))
        wait_for(lambda: shop.value("select stage from public.documents") == "ready")
        assert shop.value("select count(*) from public.document_files") == 0
        assert stub.objects() == [shop.value("select original_object from public.documents")]
        with database.as_user(ALICE) as conn:
            conn.execute("delete from public.documents where id = %s", [document])
        wait_for(lambda: not stub.objects())


def job(store: Depot, document: UUID) -> list[bytes]:
    """Does the ingest job as a worker with a bucket; what the parser was given."""
    tokens = load_tokens(load_settings(None))
    seen: list[bytes] = []

    def parse(path: Path, name: str, cancelled: Callable[[], bool]) -> ParsedText:
        seen.append(path.read_bytes())
        return ParsedText("A text.")

    tools = IngestTools(parse, lambda model: tokens, lambda text: "en", store.bucket)
    ingest(store.database, document, tools, lambda: False)
    return seen


def again(store: Depot, document: UUID) -> None:
    with store.database.as_user(ALICE) as conn:
        conn.execute("select public.retry_documents(%s)", [[document]])


def test_a_retried_document_is_read_from_the_bucket(store: Depot) -> None:
    document = store.add("a.bin", LARGE)
    store.move_all()
    again(store, document)
    assert job(store, document) == [LARGE]


def test_a_bucket_that_is_away_puts_the_job_off(store: Depot) -> None:
    document = store.add("a.bin", b"a")
    store.move_all()
    again(store, document)
    store.stub.faults.append(Fault("GET", "500", times=99))
    with pytest.raises(ProviderBusy, match="bucket of originals"):
        job(store, document)


def test_a_lost_original_is_said_to_be_lost(store: Depot) -> None:
    document = store.add("a.bin", b"a")
    store.move_all()
    again(store, document)
    store.stub.place(str(store.object(document))).unlink()
    with pytest.raises(OriginalLost):
        job(store, document)


# The download --------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(store: Depot) -> Iterator[Callable[[UUID], TestClient]]:
    made: list[TestClient] = []

    def open_one(user: UUID) -> TestClient:
        person = Identity(user, "alice@example.org", "Alice")
        app = Starlette(routes=routes(lambda: store.database, lambda: store.bucket, person))
        made.append(TestClient(app))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


Open = Callable[[UUID], TestClient]


@pytest.mark.parametrize("place", ["database", "bucket"])
@pytest.mark.parametrize("data", [b"a", LARGE], ids=["small", "large"])
def test_a_download_is_the_upload(store: Depot, browser: Open, place: str, data: bytes) -> None:
    document = store.add("Bericht über Öl.pdf", data)
    if place == "bucket":
        store.move_all()
    response = browser(ALICE).get(address(document))
    assert response.status_code == 200
    assert response.content == data
    assert response.headers["content-length"] == str(len(data))
    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''Bericht%20%C3%BCber%20%C3%96l.pdf"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_an_empty_file_downloads_too(store: Depot, browser: Open) -> None:
    assert browser(ALICE).get(address(store.add("a.txt", b""))).content == b""


def test_a_download_is_noted(store: Depot, browser: Open) -> None:
    browser(ALICE).get(address(store.add("a.txt", b"a")))
    assert store.do("select count(*) from public.audit_log where action = 'exported'") == [(1,)]


def test_what_is_not_shared_is_not_there(store: Depot, browser: Open) -> None:
    document = store.add("a.txt", b"a")
    store.move_all()
    before = store.stub.count("GET", "/object/")
    assert browser(BOB).get(address(document)).status_code == 404
    assert browser(BOB).get(address(BOB)).status_code == 404
    assert store.stub.count("GET", "/object/") == before, "Storage was asked"


def test_strangers_are_asked_to_sign_in(store: Depot) -> None:
    app = Starlette(routes=routes(lambda: store.database, lambda: store.bucket))
    with TestClient(app) as client:
        assert client.get(address(store.add("a.txt", b"a"))).status_code == 401


def test_a_bucket_that_is_away_is_said_before_anything_is_sent(store: Depot, browser: Open) -> None:
    document = store.add("a.txt", b"a")
    store.move_all()
    store.stub.faults.append(Fault("GET", "500", times=99))
    response = browser(ALICE).get(address(document))
    assert response.status_code == 503
    assert "bucket of originals" in response.text


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(store: Depot) -> Callable[..., tuple[int, dict[str, Any]]]:
    return lambda *words, **changes: run(store, list(words), with_bucket(store.stub, **changes))


Command = Callable[..., tuple[int, dict[str, Any]]]


def run(store: Depot, words: list[str], settings: Settings) -> tuple[int, dict[str, Any]]:
    """The command on the test's database; its exit code and what it prints."""
    from rag.cli import make_parser

    arguments: Namespace = make_parser().parse_args(["originals", "--json", *words])
    out = Output(json=True, stdout=io.StringIO(), stderr=io.StringIO())
    code = cli_originals.act(arguments, Session(settings, store.database, out))
    assert isinstance(out.stdout, io.StringIO)
    return code, json.loads(out.stdout.getvalue())


def test_the_command_moves_everything_there_and_back(store: Depot, command: Command) -> None:
    documents = {store.add(f"{n}.txt", f"number {n}".encode()): f"number {n}".encode() for n in range(12)}
    store.add("new.txt", b"new", read=False)
    code, told = command("move", "--to", "supabase")
    assert (code, told["moved"], told["failed"], told["left"]) == (0, 12, 0, 1)
    code, told = command()
    assert (told["in_bucket"], told["in_database"], told["loose"]) == (12, 1, 0)
    code, told = command("move", "--to", "database", "--at-once", "2")
    assert (code, told["moved"], told["left"]) == (0, 12, 0)
    assert store.stub.objects() == []
    assert all(store.read(document) == data for document, data in documents.items())


def test_what_cannot_be_moved_is_named(store: Depot, command: Command) -> None:
    documents = [store.add(f"{n}.txt", str(n).encode()) for n in range(3)]
    store.stub.faults.append(Fault("POST", "413", where=str(documents[1]), times=1))
    code, told = command("move", "--to", "supabase")
    assert (code, told["moved"], told["failed"], told["left"]) == (1, 2, 1, 1)
    _, told = command("status")
    assert [(row["name"], "no file of this size" in row["error"]) for row in told["failures"]] == [("1.txt", True)]
    assert command("move", "--to", "supabase")[1]["moved"] == 1, "asked again, it tries again"


@pytest.mark.parametrize("to", ["supabase", "database"])
def test_a_killed_command_is_run_again(store: Depot, tmp_path: Path, to: str) -> None:
    """Killed while it sends, or fetches, the second of three; what lies about then is removed by the next run."""
    documents = {store.add(f"{n}.bin", data): data for n, data in enumerate((LARGE, LARGE[1:], LARGE[2:]))}
    if to == "database":
        run(store, ["move", "--to", "supabase"], with_bucket(store.stub))
    method, where = ("PATCH", "resumable") if to == "supabase" else ("GET", "/object/")
    second = 3 if to == "supabase" else 2
    store.stub.seen.clear()
    store.stub.faults += [Fault(method, "slow", where, times=second - 1), Fault(method, "slow", where, after=60)]
    settings = with_bucket(store.stub, database_url=store.database.owner_dsn, corpuscope_home=tmp_path)
    words = [sys.executable, "-m", "rag.cli", "originals", "move", "--to", to, "--at-once", "1"]
    with subprocess.Popen(words, env=settings_environment(settings), cwd=ROOT, stderr=subprocess.DEVNULL) as command:
        wait_for(lambda: store.stub.count(method, where) == second)
        command.kill()
    assert all(store.read(document) == data for document, data in documents.items())
    store.time_passes()
    code, told = run(store, ["move", "--to", to], with_bucket(store.stub))
    assert (code, told["moved"], told["left"]) == (0, 2, 0)
    assert all(store.read(document) == data for document, data in documents.items())
    assert store.stub.objects() == sorted(filter(None, map(store.object, documents)))
    assert store.loose() == []


def test_storage_that_stays_away_ends_the_command(store: Depot) -> None:
    documents = [store.add(f"{n}.txt", str(n).encode()) for n in range(3)]
    store.stub.faults.append(Fault("POST", "500", times=99))
    with pytest.raises(StorageBusy):
        run(store, ["move", "--to", "supabase", "--at-once", "1"], with_bucket(store.stub))
    assert [store.object(document) for document in documents] == [None] * 3


@pytest.mark.parametrize(
    ("words", "changes", "error"),
    [
        (["move"], {}, InvalidInput),
        (["--to", "database"], {}, InvalidInput),
        (["move", "--to", "database"], {"originals": "supabase"}, InvalidInput),
        (["move", "--to", "supabase"], {"supabase_secret_key": SecretStr("")}, SettingsError),
    ],
)
def test_what_makes_no_sense_is_refused(
    command: Command, words: list[str], changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        command(*words, **changes)


def test_progress_in_words() -> None:
    assert cli_originals.describe(3, 40, 12_000_000, 300_000_000, 4e6) == (
        "Moved 3 of 40 originals, 12 of 300 MB, 4.0 MB/s, about 72 s left"
    )
    assert cli_originals.describe(0, 40, 0, 300_000_000, None) == "Moved 0 of 40 originals, 0 of 300 MB"


def test_without_keys_there_is_no_bucket() -> None:
    assert open_store(load_settings(None)) is None
