"""A database where everybody has something, and a superuser's connection that takes everybody's part and undoes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from rag.store.database import Database, connect
from rag.store.postgres import EmbeddedPostgres
from tests.conftest import copied_database
from tests.permissions.attacks import find_target
from tests.permissions.cast import Stage, seed


@pytest.fixture(scope="module")
def played(server: EmbeddedPostgres, template: str) -> Iterator[tuple[Database, Stage]]:
    with copied_database(server, template) as database:
        yield database, seed(database)


@pytest.fixture(scope="module")
def seeded(played: tuple[Database, Stage]) -> Database:
    return played[0]


@pytest.fixture(scope="module")
def stage(played: tuple[Database, Stage]) -> Stage:
    return played[1]


@pytest.fixture(scope="module")
def admin(server: EmbeddedPostgres, seeded: Database) -> Iterator[Connection[Any]]:
    """A superuser's connection, for :func:`tests.permissions.cast.acting`."""
    name = str(conninfo_to_dict(seeded.owner_dsn)["dbname"])
    with connect(server.dsn("supabase_admin", name)) as conn:
        yield conn


@pytest.fixture(scope="module")
def target(admin: Connection[Any], stage: Stage) -> dict[str, Any]:
    """What is Alice's in her private collection."""
    return find_target(admin, stage.private)
