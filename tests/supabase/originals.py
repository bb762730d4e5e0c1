"""A corpus of Alice's whose originals can be moved to a stub of Storage and back."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2

from rag.corpus.bucket import Bucket
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.corpus.originals import FileStore, read_original
from rag.store.database import Database
from rag.work.moving_originals import Mover, remove_loose
from tests.conftest import ALICE
from tests.supabase.storage_stub import KEY, StorageStub

MB = 2**20


@dataclass
class Depot:
    """A collection, a bucket and what is in both."""

    database: Database
    stub: StorageStub
    bucket: Bucket
    collection: UUID

    def add(self, name: str, data: bytes, *, read: bool = True) -> UUID:
        """A document of Alice's, as if it had been read already."""
        with self.database.as_user(ALICE) as conn:
            stored = store_document(conn, self.collection, name, io.BytesIO(data), max_bytes=2**30)
        assert stored.document_id is not None
        if read:
            self.do("update public.documents set stage = 'failed' where id = %s", stored.document_id)
        return stored.document_id

    def do(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """As the owner of the tables."""
        with self.database.as_owner() as conn:
            told = conn.execute(statement.encode(), values)
            return told.fetchall() if told.description else []

    def mover(self) -> Mover:
        return Mover(self.database, self.bucket)

    def move_all(self, *, to_bucket: bool = True) -> int:
        moved = 0
        while self.mover().move_next(to_bucket=to_bucket):
            moved += 1
        return moved

    def tidy(self) -> int:
        """Remove what is loose by now."""
        return remove_loose(self.database, self.bucket)

    def time_passes(self) -> None:
        """Every claim and every lease has run out."""
        self.do("update corpuscope.loose_objects set due_at = now() - interval '1 second'")
        self.do("update corpuscope.original_moves set due_at = now() - interval '1 second'")

    def object(self, document: UUID) -> str | None:
        ((found,),) = self.do("select original_object from public.documents where id = %s", document)
        return None if found is None else str(found)

    def pieces(self, document: UUID) -> int:
        ((found,),) = self.do("select count(*) from public.document_files where document_id = %s", document)
        return int(found)

    def loose(self) -> list[str]:
        return [object for (object,) in self.do("select object from corpuscope.loose_objects order by object")]

    def reading(self, document: UUID, user: UUID = ALICE, store: FileStore | None = None) -> Iterator[bytes]:
        return read_original(lambda: self.database.as_user(user), document, store or self.bucket)

    def read(self, document: UUID, user: UUID = ALICE) -> bytes:
        return b"".join(self.reading(document, user))


@contextmanager
def depot(database: Database, stub: StorageStub) -> Iterator[Depot]:
    """Empty, with no pauses between tries."""
    bucket = Bucket(stub.url, KEY, "originals", timeout=httpx2.Timeout(5.0), pause=lambda _: None)
    try:
        bucket.ensure()
        with database.as_worker() as conn:
            conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
        with database.as_user(ALICE) as conn:
            collection = create_collection(conn, "Corpus")
        yield Depot(database, stub, bucket, collection)
    finally:
        bucket.close()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)
