"""A collection keeps an owner and an installation an administrator, also when two resign at the same moment."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from psycopg import Connection, errors

from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database, connect
from tests.permissions.cast import ADA, ALICE, BOB, seed


@pytest.fixture
def company(database: Database) -> Database:
    """Bob is the second owner of Alice's collection and, with Ada, an administrator; the local user is none."""
    stage = seed(database)
    with database.as_owner() as conn:
        conn.execute(
            "delete from collection_members where collection_id = %s and role = 'owner' and user_id <> %s",
            [stage.private, ALICE],
        )
        conn.execute("insert into collection_members values (%s, %s, 'owner')", [stage.private, BOB])
        conn.execute("update corpuscope.people set is_administrator = user_id in (%s, %s)", [ADA, BOB])
        assert conn.execute(
            "select is_administrator from corpuscope.people where user_id = %s", [LOCAL_USER]
        ).fetchone() == (False,)
    return database


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            f"delete from collection_members where user_id = '{ALICE}'",
            f"delete from collection_members where user_id = '{BOB}' and role = 'owner'",
        ),
        (
            f"update collection_members set role = 'viewer' where user_id = '{ALICE}'",
            f"update collection_members set role = 'viewer' where user_id = '{BOB}'",
        ),
        (
            f"update corpuscope.people set is_administrator = false where user_id = '{ADA}'",
            f"update corpuscope.people set disabled_at = now() where user_id = '{BOB}'",
        ),
    ],
)
def test_the_second_of_two_who_resign_at_once_is_refused(company: Database, first: str, second: str) -> None:
    with connect(company.owner_dsn) as one, connect(company.owner_dsn) as other:
        prepare(one)
        one.execute("begin")
        one.execute(first.encode())
        found: list[BaseException] = []
        thread = threading.Thread(target=attempt, args=(other, second, found))
        thread.start()
        wait_for_lock(one, other.info.backend_pid)
        one.execute("commit")
        thread.join(20)
    assert isinstance(found[0], errors.CheckViolation | errors.RaiseException)


def prepare(conn: Connection[Any]) -> None:
    """Collections that one of them owns alone are not the matter here."""
    conn.execute(
        "delete from collections c where (select count(*) from collection_members m"
        f" where m.collection_id = c.id and m.role = 'owner' and m.user_id in ('{ALICE}', '{BOB}')) < 2"
    )


def attempt(conn: Connection[Any], statement: str, found: list[BaseException]) -> None:
    try:
        conn.execute(statement.encode())
    except errors.Error as error:
        found.append(error)


def wait_for_lock(conn: Connection[Any], pid: int) -> None:
    for _ in range(200):
        row = conn.execute("select exists (select from pg_locks where pid = %s and not granted)", [pid]).fetchone()
        if row == (True,):
            return
        conn.execute("select pg_sleep(0.05)")
    pytest.fail("the second did not wait for the first")
