"""Originals on the move: nothing is lost or left behind, whatever breaks or dies in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from rag.corpus.bucket import Bucket
from rag.corpus.documents import delete_documents
from rag.curation.acts import trash_documents
from rag.errors import Cancelled, InvalidInput, NotAllowed, NotFound, OriginalLost, StorageBusy, StorageError
from rag.store.database import Database
from rag.work.moving_originals import Mover, keep_originals, read_failing, read_overview, remove_loose
from tests.conftest import ALICE, BOB
from tests.supabase.originals import MB, Depot, depot, noise
from tests.supabase.storage_stub import Fault, StorageStub, storage_stub

LARGE = noise(7 * MB + 11)


@pytest.fixture
def stub() -> Iterator[StorageStub]:
    with storage_stub() as running:
        yield running


@pytest.fixture
def store(database: Database, stub: StorageStub) -> Iterator[Depot]:
    with depot(database, stub) as made:
        yield made


@pytest.mark.parametrize("data", [b"A pump hums.", LARGE], ids=["small", "large"])
def test_there_and_back(store: Depot, data: bytes) -> None:
    document = store.add("a.bin", data)
    assert store.move_all() == 1
    assert store.pieces(document) == 0
    assert store.stub.objects() == [store.object(document)]
    assert store.read(document) == data
    assert store.move_all(to_bucket=False) == 1
    assert store.object(document) is None
    assert store.read(document) == data
    store.tidy()
    assert store.stub.objects() == store.loose() == []


def test_what_was_not_read_yet_stays_in_the_database(store: Depot) -> None:
    store.add("new.txt", b"new", read=False)
    store.add("empty.txt", b"")
    assert store.move_all() == 0


def test_documents_in_the_trash_move_too(store: Depot) -> None:
    document = store.add("a.txt", b"a")
    with store.database.as_user(ALICE) as conn:
        trash_documents(conn, store.collection, [document])
    assert store.move_all() == store.move_all(to_bucket=False) == 1


def test_a_deleted_document_takes_its_file_along(store: Depot) -> None:
    kept, gone = store.add("a.txt", b"a"), store.add("b.txt", b"b")
    store.move_all()
    with store.database.as_user(ALICE) as conn:
        delete_documents(conn, [gone])
    assert len(store.stub.objects()) == 2, "that is the job's, not the deletion's"
    assert store.tidy() == 1
    assert store.stub.objects() == [store.object(kept)]
    assert store.loose() == []


def test_a_deleted_collection_takes_its_files_along(store: Depot) -> None:
    store.add("a.txt", b"a")
    store.move_all()
    store.do("delete from public.collections where id = %s", store.collection)
    store.tidy()
    assert store.stub.objects() == []


def test_a_removal_is_done_again_until_it_is_done(store: Depot) -> None:
    document = store.add("a.txt", b"a")
    store.move_all()
    store.do("delete from public.documents where id = %s", document)
    store.stub.faults.append(Fault("DELETE", "500", times=99))
    with pytest.raises(StorageBusy):
        store.tidy()
    assert store.tidy() == 0, "it waits a while"
    store.stub.faults[0] = Fault(
        "DELETE", "unanswered"
    )  # it is gone, and nobody hears of it; the next try finds nothing
    store.time_passes()
    assert store.tidy() == 1
    assert store.loose() == store.stub.objects() == []


class Killed(BaseException):
    """As good as kill -9: nothing in the process does anything any more."""


class Dying(Mover):
    """Dies at one point, without another word to anybody."""

    def _end(self, *_: Any) -> None:
        """Would give the document free; the dead don't."""


@pytest.mark.parametrize("moment", ["sending", "sent", "comparing", "adopted"])
def test_a_killed_mover_leaves_nothing_behind(store: Depot, moment: str) -> None:
    document = store.add("a.bin", LARGE)

    class Fragile(Bucket):
        def upload(self, object: str, size: int, pieces: Any) -> None:
            super().upload(object, size, dying(pieces) if moment == "sending" else pieces)
            if moment == "sent":
                raise Killed

        def read(self, object: str, size: int, start: int = 0) -> Iterator[bytes]:
            found = super().read(object, size, start)
            return dying(found) if moment == "comparing" else found

    class AfterAll(Dying):
        def _into_bucket(self, move: Any) -> bool:
            super()._into_bucket(move)
            raise Killed

    fragile = Fragile(store.stub.url, "the-stub-knows-this-key", "originals")
    with pytest.raises(Killed):
        (AfterAll if moment == "adopted" else Dying)(store.database, fragile).move_next(to_bucket=True)
    fragile.close()
    assert store.read(document) == LARGE
    assert store.move_all() == 0, "it is still the dead one's, or moved already"
    store.time_passes()
    store.tidy()
    assert store.move_all() == (0 if moment == "adopted" else 1)
    assert store.read(document) == LARGE
    assert store.stub.objects() == [store.object(document)]
    assert store.loose() == []


def dying(pieces: Any) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        if number == 6:
            raise Killed
        yield piece


def test_a_mover_that_was_given_up_on_can_no_longer_adopt(store: Depot) -> None:
    """It slept, its claim ran out, what it had sent was removed; then it goes on."""
    document = store.add("a.bin", LARGE)

    class Sleepy(Bucket):
        def upload(self, object: str, size: int, pieces: Any) -> None:
            store.time_passes()
            store.tidy()
            super().upload(object, size, pieces)

    sleepy = Sleepy(store.stub.url, "the-stub-knows-this-key", "originals")
    Mover(store.database, sleepy).move_next(to_bucket=True)
    sleepy.close()
    assert store.object(document) is None
    assert store.pieces(document) == 8
    store.time_passes()
    assert store.move_all() == 1
    assert store.read(document) == LARGE
    store.tidy()
    assert store.stub.objects() == [store.object(document)], "what came late went too"


def test_other_bytes_in_the_bucket_are_not_adopted(store: Depot) -> None:
    document = store.add("a.bin", b"as it was uploaded")

    class Forging(Bucket):
        def upload(self, object: str, size: int, pieces: Any) -> None:
            super().upload(object, size, [b"x" * size])
            list(pieces)

    forging = Forging(store.stub.url, "the-stub-knows-this-key", "originals")
    with pytest.raises(OriginalLost):
        Mover(store.database, forging).move_next(to_bucket=True)
    forging.close()
    assert store.read(document) == b"as it was uploaded"
    with store.database.as_worker() as conn:
        ((name, error, _),) = read_failing(conn, 10)
    assert (name, "what was uploaded" in error) == ("a.bin", True)
    assert store.move_all() == 0, "not at once"
    store.tidy()
    assert store.stub.objects() == []
    store.time_passes()
    assert store.move_all() == 1


def test_bytes_that_are_not_the_uploaded_ones_stay_where_they_are(store: Depot) -> None:
    document = store.add("a.bin", b"as it was uploaded")
    store.do("update public.document_files set data = 'Xs it was uploaded' where document_id = %s", document)
    with pytest.raises(OriginalLost, match="stay as they are"):
        store.move_all()
    assert store.pieces(document) == 1


def test_what_is_damaged_in_the_bucket_is_said_and_not_brought_back(store: Depot) -> None:
    document = store.add("a.bin", b"as it was uploaded")
    store.move_all()
    store.stub.place(str(store.object(document))).write_bytes(b"Xs it was uploaded")
    with pytest.raises(OriginalLost):
        store.read(document)
    with pytest.raises(OriginalLost):
        store.move_all(to_bucket=False)
    assert store.object(document) is not None
    store.stub.place(str(store.object(document))).unlink()
    with pytest.raises(OriginalLost):
        store.read(document)


def test_one_that_fails_does_not_hold_up_the_others(store: Depot) -> None:
    documents = [store.add(f"{n}.txt", str(n).encode()) for n in range(3)]
    store.stub.faults.append(Fault("POST", "413", where=str(documents[0]), times=99))
    stop = threading.Event()
    thread = threading.Thread(
        target=keep_originals, args=(store.database, store.bucket, stop), kwargs={"to_bucket": True, "round_s": 0.02}
    )
    thread.start()
    try:
        wait_until(lambda: all(store.object(one) for one in documents[1:]))
        assert store.object(documents[0]) is None
        store.do("delete from public.documents where id = %s", documents[1])
        wait_until(lambda: len(store.stub.objects()) == 1)
    finally:
        stop.set()
        thread.join(10)
    with store.database.as_worker() as conn:
        overview = read_overview(conn)
    assert (overview.in_database, overview.in_bucket, overview.failing) == (1, 1, 1)


def wait_until(holds: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(200):
        if holds():
            return
        waiting.wait(0.05)
    raise AssertionError("it did not come to pass within 10 s")


def test_movers_side_by_side_move_each_once(store: Depot) -> None:
    documents = [store.add(f"{n}.txt", f"number {n}".encode()) for n in range(24)]
    threads = [threading.Thread(target=store.move_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert store.stub.count("POST", "/object/") == 24
    assert store.stub.objects() == sorted(str(store.object(one)) for one in documents)
    assert store.loose() == []


def test_a_mover_stops_when_told_to(store: Depot) -> None:
    document = store.add("a.bin", LARGE)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        Mover(store.database, store.bucket, stop).move_next(to_bucket=True)
    assert store.move_all() == 1, "free at once for the next"
    assert store.read(document) == LARGE


def test_a_long_move_keeps_its_claim(store: Depot) -> None:
    store.add("a.bin", LARGE)

    class Slow(Bucket):
        def read(self, object: str, size: int, start: int = 0) -> Iterator[bytes]:
            for piece in super().read(object, size, start):
                due = store.do("select due_at > now() + interval '0.2 s' from corpuscope.original_moves")
                assert due == [(True,)]
                yield piece

    slow = Slow(store.stub.url, "the-stub-knows-this-key", "originals")
    assert Mover(store.database, slow, lease_s=0.5).move_next(to_bucket=True)
    slow.close()


@pytest.mark.parametrize("to_bucket", [True, False], ids=["into the bucket", "into the database"])
def test_a_reader_does_not_notice_a_move(store: Depot, to_bucket: bool) -> None:
    document = store.add("a.bin", LARGE)
    if not to_bucket:
        store.move_all()
    reading = store.reading(document)
    read = next(reading)
    store.move_all(to_bucket=to_bucket)
    store.tidy()
    assert read + b"".join(reading) == LARGE


def test_a_reader_of_the_bucket_follows_a_file_that_left_it(store: Depot) -> None:
    """The connection breaks, and meanwhile the file is in the database again."""
    document = store.add("a.bin", LARGE)
    store.move_all()
    store.stub.faults.append(Fault("GET", "cut", after=2 * MB))
    reading = store.reading(document)
    read = next(reading)
    store.move_all(to_bucket=False)
    store.tidy()
    assert read + b"".join(reading) == LARGE


def test_reading_holds_no_transaction(store: Depot) -> None:
    document = store.add("a.bin", LARGE)
    reading = store.reading(document)
    next(reading)
    idle = "select count(*) from pg_stat_activity where state = 'idle in transaction' and datname = current_database()"
    assert store.do(idle) == [(0,)]
    store.move_all()
    reading = store.reading(document)
    next(reading)
    assert store.do(idle) == [(0,)]


def test_nobody_reads_what_they_may_not_see(store: Depot) -> None:
    document = store.add("a.bin", LARGE)
    for _ in range(2):
        with pytest.raises(NotFound):
            store.read(document, BOB)
        store.move_all()


def test_without_a_key_what_is_in_the_bucket_is_said_to_be_there(store: Depot) -> None:
    from rag.corpus.originals import read_original

    document = store.add("a.bin", b"a")
    store.move_all()
    with pytest.raises(StorageError, match="no key"):
        list(read_original(lambda: store.database.as_user(ALICE), document, None))


def test_no_pieces_are_added_to_what_is_in_the_bucket(store: Depot) -> None:
    document = store.add("a.bin", b"abc")
    store.move_all()
    with pytest.raises(InvalidInput), store.database.as_user(ALICE) as conn:
        conn.execute("insert into public.document_files values (%s, 0, 'a')", [document])


def test_people_cannot_say_where_an_original_is(store: Depot) -> None:
    document = store.add("a.bin", b"abc")
    elsewhere = "originals/corpuscope-originals/elsewhere"
    for statement in (
        "update public.documents set original_object = %s where id = %s",
        "insert into public.documents (original_object, id) values (%s, %s)",
        "select corpuscope.let_go(%s) from public.documents where id = %s",
    ):
        with pytest.raises(NotAllowed), store.database.as_user(ALICE) as conn:
            conn.execute(statement.encode(), [elsewhere, document])
    assert store.object(document) is None


def test_removing_is_shared_between_workers(store: Depot) -> None:
    ids: list[UUID] = [store.add(f"{n}.txt", str(n).encode()) for n in range(150)]
    store.do(
        "update public.documents set original_object = 'originals/corpuscope-originals/' || id where id = any (%s)", ids
    )
    store.do("delete from public.documents")
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(remove_loose(store.database, store.bucket)))] * 1
    threads += [threading.Thread(target=lambda: counts.append(remove_loose(store.database, store.bucket)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(counts) == 150
    assert store.loose() == []
