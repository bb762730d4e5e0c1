"""Databases that are in use already: what an upgrade makes of their rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from rag.store import bootstrap, migrations
from rag.store.database import connect
from rag.store.migrations import migrate
from rag.store.postgres import EmbeddedPostgres
from tests.conftest import ALICE, BOB


@pytest.fixture
def conn(server: EmbeddedPostgres, empty_database: str) -> Iterator[Connection[Any]]:
    """A bootstrapped database as its owner sees it, with two people."""
    with connect(server.dsn("supabase_admin", empty_database)) as admin:
        assert bootstrap.bootstrap(admin)
    with connect(server.dsn("postgres", empty_database)) as owner:
        bootstrap.ensure_user(owner, ALICE, "alice@example.org")
        bootstrap.ensure_user(owner, BOB, "bob@example.org")
        yield owner


def migrate_before(conn: Connection[Any], version: str, folder: Path) -> None:
    """Apply what was there before ``version``."""
    for path in migrations.FOLDER.glob("*.sql"):
        if path.name < version:
            shutil.copy(path, folder)
    migrate(conn, folder)


def test_conversations_become_lines_of_their_owners_questions(conn: Connection[Any], tmp_path: Path) -> None:
    migrate_before(conn, "20261123000940", tmp_path)
    conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    for person in (ALICE, BOB):
        conn.execute("select set_config('request.jwt.claims', %s, false)", [f'{{"sub": "{person}"}}'])
        made = conn.execute("select public.create_collection('Corpus')").fetchone()
        assert made is not None
        chat = conn.execute("insert into public.chats (collection_id) values (%s) returning id", [made[0]]).fetchone()
        assert chat is not None
        for question in ("one", "two", "three"):
            conn.execute("select public.ask(%s, %s)", [chat[0], question])
    conn.execute("select set_config('request.jwt.claims', '', false)")
    migrate(conn)
    rows = conn.execute(
        "select m.asked_by, m.position, p.position, p.chat_id = m.chat_id"
        " from public.messages m left join public.messages p on p.id = m.parent_id order by m.asked_by, m.position"
    ).fetchall()
    line = [(1, None, None), *((n, n - 1, True) for n in range(2, 7))]
    assert rows == [(person, *step) for person in (ALICE, BOB) for step in line]
