"""Rules for whoever writes a table, a policy or a function, read from the catalogue."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from rag.store.postgres import EmbeddedPostgres

_CALL = re.compile(r"\b(?:auth|corpuscope|public)\.\w+\(")
#: How Postgres prints a call that is made once a query: alone in a sub-select, without a column of the row.
_ONCE = re.compile(r"\( SELECT (?:auth|corpuscope)\.(\w+)\(\) AS \1\)")


#: Every function of the product, triggers' too.
_OURS = (
    "select p.oid::regprocedure::text from pg_proc p"
    " where p.pronamespace in ('public'::regnamespace, 'corpuscope'::regnamespace, 'api'::regnamespace)"
    " and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"
)


def bare_calls(conn: Connection[Any]) -> list[tuple[str, str, str]]:
    """Table, policy and expression of every policy that calls a function of ours once a row."""
    rows = conn.execute(
        "select tablename, policyname, e from pg_policies, unnest(array [qual, with_check]) e"
        " where schemaname not in ('pg_catalog', 'information_schema') and e is not null"
    ).fetchall()
    return [(table, policy, text) for table, policy, text in rows if _CALL.search(_ONCE.sub("", text))]


def test_every_policy_calls_its_helpers_once_a_query(admin: Connection[Any]) -> None:
    assert bare_calls(admin) == []


@pytest.mark.parametrize(
    "condition",
    [
        "collection_id = any (corpuscope.viewable_collections())",
        "created_by = auth.uid()",
        "exists (select from public.chats h where h.created_by = auth.uid())",
        "collection_id = any ((select corpuscope.viewable_collections())::uuid[]) or corpuscope.is_administrator()",
        "id = any ((select corpuscope.editable_documents(array [id]))::uuid[])",
    ],
)
@pytest.mark.parametrize("clause", ["for select to authenticated using", "for insert to authenticated with check"])
def test_the_lint_finds_a_bare_call(admin: Connection[Any], condition: str, clause: str) -> None:
    with admin.transaction(force_rollback=True):
        admin.execute(f"create policy bare on public.documents {clause} ({condition})".encode())
        assert [policy for _, policy, _ in bare_calls(admin)] == ["bare"]


def test_no_policy_compares_with_an_array(admin: Connection[Any]) -> None:
    """`= any (array)` looks at each of a thousand collections for each row; `in (select unnest(…))` is hashed."""
    arrays = admin.execute(
        "select tablename, policyname from pg_policies where coalesce(qual, '') || coalesce(with_check, '') ~ '= ANY'"
    ).fetchall()
    assert arrays == []


def test_what_policies_call_may_be_called_once_a_query(admin: Connection[Any]) -> None:
    """A volatile function would be called for every row all the same."""
    called = admin.execute(
        "select distinct p.oid::regprocedure::text, p.provolatile from pg_policy y"
        " join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = y.oid"
        " and d.refclassid = 'pg_proc'::regclass join pg_proc p on p.oid = d.refobjid"
    ).fetchall()
    assert called
    assert [name for name, volatility in called if volatility == "v"] == []


def test_every_exposed_table_has_row_level_security_and_policies(admin: Connection[Any]) -> None:
    bare = admin.execute(
        "select c.relname, c.relrowsecurity from pg_class c"
        " where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace"
        " and (not c.relrowsecurity or not exists (select from pg_policy p where p.polrelid = c.oid))"
    ).fetchall()
    assert bare == []


def test_no_view_is_exposed(admin: Connection[Any]) -> None:
    """A view reads with its owner's rights unless it is told not to."""
    views = "select relname from pg_class where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace"
    assert admin.execute(views).fetchall() == []


def test_views_of_the_instant_api_read_with_the_rights_of_who_asks(admin: Connection[Any]) -> None:
    views = admin.execute(
        "select relname, relkind, coalesce(reloptions, '{}') @> array ['security_invoker=true'] from pg_class"
        " where relnamespace = 'api'::regnamespace and relkind <> 'i'"
    ).fetchall()
    assert [row for row in views if row[1:] != ("v", True)] == []
    definers = "select proname from pg_proc where pronamespace = 'api'::regnamespace and prosecdef"
    assert admin.execute(definers).fetchall() == []


def test_functions_with_their_owners_rights_fix_their_search_path(admin: Connection[Any]) -> None:
    loose = admin.execute(f"{_OURS} and not coalesce(p.proconfig, '{{}}') @> array ['search_path=\"\"']").fetchall()
    assert loose == []


def test_no_function_is_open_to_everybody(admin: Connection[Any]) -> None:
    """Those of triggers neither: on a table of one's own they would run with their owner's rights on chosen rows."""
    opened = admin.execute(
        f"{_OURS} and (has_function_privilege('anon', p.oid, 'execute') or exists"
        " (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0))"
    ).fetchall()
    assert opened == []


def test_nobody_makes_temporary_tables(server: EmbeddedPostgres, template: str) -> None:
    """Rights on a database are not copied with it, so this looks at the one that was migrated."""
    with psycopg.connect(server.dsn("authenticator", template), autocommit=True) as conn:
        conn.execute("set role authenticated")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("create temporary table mine (user_id uuid)")


def test_nobody_creates_anything(admin: Connection[Any]) -> None:
    """Neither in the schemas of the product nor schemas: what is planted there could be taken for ours."""
    rights = admin.execute(
        "select r, n.nspname from pg_namespace n,"
        " unnest(array ['anon', 'authenticated', 'corpuscope_worker', 'corpuscope_accounts']) r"
        " where has_schema_privilege(r, n.oid, 'create') and n.nspname not like 'pg_%'"
    ).fetchall()
    assert rights == []
