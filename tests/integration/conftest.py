"""A collection to work in: `corpus` is Alice's, made under a registered model; `store` puts a document into it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.records import StoredUpload
from rag.store.database import Database

Store = Callable[..., StoredUpload]


@pytest.fixture
def corpus(database: Database, alice: UUID) -> UUID:
    """The id of an empty collection that Alice owns, under a model with 4 dimensions."""
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    with database.as_user(alice) as conn:
        return create_collection(conn, "Corpus")


@pytest.fixture
def store(database: Database, alice: UUID, corpus: UUID) -> Store:
    """`store(name, data, **options)` uploads as Alice in a transaction of its own."""

    def upload(name: str, data: bytes, *, user: UUID = alice, max_bytes: int = 2**23, **options: Any) -> StoredUpload:
        with database.as_user(user) as conn:
            return store_document(conn, corpus, name, io.BytesIO(data), max_bytes=max_bytes, **options)

    return upload
