"""Uploads, what becomes of names and bytes, and what a person may do with documents."""

from __future__ import annotations

import hashlib
import io
import threading
from contextlib import nullcontext
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from rag.corpus import documents
from rag.corpus.originals import read_original
from rag.corpus.progress import read_progress
from rag.errors import InvalidInput, NotAllowed, NotFound, ParseLimit
from rag.records import StoredUpload
from rag.store.database import Database
from tests.integration.conftest import Store


class Pipe(io.RawIOBase):
    """A stream that can be read once, in pieces no larger than asked for."""

    def __init__(self, data: bytes) -> None:
        self._source = io.BytesIO(data)
        self.largest = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= 2**20
        return self._source.read(size)


def queued(database: Database) -> list[str]:
    with database.as_worker() as conn:
        return [row[0] for row in conn.execute("select message ->> 'document' from pgmq.q_ingest order by msg_id")]


def finish(database: Database, document_id: UUID | None, stage: str = "ready") -> None:
    with database.as_worker() as conn:
        conn.execute("update public.documents set stage = %s where id = %s", [stage, document_id])


def test_a_file_is_stored_in_pieces_and_queued(database: Database, alice: UUID, corpus: UUID, store: Store) -> None:
    data = bytes(range(256)) * 10_000
    upload = store("../folder/Report\x00.PDF", data)
    assert (upload.outcome, upload.name) == ("stored", "Report.PDF")
    with database.as_user(alice) as conn:
        (row,) = documents.list_documents(conn, corpus)
        pieces = list(read_original(lambda: nullcontext(conn), row.id))
        (digest,) = conn.execute("select sha256 from public.documents").fetchone() or (b"",)
    assert (row.id, row.stage, row.size) == (upload.document_id, "stored", len(data))
    assert [len(piece) for piece in pieces] == [2**20, 2**20, len(data) - 2**21]
    assert hashlib.sha256(b"".join(pieces)).digest() == digest
    assert queued(database) == [str(upload.document_id)]


def test_a_stream_that_cannot_be_read_twice_is_stored_whole(database: Database, alice: UUID, corpus: UUID) -> None:
    with database.as_user(alice) as conn:
        upload = documents.store_document(conn, corpus, "a.bin", Pipe(b"x" * 3_000_000), max_bytes=2**22)  # type: ignore[arg-type]
        assert upload.document_id is not None
        assert b"".join(read_original(lambda: nullcontext(conn), upload.document_id)) == b"x" * 3_000_000


@pytest.mark.parametrize("source", [io.BytesIO, Pipe])
def test_a_file_that_is_too_large_leaves_nothing(database: Database, alice: UUID, corpus: UUID, source: Any) -> None:
    with pytest.raises(ParseLimit, match="is larger than the 1 MB"), database.as_user(alice) as conn:
        documents.store_document(conn, corpus, "big.txt", source(b"x" * (2**20 + 1)), max_bytes=2**20)
    with database.as_user(alice) as conn:
        assert documents.list_documents(conn, corpus) == []


def test_an_empty_file_is_stored_for_ingest_to_explain(database: Database, alice: UUID, store: Store) -> None:
    upload = store("empty.txt", b"")
    assert upload.outcome == "stored"
    with database.as_user(alice) as conn:
        assert upload.document_id is not None
        assert list(read_original(lambda: nullcontext(conn), upload.document_id)) == []


def test_the_same_bytes_are_said_so_and_not_stored_twice(store: Store, database: Database) -> None:
    first = store("a.txt", b"same")
    again = store("b.txt", b"same")
    assert (again.outcome, again.document_id) == ("duplicate", None)
    assert again.existing is not None
    assert (again.existing.id, again.existing.name) == (first.document_id, "a.txt")
    assert len(queued(database)) == 1


def test_the_same_bytes_uploaded_at_once_are_stored_once(store: Store) -> None:
    outcomes: list[str] = []
    data = b"z" * 3_000_000
    threads = [threading.Thread(target=lambda: outcomes.append(store("z.txt", data).outcome)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["duplicate"] * 3 + ["stored"]


def test_a_taken_name_is_asked_about(store: Store) -> None:
    first = store("Report.txt", b"old")
    asked = store("report.TXT", b"new")
    assert asked.outcome == "name_taken"
    assert asked.existing is not None
    assert asked.existing.id == first.document_id


def test_both_are_kept_under_numbered_names(store: Store) -> None:
    names = [store("report.pdf", data, on_name="keep_both").name for data in (b"1", b"2", b"3")]
    assert names == ["report.pdf", "report (2).pdf", "report (3).pdf"]


def test_a_long_name_stays_within_its_limit_when_numbered(store: Store) -> None:
    name = "x" * 251 + ".txt"
    store(name, b"1")
    numbered = store(name, b"2", on_name="keep_both").name
    assert len(numbered) == 255
    assert numbered.endswith(" (2).txt")


def replaced(database: Database) -> dict[UUID, UUID | None]:
    with database.as_worker() as conn:
        return dict(conn.execute("select id, replaces from public.documents").fetchall())


def test_a_replacement_names_what_it_will_replace(store: Store, database: Database) -> None:
    old = store("a.txt", b"1").document_id
    finish(database, old)
    new = store("a.txt", b"2", on_name="replace").document_id
    assert replaced(database) == {old: None, new: old}


def test_a_replacement_of_a_replacement_to_come_takes_over(store: Store, database: Database) -> None:
    old = store("a.txt", b"1").document_id
    finish(database, old)
    store("a.txt", b"2", on_name="replace")
    newest = store("a.txt", b"3", on_name="replace").document_id
    assert replaced(database) == {old: None, newest: old}


def test_replace_without_a_namesake_just_stores(store: Store) -> None:
    assert store("a.txt", b"1", on_name="replace").outcome == "stored"


def test_strangers_and_viewers_add_and_change_nothing(
    database: Database, alice: UUID, bob: UUID, corpus: UUID, store: Store
) -> None:
    document = store("a.txt", b"1").document_id
    assert document is not None
    with pytest.raises(NotAllowed):
        store("b.txt", b"2", user=bob)
    with database.as_user(bob) as conn:
        assert documents.list_documents(conn, corpus) == []
        with pytest.raises(NotFound):
            documents.get_document(conn, document)
        with pytest.raises(NotFound):
            list(read_original(lambda: nullcontext(conn), document))
        assert documents.delete_documents(conn, [document]) == 0
    with database.as_user(alice) as conn:
        conn.execute("insert into public.collection_members values (%s, %s, 'viewer')", [corpus, bob])
    with database.as_user(bob) as conn:
        assert documents.get_document(conn, document).name == "a.txt"
        for act in (
            documents.delete_documents,
            documents.retry_documents,
            documents.pause_documents,
            documents.cancel_documents,
        ):
            with pytest.raises(NotAllowed, match="read these documents but not change them"):
                act(conn, [document])
        with pytest.raises(NotAllowed):
            documents.rename_document(conn, document, "mine.txt")
    with pytest.raises(NotAllowed), database.as_user(bob) as conn:
        documents.set_language(conn, document, "de")
    with pytest.raises(NotAllowed):
        store("b.txt", b"2", user=bob)


def test_documents_are_paused_resumed_cancelled_and_retried(database: Database, alice: UUID, store: Store) -> None:
    ids = [upload.document_id for upload in (store("a.txt", b"1"), store("b.txt", b"2")) if upload.document_id]
    with database.as_user(alice) as conn:
        assert documents.pause_documents(conn, ids) == 2
        assert documents.pause_documents(conn, ids) == 0
        assert documents.get_document(conn, ids[0]).paused
        assert documents.resume_documents(conn, ids) == 2
        assert not documents.get_document(conn, ids[0]).paused
        assert documents.cancel_documents(conn, ids[:1]) == 1
        assert documents.get_document(conn, ids[0]).stage == "cancelled"
        assert documents.retry_documents(conn, ids) == 1
        assert documents.get_document(conn, ids[0]).stage == "stored"


def test_deleting_says_what_goes_and_takes_it(database: Database, alice: UUID, corpus: UUID, store: Store) -> None:
    document = store("a.txt", b"1").document_id
    assert document is not None
    with database.as_user(alice) as conn:
        assert documents.describe_deletion(conn, [document]) == {
            "documents": 1,
            "chunks": 0,
            "marks": 0,
            "judgements": 0,
            "citations": 0,
        }
        assert documents.delete_documents(conn, [document, uuid4()]) == 1
        assert documents.list_documents(conn, corpus) == []


def test_a_language_is_corrected_by_its_code(database: Database, alice: UUID, store: Store) -> None:
    document = store("a.txt", b"1").document_id
    assert document is not None
    with database.as_user(alice) as conn:
        documents.set_language(conn, document, "de")
        assert documents.get_document(conn, document).language == "de"
        with pytest.raises(InvalidInput, match="is not a language code"):
            documents.set_language(conn, document, "German")


def test_a_document_is_renamed(database: Database, alice: UUID, store: Store) -> None:
    document = store("a.txt", b"1").document_id
    assert document is not None
    with database.as_user(alice) as conn:
        documents.rename_document(conn, document, " b\x00.txt ")
        assert documents.get_document(conn, document).name == "b.txt"
        with pytest.raises(InvalidInput):
            documents.rename_document(conn, document, " ")


def test_failed_work_is_listed_with_its_reason(database: Database, alice: UUID, corpus: UUID, store: Store) -> None:
    document = store("a.txt", b"1").document_id
    with database.as_worker() as conn:
        conn.execute(
            "insert into public.failed_jobs (queue, message, collection_id, document_id, reason, hint, attempts)"
            " values ('ingest', '{}', %s, %s, 'It broke.', 'Mend it.', 5)",
            [corpus, document],
        )
    with database.as_user(alice) as conn:
        (failed,) = documents.list_failed_jobs(conn, corpus)
    assert (failed.document_name, failed.reason, failed.hint, failed.attempts) == ("a.txt", "It broke.", "Mend it.", 5)


def test_progress_counts_stages_and_waiting_and_changes_its_stamp(
    database: Database, alice: UUID, bob: UUID, corpus: UUID, store: Store
) -> None:
    uploads: list[StoredUpload] = [store(f"{n}.txt", str(n).encode()) for n in range(3)]
    with database.as_user(alice) as conn:
        before = read_progress(conn, corpus)
    assert before.stages["stored"] == before.waiting == before.unfinished == 3
    assert before.longest_wait_s is not None
    assert before.worker.alive == 0
    finish(database, uploads[0].document_id)
    with database.as_user(alice) as conn:
        after = read_progress(conn, corpus)
        same = read_progress(conn, corpus)
    assert (after.stages["stored"], after.stages["ready"], after.unfinished) == (2, 1, 2)
    assert before.stamp != after.stamp == same.stamp
    with database.as_user(bob) as conn:
        assert read_progress(conn, corpus).unfinished == 0


def test_a_list_can_be_narrowed_and_cut(database: Database, alice: UUID, corpus: UUID, store: Store) -> None:
    for name in ("Straße.txt", "STREET.txt", "50%.txt", "under_score.txt"):
        store(name, name.encode())
    with database.as_user(alice) as conn:

        def names(**choice: Any) -> set[str]:
            return {row.name for row in documents.list_documents(conn, corpus, **choice)}

        first = documents.list_documents(conn, corpus)[0]
        documents.cancel_documents(conn, [first.id])
        assert names(stages=["cancelled"]) == {first.name}
        assert names(stages=["stored", "cancelled"]) == names()
        assert names(stages=[]) == set()
        assert names(name_part="street") == {"STREET.txt"}
        assert names(name_part=" STRASSE ") == set()
        assert names(name_part="straße") == {"Straße.txt"}
        assert names(name_part="%") == {"50%.txt"}
        assert names(name_part="r_s") == {"under_score.txt"}
        assert [row.name for row in documents.list_documents(conn, corpus, limit=1)] == [first.name]


def test_whatever_a_list_shows_changes_the_stamp(database: Database, alice: UUID, corpus: UUID, store: Store) -> None:
    first, second = store("a.txt", b"one").document_id, store("b.txt", b"two").document_id
    assert first is not None
    assert second is not None

    def look() -> str:
        with database.as_user(alice) as conn:
            return read_progress(conn, corpus).stamp

    stamps = [look()]
    with database.as_user(alice) as conn:
        documents.rename_document(conn, first, "c.txt")
    stamps.append(look())
    with database.as_user(alice) as conn:
        documents.pause_documents(conn, [second])
    stamps.append(look())
    with database.as_user(alice) as conn:
        documents.delete_documents(conn, [second])
    stamps.append(look())
    assert len(set(stamps)) == 4


def test_an_empty_collection_has_nothing_active(database: Database, alice: UUID, corpus: UUID) -> None:
    with database.as_user(alice) as conn:
        progress = read_progress(conn, corpus)
    assert not progress.active
    assert progress.longest_wait_s is None


def test_a_live_worker_is_counted(database: Database, alice: UUID, corpus: UUID) -> None:
    with database.as_worker() as conn:
        conn.execute(
            "insert into corpuscope.workers (id, host, pid, state) values (%s, 'h', 1, 'loading model')", [uuid4()]
        )
    with database.as_user(alice) as conn:
        status = read_progress(conn, corpus).worker
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select * from corpuscope.workers")
        conn.rollback()
    assert (status.alive, status.loading, status.busy) == (1, 1, 0)
