"""Fixtures shared by all tests: one Postgres a run, one database a test, two people in it.

`database` is made anew for each test from a migrated template; `module_database` is shared by the tests of a module.
`alice` and `bob` are users without anything; `as_user` is short for `database.as_user`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection, sql

from rag.store import bootstrap
from rag.store.database import Database, User, connect, prepare
from rag.store.postgres import EmbeddedPostgres
from tests.chromium import browser, playwright
from tests.folders import temporary_folder
from tests.side_by_side import pytest_xdist_make_scheduler

__all__ = ["browser", "playwright", "pytest_xdist_make_scheduler"]

TEMPLATE = "corpuscope_template"
ALICE = UUID("aaaaaaaa-0000-4000-8000-000000000001")
BOB = UUID("bbbbbbbb-0000-4000-8000-000000000002")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedPostgres]:
    """The embedded Postgres of this run; it doesn't wait for the disk."""
    with temporary_home() as folder, EmbeddedPostgres(folder, durable=False) as running:
        yield running


@pytest.fixture(scope="session")
def template(server: EmbeddedPostgres) -> str:
    """The name of a database that is bootstrapped, migrated and has the users; copied, never used."""
    bootstrap.create_database(server.dsn("supabase_admin", "postgres"), TEMPLATE)
    prepare(server.dsn("supabase_admin", TEMPLATE), server.dsn("postgres", TEMPLATE))
    with connect(server.dsn("postgres", TEMPLATE)) as conn:
        bootstrap.ensure_user(conn, ALICE, "alice@example.org")
        bootstrap.ensure_user(conn, BOB, "bob@example.org")
    return TEMPLATE


@pytest.fixture
def database(server: EmbeddedPostgres, template: str) -> Iterator[Database]:
    """A database of this test's own."""
    with copied_database(server, template) as copy:
        yield copy


@pytest.fixture(scope="module")
def module_database(server: EmbeddedPostgres, template: str) -> Iterator[Database]:
    """A database that the tests of one module share."""
    with copied_database(server, template) as copy:
        yield copy


@pytest.fixture
def empty_database(server: EmbeddedPostgres) -> Iterator[str]:
    """The name of a database as initdb left it: no bootstrap, no migrations."""
    name = f"empty_{next(_numbers)}"
    bootstrap.create_database(server.dsn("supabase_admin", "postgres"), name)
    yield name
    drop_database(server, name)


@pytest.fixture
def alice() -> UUID:
    return ALICE


@pytest.fixture
def bob() -> UUID:
    return BOB


@pytest.fixture
def as_user(database: Database) -> Callable[[User], AbstractContextManager[Connection[Any]]]:
    """`with as_user(alice) as conn:` is one transaction of hers."""
    return database.as_user


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty CORPUSCOPE_HOME, not made yet."""
    with temporary_home() as folder:
        yield folder


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A CORPUSCOPE_HOME that isn't made yet, in a folder of its own."""
    with temporary_folder() as folder:
        yield folder / "home"


@contextmanager
def copied_database(server: EmbeddedPostgres, template: str) -> Iterator[Database]:
    """A fresh copy of ``template``, dropped at the end of the block."""
    name = f"test_{next(_numbers)}"
    with connect(server.dsn("supabase_admin", "postgres")) as conn:
        conn.execute(
            sql.SQL("create database {} template {} owner postgres strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        # Settings of a database are not copied with it.
        conn.execute(
            sql.SQL('alter database {} set search_path = "$user", public, extensions').format(sql.Identifier(name))
        )
    try:
        with Database(server.dsn("authenticator", name), server.dsn("postgres", name)) as database:
            yield database
    finally:
        drop_database(server, name)


def drop_database(server: EmbeddedPostgres, name: str) -> None:
    with connect(server.dsn("supabase_admin", "postgres")) as conn:
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
