"""The bucket over HTTP: what goes in comes out, in pieces, and what every kind of fault on the way comes to."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from rag.corpus.bucket import PIECE_BYTES, Bucket
from rag.errors import OriginalLost, StorageBusy, StorageError
from tests.supabase.stack import Project
from tests.supabase.storage_stub import KEY, Fault, Kind, StorageStub, storage_stub

SMALL = b"A pump hums."
LARGE = random.Random(7).randbytes(2 * PIECE_BYTES + 12_345)


@pytest.fixture(scope="module")
def running() -> Iterator[StorageStub]:
    with storage_stub() as stub:
        yield stub


@pytest.fixture
def stub(running: StorageStub) -> StorageStub:
    running.buckets.clear()
    running.faults.clear()
    running.seen.clear()
    for object in running.objects():
        running.place(object).unlink()
    return running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def bucket(stub: StorageStub, pauses: list[float]) -> Iterator[Bucket]:
    made = Bucket(stub.url, KEY, "originals", timeout=httpx2.Timeout(2.0), pause=pauses.append)
    made.ensure()
    stub.seen.clear()
    yield made
    made.close()


def pieces(data: bytes, size: int = 2**20) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def put(bucket: Bucket, data: bytes) -> str:
    object = f"{bucket.name}/corpuscope-originals/{secrets.token_hex(8)}"
    bucket.upload(object, len(data), pieces(data))
    return object


def get(bucket: Bucket, object: str, size: int, start: int = 0) -> bytes:
    return b"".join(bucket.read(object, size, start))


@pytest.fixture(scope="module")
def project_bucket(project: Project, running: StorageStub) -> Iterator[Bucket]:
    """A bucket of the project: here the stub's behind the gateway, hosted a real one, which stays (a private one)."""
    if not project.hosted:
        project.route("/storage/v1", f"{running.url}/storage/v1")
    made = Bucket(project.url, project.secret_key if project.hosted else KEY, "corpuscope-tests")
    yield made
    made.close()


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_what_goes_in_comes_out_and_goes(project_bucket: Bucket, data: bytes) -> None:
    project_bucket.ensure()
    state = project_bucket.look()
    assert state is not None
    assert not state.public
    object = put(project_bucket, data)
    assert get(project_bucket, object, len(data)) == data
    assert get(project_bucket, object, len(data), len(data) - 5) == data[-5:]
    project_bucket.remove([object, f"{object}-that-never-was"])
    with pytest.raises(OriginalLost):
        get(project_bucket, object, len(data))


def test_a_public_bucket_is_refused(stub: StorageStub, bucket: Bucket) -> None:
    stub.buckets["originals"]["public"] = True
    with pytest.raises(StorageError, match="is public"):
        bucket.ensure()


def test_a_missing_bucket_is_made_private(stub: StorageStub, bucket: Bucket) -> None:
    stub.buckets.clear()
    assert bucket.look() is None
    bucket.ensure()
    assert stub.buckets["originals"]["public"] is False


def test_a_wrong_key_is_said_to_be_one(stub: StorageStub) -> None:
    with (
        closing(Bucket(stub.url, "another", "originals", pause=lambda _: None)) as bucket,
        pytest.raises(StorageError, match="refuses the key") as caught,
    ):
        bucket.ensure()
    assert "SUPABASE_SECRET_KEY" in caught.value.hint


def test_without_the_bucket_an_upload_says_so(stub: StorageStub, bucket: Bucket) -> None:
    stub.buckets.clear()
    for data in (SMALL, LARGE):
        with pytest.raises(StorageError, match="no bucket “originals”"):
            put(bucket, data)


def test_the_key_stays_with_the_project(bucket: Bucket) -> None:
    """The stub's answer to a new upload names another host; only the path of it is used."""
    object = put(bucket, LARGE)
    assert get(bucket, object, len(LARGE)) == LARGE


@pytest.mark.parametrize("kind", ["500", "429", "cut", "unanswered"])
@pytest.mark.parametrize(
    ("data", "method", "where"),
    [(SMALL, "POST", "/object/"), (LARGE, "POST", "resumable"), (LARGE, "PATCH", "resumable")],
    ids=["small", "begin", "piece"],
)
def test_an_upload_survives(
    stub: StorageStub, bucket: Bucket, kind: Kind, data: bytes, method: str, where: str
) -> None:
    stub.faults.append(Fault(method, kind, where, after=1_000_000 if data is LARGE else 3, times=2))
    object = put(bucket, data)
    assert get(bucket, object, len(data)) == data


def test_an_upload_goes_on_where_it_was_cut(stub: StorageStub, bucket: Bucket) -> None:
    stub.faults.append(Fault("PATCH", "cut", after=1_000_000))
    assert get(bucket, put(bucket, LARGE), len(LARGE)) == LARGE
    assert stub.count("POST", "resumable") == 1, "it was begun again"
    assert stub.count("HEAD") == 1


@pytest.mark.parametrize("kind", ["500", "429", "cut", "slow"])
def test_a_reading_goes_on_where_it_broke(stub: StorageStub, bucket: Bucket, kind: Kind) -> None:
    object = put(bucket, LARGE)
    stub.faults.append(Fault("GET", kind, after=3 if kind == "slow" else 5_000_000, times=2))
    assert get(bucket, object, len(LARGE)) == LARGE


def test_a_server_without_ranges_is_read_on_too(stub: StorageStub, bucket: Bucket) -> None:
    object = put(bucket, LARGE)
    stub.faults += [Fault("GET", "cut", after=5_000_000), Fault("GET", "other")]
    assert hashlib.sha256(get(bucket, object, len(LARGE))).digest() == hashlib.sha256(LARGE).digest()


@pytest.mark.parametrize("kind", ["short", "long"])
def test_another_size_is_no_original(stub: StorageStub, bucket: Bucket, kind: Kind) -> None:
    object = put(bucket, LARGE)
    stub.faults.append(Fault("GET", kind))
    with pytest.raises(OriginalLost, match="than what was put there"):
        get(bucket, object, len(LARGE))


def test_what_stays_away_is_given_up_on(stub: StorageStub, bucket: Bucket, pauses: list[float]) -> None:
    object = put(bucket, SMALL)
    stub.faults += [Fault("GET", "500", times=99), Fault("POST", "500", times=99), Fault("DELETE", "cut", times=99)]
    with pytest.raises(StorageBusy):
        get(bucket, object, len(SMALL))
    assert pauses == [0.5, 1, 2, 4]
    with pytest.raises(StorageBusy):
        put(bucket, SMALL)


def test_nobody_there_is_said_so(pauses: list[float]) -> None:
    with (
        closing(Bucket("http://127.0.0.1:9", KEY, "originals", pause=pauses.append)) as bucket,
        pytest.raises(StorageBusy, match="can't be reached"),
    ):
        bucket.look()
    assert len(pauses) == 4


def test_a_file_over_the_projects_limit_is_said_to_be_one(stub: StorageStub, bucket: Bucket) -> None:
    stub.faults.append(Fault("POST", "413"))
    with pytest.raises(StorageError, match="no file of this size") as caught:
        put(bucket, SMALL)
    assert not isinstance(caught.value, StorageBusy)
    assert stub.count("POST") == 1
