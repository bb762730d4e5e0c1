"""Rows: nobody from outside sees, adds, changes or deletes a row of Alice's private collection."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection, errors, sql

from rag.store.database import Database
from tests.permissions.attacks import REFUSALS, acting_until_done
from tests.permissions.cast import (
    ADMINISTRATOR,
    ANON,
    CLOSED,
    OUTSIDERS,
    OWNER,
    PEOPLE,
    STRANGER,
    VIEWER,
    Part,
    Stage,
    acting,
)
from tests.permissions.catalogue import EXPOSED, PRIVATE, Table, columns, tables
from tests.permissions.matrix import rows_of, try_table, unseeing_statements


def by_name(part: Part) -> str:
    return part.name


@pytest.mark.parametrize("part", [*OUTSIDERS, ANON], ids=by_name)
def test_an_outsider_gets_no_row(admin: Connection[Any], stage: Stage, part: Part) -> None:
    for table in tables(admin, EXPOSED):
        cells = try_table(admin, table, stage.private, [OWNER, part])
        if cells is None:
            continue
        # Who can't do it at all proves nothing, so the owner must see something here.
        assert cells[OWNER.name].done["select"] > 0, table
        allowed = "S" if part == ADMINISTRATOR and table.name == "audit_log" else "–"
        assert str(cells[part.name]) == allowed, f"{part.name} on {table.title}"


@pytest.mark.parametrize("part", [*OUTSIDERS, ANON], ids=by_name)
def test_an_outsider_changes_nothing_by_not_looking(admin: Connection[Any], stage: Stage, part: Part) -> None:
    """A statement without a condition is not held back by the policies on reading."""
    for table in tables(admin, EXPOSED):
        before = rows_of(admin, table, stage.private)
        for statement in unseeing_statements(admin, table):
            with admin.transaction(force_rollback=True):
                try:
                    with acting_until_done(admin, part):
                        admin.execute(statement)
                except (*REFUSALS, errors.IntegrityError, errors.RaiseException, errors.GeneratedAlways):
                    continue
                assert rows_of(admin, table, stage.private) == before, f"{part.name}: {statement.as_string(admin)}"


def test_a_closed_account_sees_nothing_at_all(admin: Connection[Any]) -> None:
    for table in tables(admin, EXPOSED):
        if table.name != "embedding_models":  # the same for everybody
            with acting(admin, CLOSED):
                assert count(admin, table) == 0, table


def test_nobody_signed_in_reaches_a_private_table(admin: Connection[Any]) -> None:
    """No right on any column, so nothing depends on a policy there."""
    for table in tables(admin, PRIVATE):
        for part in (*PEOPLE, ANON):
            for verb in ("INSERT", "UPDATE"):
                assert columns(admin, table, part.role, verb) == [], f"{part.role} may {verb} {table.title}"
            with acting(admin, part), pytest.raises(errors.InsufficientPrivilege):
                count(admin, table)


def test_statistics_and_activity_tell_nothing(admin: Connection[Any], seeded: Database) -> None:
    admin.execute("analyze")
    with seeded.as_user({"sub": str(STRANGER.user)}) as conn:
        told = conn.execute("select tablename from pg_stats where schemaname in ('public', 'corpuscope', 'auth')")
        assert told.fetchall() == []
        others = conn.execute("select query from pg_stat_activity where pid <> pg_backend_pid()").fetchall()
    assert all(query in ("<insufficient privilege>", "", None) for (query,) in others)


def test_a_viewer_reads_but_does_not_change(admin: Connection[Any], stage: Stage) -> None:
    for table in tables(admin, EXPOSED):
        cells = try_table(admin, table, stage.private, [VIEWER])
        if cells is not None and table.name not in {"chats", "collection_members"}:  # one's own chats, and leaving
            assert not any(cells[VIEWER.name].done[verb] for verb in ("insert", "update", "delete")), table


def test_roles_without_claims_see_nothing(seeded: Database) -> None:
    for claims in ({}, {"role": "service_role"}, {"sub": str(STRANGER.user), "role": "service_role"}):
        with seeded.as_user(claims) as conn:
            row = conn.execute("select count(*) from public.documents where name = 'canary.txt'").fetchone()
        assert row == (2 if "sub" in claims else 0,)  # his own, and the public one


def count(conn: Connection[Any], table: Table) -> int:
    row = conn.execute(sql.SQL("select count(*) from {}").format(table.identifier)).fetchone()
    assert row is not None
    return int(row[0])
