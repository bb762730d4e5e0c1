"""A project with a worker beside it: what is inserted over the API becomes searchable, and questions are answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from supabase import Client

from rag.settings import load_settings
from rag.vectors.registration import register_model
from rag.work.worker import run_worker
from tests.integration.workshop import CountingEmbedder
from tests.supabase.stack import Project

PATIENCE_S = 60.0

Row = dict[str, Any]


@dataclass
class Served:
    """A project whose worker embeds by a hash of the text: ``embedder`` knows the vector of each."""

    project: Project
    embedder: CountingEmbedder

    def as_alice(self) -> Client:
        return self.project.client(self.project.alice.token)

    def as_bob(self) -> Client:
        return self.project.client(self.project.bob.token)

    def collection(self, client: Client, name: str = "Sea") -> str:
        """A collection of its own for the client's person, under a name that nobody has yet."""
        return str(insert(client, "collections", name=f"{name} {time.monotonic_ns()}")["id"])

    def document(self, client: Client, collection: str, name: str, text: str) -> str:
        """The id of a text that was inserted and is ready."""
        made = insert(client, "documents", collection_id=collection, name=name, text=text)
        wait_for(lambda: self.stage(client, made["id"]) in ("ready", "failed", "cancelled"))
        assert self.stage(client, made["id"]) == "ready"
        return str(made["id"])

    def stage(self, client: Client, document: str) -> str:
        return str(read(client, "documents", "stage", id=document)[0]["stage"])

    def share(self, collection: str, person: UUID, role: str) -> None:
        with self.project.database.as_owner() as conn:
            conn.execute(
                "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, %s)",
                [collection, person, role],
            )


@contextmanager
def served(project: Project) -> Iterator[Served]:
    """The worker works in threads of this process; what the two people made is removed at the end."""
    settings = load_settings(None)
    embedder = CountingEmbedder(settings)
    register_model(project.database, settings)
    stop = threading.Event()
    worker = threading.Thread(
        target=run_worker,
        args=(settings, project.database),
        kwargs={"stop": stop, "queues": ("ingest", "embed", "answer"), "load_embedder": lambda _settings: embedder},
    )
    worker.start()
    try:
        yield Served(project, embedder)
    finally:
        with project.database.as_owner() as conn:
            conn.execute(
                "delete from public.collections where created_by = any (%s)", [[project.alice.id, project.bob.id]]
            )
        stop.set()
        worker.join(20)


def insert(client: Client, table: str, **values: Any) -> Row:
    [row] = rows(client.table(table).insert(values).execute().data)
    return row


def read(client: Client, table: str, columns: str = "*", **equal: Any) -> list[Row]:
    query = client.table(table).select(columns)
    for column, value in equal.items():
        query = query.eq(column, value)
    return rows(query.execute().data)


def search(client: Client, **arguments: Any) -> list[Row]:
    return rows(client.rpc("search_chunks", arguments).execute().data)


def rows(data: Any) -> list[Row]:
    """What a client gives back as any JSON."""
    assert isinstance(data, list)
    return data


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
