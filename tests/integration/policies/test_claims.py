"""Claims: what people can send through statements and functions never changes who they are; free SQL could.

docs/permissions.md says the second thing too. The tests of it are here so that nobody takes the policies for more than
they are.
"""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from rag.errors import NotAllowed
from rag.store.database import Database
from tests.permissions.attacks import PUBLIC_ATTACKS
from tests.permissions.cast import ALICE, BOB, OUTSIDERS, Stage, acting
from tests.permissions.catalogue import functions, open_functions

_SOURCE = "select p.proname, p.prosrc from pg_proc p where p.oid = any (%s::regprocedure[])"
#: Ways by which a function could change who asks, or run SQL that it was given.
_DANGEROUS = re.compile(r"set_config\s*\(|\bexecute\b|\bset\s+(?:local\s|session\s|role\s+(?!=))", re.IGNORECASE)


def test_no_function_changes_claims_or_runs_given_sql(admin: Connection[Any]) -> None:
    """But three put numbers of their own into a query, two of which set how far a graph is searched; one takes columns
    from the catalogue, to move what was an account's to another."""
    sources = dict(admin.execute(_SOURCE, [[*functions(admin, "public"), *functions(admin, "corpuscope")]]).fetchall())
    assert {name for name, source in sources.items() if _DANGEROUS.search(source)} == {
        "nearest_by_graph",
        "scope_by_graph",
        "ensure_vector_index",
        "admit_person",
    }
    assert "admit_person" not in open_functions(admin, "corpuscope", "authenticated")
    for name in ("nearest_by_graph", "scope_by_graph"):
        settings = re.findall(r"set_config\('([^']+)'", sources[name])
        assert set(settings) == {"hnsw.ef_search", "hnsw.max_scan_tuples"}
    assert "ensure_vector_index" not in open_functions(admin, "corpuscope", "authenticated")


@pytest.mark.parametrize("part", OUTSIDERS, ids=lambda part: part.name)
def test_a_call_leaves_the_caller_who_they_were(admin: Connection[Any], target: dict[str, Any], part: Any) -> None:
    forged = json.dumps({"sub": str(ALICE), "role": "service_role"})
    values = {**target, "built": 0, "stopped": target["message"]}
    refused = 0
    for statement in PUBLIC_ATTACKS.values():
        with acting(admin, part):
            before = identity(admin)
            try:
                with admin.transaction():
                    admin.execute(statement.replace("'canary'", sql.Literal(forged).as_string(admin)).encode(), values)
            except psycopg.Error:
                refused += 1
            assert identity(admin) == before
    assert refused


def identity(conn: Connection[Any]) -> Any:
    return conn.execute("select current_user, auth.uid(), auth.role(), auth.jwt()").fetchone()


def test_claims_end_with_their_transaction(seeded: Database, stage: Stage) -> None:
    for _ in range(3):
        with seeded.as_user({"sub": str(ALICE)}) as conn:
            assert conn.execute("select auth.uid()").fetchone() == (ALICE,)
        with seeded.pool.connection() as conn:
            row = conn.execute(
                "select current_user, coalesce(current_setting('request.jwt.claims', true), '')"
            ).fetchone()
            assert row == ("authenticator", "")
        with seeded.as_user({}) as conn:
            assert conn.execute("select auth.uid()").fetchone() == (None,)


def test_a_name_in_the_claims_is_no_right(seeded: Database, stage: Stage) -> None:
    """Who is an administrator, a guest or shut out is asked of the tables; a claim may only take rights away."""
    claims = {"sub": str(BOB), "role": "service_role", "is_administrator": True, "email": "alice@example.org"}
    with seeded.as_user(claims) as conn:
        assert conn.execute("select corpuscope.is_administrator()").fetchone() == (False,)
        assert conn.execute("select count(*) from documents where collection_id = %s", [stage.private]).fetchone() == (
            0,
        )
    with pytest.raises(NotAllowed), seeded.as_user(claims) as conn:
        conn.execute("select * from list_people()")


def test_whoever_could_write_sql_could_be_anybody(seeded: Database, stage: Stage) -> None:
    """Plain Postgres has no way to forbid it. Should this ever fail, docs/permissions.md can promise more."""
    with seeded.as_user({"sub": str(BOB)}) as conn:
        conn.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps({"sub": str(ALICE)})])
        assert conn.execute("select count(*) from documents where collection_id = %s", [stage.private]).fetchone() == (
            1,
        )
    with seeded.as_user({"sub": str(BOB)}) as conn:
        conn.execute("set local role service_role")
        assert conn.execute("select count(*) from documents").fetchone() == (3,)


def test_whoever_could_write_sql_would_still_read_no_password(seeded: Database) -> None:
    for role in ("authenticated", "service_role"):
        for table in ("people", "sessions", "invitations", "password_resets"):
            statement = sql.SQL("set local role {}; select from corpuscope.{}").format(
                sql.Identifier(role), sql.Identifier(table)
            )
            with pytest.raises(NotAllowed), seeded.as_user({"sub": str(BOB)}) as conn:
                conn.execute(statement)
