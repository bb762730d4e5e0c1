"""The role that signs people in sees nothing of what they keep here, and nobody but it sees accounts."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection, errors, sql

from rag.store.database import Database
from tests.permissions.cast import ACCOUNTS, CAST, WORKER, acting
from tests.permissions.catalogue import EXPOSED, PRIVATE, Table, columns, open_functions, tables

#: All that the role reads.
ACCOUNTS_TABLES = {
    f"corpuscope.{name}"
    for name in (
        "people",
        "sessions",
        "project_sessions",
        "sign_in_flows",
        "invitations",
        "password_resets",
        "throttles",
    )
}
#: Each does one thing for signing in; none tells of a collection more than whoever was invited into it may know.
ACCOUNTS_FUNCTIONS = {
    "add_person",
    "admit_person",
    "note",
    "accept_invitation",
    "describe_invitation",
    "has_public_collections",
}


def readable(conn: Connection[Any], role: str, schemas: list[str]) -> set[str]:
    def may(table: Table) -> bool:
        row = conn.execute(
            "select has_schema_privilege(%(role)s, %(schema)s, 'usage')"
            " and (has_table_privilege(%(role)s, %(table)s, 'select')"
            " or has_any_column_privilege(%(role)s, %(table)s, 'select'))",
            {"role": role, "schema": table.schema, "table": table.identifier.as_string(conn)},
        ).fetchone()
        assert row is not None
        return bool(row[0])

    return {table.title for table in tables(conn, schemas) if may(table)}


def test_accounts_see_accounts_only(admin: Connection[Any]) -> None:
    assert readable(admin, ACCOUNTS.role, EXPOSED + PRIVATE) == ACCOUNTS_TABLES


def test_accounts_are_refused_every_other_table(admin: Connection[Any], seeded: Database) -> None:
    for table in tables(admin, EXPOSED + PRIVATE):
        if table.title in ACCOUNTS_TABLES:
            continue
        for verb in ("INSERT", "UPDATE"):
            assert columns(admin, table, ACCOUNTS.role, verb) == [], table.title
        with acting(admin, ACCOUNTS), pytest.raises(errors.InsufficientPrivilege):
            admin.execute(sql.SQL("select from {}").format(table.identifier))


def test_accounts_call_no_function_of_peoples(admin: Connection[Any]) -> None:
    assert open_functions(admin, "public", ACCOUNTS.role) == set()
    assert open_functions(admin, "corpuscope", ACCOUNTS.role) <= ACCOUNTS_FUNCTIONS


def test_accounts_belong_to_no_other_role(admin: Connection[Any]) -> None:
    """Nor may a person, a guest or a worker become one of them."""
    roles = sorted({part.role for part in CAST} | {"postgres", "authenticator"})
    members = admin.execute(
        "select a, b from unnest(%(roles)s::text[]) a, unnest(%(roles)s::text[]) b"
        " where a <> b and pg_has_role(a, b, 'member') and 'corpuscope_accounts' in (a, b)",
        {"roles": roles},
    ).fetchall()
    assert members == [("postgres", "corpuscope_accounts")]


def test_the_worker_sees_no_accounts(admin: Connection[Any]) -> None:
    assert not readable(admin, WORKER.role, EXPOSED + PRIVATE) & ACCOUNTS_TABLES


def test_the_accounts_path_of_the_app_has_that_role(seeded: Database) -> None:
    with seeded.as_accounts() as conn:
        assert conn.execute("select current_user").fetchone() == ("corpuscope_accounts",)
        assert conn.execute("select count(*) > 0 from corpuscope.people").fetchone() == (True,)
