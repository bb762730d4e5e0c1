"""A file of 200 MB on all its ways takes no more memory than a small one.

Storage runs in a process of its own, and so does the traveller: the most memory that a process had so far never falls.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2

from rag.corpus.bucket import Bucket
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.corpus.originals import read_original
from rag.store.database import Database
from rag.work.moving_originals import Mover
from tests.conftest import ALICE
from tests.supabase.storage_stub import KEY

ROOT = Path(__file__).resolve().parents[2]
MB = 2**20
SIZE = 200 * MB
#: A piece of 6 MB twice, four of the database's of 1 MB, and what the allocator keeps.
MOST = 48 * MB


class Zeros:
    """A file of this many bytes that takes none."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def seekable(self) -> bool:
        return True

    def seek(self, at: int) -> int:
        self._at = at
        return at

    def read(self, most: int) -> bytes:
        piece = bytes(min(most, self._size - self._at))
        self._at += len(piece)
        return piece


@contextmanager
def storage_elsewhere() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.supabase.storage_stub"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline().strip()
        finally:
            running.communicate("", timeout=20)


def most_used() -> int:
    """The most memory that this process has had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_two_hundred_megabytes_pass_through_little_memory(database: Database) -> None:
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    with database.as_user(ALICE) as conn:
        collection = create_collection(conn, "Corpus")
    with storage_elsewhere() as url:
        command = [sys.executable, "-m", "tests.supabase.test_originals_memory", database.app_dsn, database.owner_dsn]
        told = subprocess.run([*command, str(collection), url], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE)
    used = int(told.stdout)
    print(f"{used / MB:.0f} MB more at most for a file of {SIZE / MB:.0f} MB")
    assert used < MOST


def travel_twice(app_dsn: str, owner_dsn: str, collection: str, url: str) -> int:
    """How much more memory the large file took than a small one before it."""
    with (
        Database(app_dsn, owner_dsn) as database,
        closing(Bucket(url, KEY, "originals", timeout=httpx2.Timeout(20.0))) as bucket,
    ):
        bucket.ensure()
        travel(database, UUID(collection), bucket, "warm.bin", 8 * MB)
        before = most_used()
        travel(database, UUID(collection), bucket, "large.bin", SIZE)
        return most_used() - before


def travel(database: Database, collection: UUID, bucket: Bucket, name: str, size: int) -> None:
    """Uploaded, moved into the bucket, read, moved back, read."""
    source: Any = Zeros(size)
    with database.as_user(ALICE, limit_s=60) as conn:
        stored = store_document(conn, collection, name, source, max_bytes=2**30)
    document = stored.document_id
    assert document is not None
    with database.as_owner() as conn:
        conn.execute("update public.documents set stage = 'failed' where id = %s", [document])
    mover = Mover(database, bucket)
    for to_bucket in (True, False):
        assert mover.move_next(to_bucket=to_bucket)
        read = read_original(lambda: database.as_user(ALICE), document, bucket)
        assert sum(len(piece) for piece in read) == size
    with database.as_owner() as conn:
        conn.execute("delete from public.documents where id = %s", [document])


if __name__ == "__main__":
    print(travel_twice(*sys.argv[1:]))
