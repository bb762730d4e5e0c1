"""What the instant API shows is what docs/api.md lists: by PostgREST, by the grants, by the comments for GraphQL."""

from __future__ import annotations

import re
import subprocess
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import Connection, sql

from rag.store.database import connect
from tests.supabase.relay import over_tcp
from tests.supabase.stack import EXPOSED, Project
from tests.supabase.tools import environment, tool

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

Surface = dict[str, tuple[set[str], set[str], set[str], bool]]

_RELATIONS = "select c.relname from pg_class c where c.relnamespace = 'api'::regnamespace and c.relkind <> 'i'"
_COLUMNS = """
    select a.attname from pg_attribute a
    where a.attrelid = %s::regclass and a.attnum > 0 and has_column_privilege(%s, a.attrelid, a.attnum, %s)
"""
_FUNCTIONS = """
    select p.oid, p.proname, p.proargnames[:p.pronargs] from pg_proc p where p.pronamespace = 'api'::regnamespace
"""


@pytest.fixture(scope="module")
def owner(project: Project) -> Iterator[Connection[Any]]:
    with connect(project.database.owner_dsn) as conn:
        yield conn


def documented() -> Surface:
    """Name → columns (or arguments) that can be read, columns to insert, to change, and whether rows can be deleted."""
    table = DOCUMENT.partition("<!-- surface -->")[2].partition("<!-- /surface -->")[0]
    found: Surface = {}
    for line in table.strip().splitlines()[2:]:
        name, read, insert, change, delete = (cell.strip() for cell in line.strip("|").split("|"))
        found[name.strip("`")] = (names(read), names(insert), names(change), delete == "yes")
    return found


def names(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell)) or ({"yes"} if cell == "yes" else set())


def granted(conn: Connection[Any], role: str) -> Surface:
    """The same of a role, from the catalogue."""
    found: Surface = {}
    for (name,) in conn.execute(_RELATIONS).fetchall():
        table = f"api.{name}"
        reads, inserts, updates = (
            {row[0] for row in conn.execute(_COLUMNS, [table, role, verb])} for verb in ("SELECT", "INSERT", "UPDATE")
        )
        deletes = conn.execute("select has_table_privilege(%s, %s, 'DELETE')", [role, table]).fetchone() == (True,)
        everything = {row[0] for row in conn.execute(_COLUMNS, [table, "postgres", "SELECT"])}
        found[name] = ({"yes"} if reads == everything else reads, inserts, updates, deletes)
    for oid, name, arguments in conn.execute(_FUNCTIONS).fetchall():
        if conn.execute("select has_function_privilege(%s, %s::oid, 'EXECUTE')", [role, oid]).fetchone() == (True,):
            found[f"rpc/{name}"] = (set(arguments), set(), set(), False)
    return found


def shown(project: Project, token: str) -> set[str]:
    """What PostgREST says that it has, for whoever has the token."""
    answer = httpx.get(
        f"{project.url}/rest/v1/",
        headers={"apikey": project.publishable_key, "Authorization": f"Bearer {token}", "Accept-Profile": EXPOSED},
    )
    assert answer.status_code == 200, answer.text
    return {path.strip("/") for path in answer.json()["paths"]} - {""}


def test_people_may_do_what_is_documented_and_nothing_else(owner: Connection[Any]) -> None:
    assert granted(owner, "authenticated") == documented()


def test_without_an_account_nothing_may_be_done(owner: Connection[Any]) -> None:
    assert owner.execute("select has_schema_privilege('anon', 'api', 'usage')").fetchone() == (False,)
    assert all(not any(rights) for rights in granted(owner, "anon").values())


def test_a_servers_key_reads_and_adds_documents(owner: Connection[Any]) -> None:
    surface = granted(owner, "service_role")
    assert surface.keys() == documented().keys()
    writes = {name: rights[1:] for name, rights in surface.items() if any(rights[1:])}
    assert writes == {"documents": (documented()["documents"][1], set(), False)}


def test_postgrest_shows_what_is_documented(project: Project) -> None:
    token = project.secret_key if project.hosted else project.alice.token  # hosted, only a secret key may ask
    assert shown(project, token) == set(documented())
    if not project.hosted:
        assert shown(project, project.publishable_key) == set()


def test_the_cli_exposes_the_same_schema() -> None:
    settings = tomllib.loads((ROOT / "supabase" / "config.toml").read_text(encoding="utf-8"))["api"]
    assert settings["schemas"] == [EXPOSED]
    assert "public" not in settings["extra_search_path"]


def test_every_view_says_what_it_is(owner: Connection[Any]) -> None:
    assert owner.execute(f"{_RELATIONS} and obj_description(c.oid) is null").fetchall() == []


def test_the_cli_makes_types_of_it(project: Project) -> None:
    if project.hosted:
        pytest.skip("the same schema as here; the CLI would need an account")
    with over_tcp(project.database.owner_dsn) as address, tempfile.TemporaryDirectory() as home:
        made = subprocess.run(
            [str(tool("supabase")), "gen", "types", "typescript", f"--remote={address}", "--schema", EXPOSED],
            env=environment(HOME=home), cwd=home, capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
    for name in documented():
        assert f'"{name.removeprefix("rpc/")}": {{' in made or f'"{name.removeprefix("rpc/")}":\n{{' in made, name
    [arguments] = re.findall(r'"search_chunks":\s*{ Args: {([^}]*)}', made)
    assert set(re.findall(r'"(\w+)"\?:', arguments)) == documented()["rpc/search_chunks"][0]


# GraphQL: what pg_graphql takes out of the comments -------------------------------------------------------------------


def directives(conn: Connection[Any]) -> dict[str, dict[str, Any]]:
    """By view, found with pg_graphql's own expression (graphql.comment_directive)."""
    return dict(
        conn.execute(
            "select c.relname, (regexp_match(obj_description(c.oid), '@graphql\\((.+)\\)'))[1]::jsonb"
            " from pg_class c where c.relnamespace = 'api'::regnamespace and c.relkind = 'v'"
        ).fetchall()
    )


def columns(conn: Connection[Any], view: str) -> dict[str, str]:
    rows = conn.execute(
        "select attname, format_type(atttypid, null) from pg_attribute where attrelid = %s::regclass and attnum > 0",
        [f"api.{view}"],
    )
    return dict(rows.fetchall())


def test_every_view_has_a_key_for_graphql(owner: Connection[Any]) -> None:
    found = directives(owner)
    assert found.keys() == {name for name in documented() if not name.startswith("rpc/")}
    for view, directive in found.items():
        assert directive.keys() <= {"primary_key_columns", "foreign_keys", "totalCount"}, view
        key = directive["primary_key_columns"]
        assert key, view
        # The view's key is one of the table below: so it is unique.
        unique = owner.execute(
            "select array_agg(a.attname::text order by a.attname) from pg_index i join pg_attribute a"
            " on a.attrelid = i.indrelid and a.attnum = any (i.indkey)"
            " where i.indisunique and i.indpred is null and i.indrelid = %s::regclass group by i.indexrelid",
            [f"public.{ {'sources': 'passages'}.get(view, view) }"],
        ).fetchall()
        assert (sorted(key),) in unique, view


def test_relations_for_graphql_lead_somewhere(owner: Connection[Any]) -> None:
    found = directives(owner)
    fields: Counter[tuple[str, str]] = Counter()
    for view, directive in found.items():
        for relation in directive.get("foreign_keys", []):
            assert relation["foreign_schema"] == EXPOSED
            there = relation["foreign_table"]
            assert relation["foreign_columns"] == found[there]["primary_key_columns"]
            here = [columns(owner, view)[name] for name in relation["local_columns"]]
            assert here == [columns(owner, there)[name] for name in relation["foreign_columns"]], (view, there)
            assert relation["foreign_name"] not in columns(owner, view), view
            assert relation["local_name"] not in columns(owner, there), view
            fields.update([(view, relation["foreign_name"]), (there, relation["local_name"])])
    assert fields
    assert max(fields.values()) == 1, fields.most_common(3)


def test_the_relations_join(owner: Connection[Any]) -> None:
    """Each would run as SQL."""
    for view, directive in directives(owner).items():
        for relation in directive.get("foreign_keys", []):
            statement = sql.SQL("select 1 from api.{} a join api.{} b on a.{} = b.{} limit 0").format(
                sql.Identifier(view),
                sql.Identifier(relation["foreign_table"]),
                sql.Identifier(relation["local_columns"][0]),
                sql.Identifier(relation["foreign_columns"][0]),
            )
            owner.execute(statement)


def test_the_schemas_names_are_inflected(owner: Connection[Any]) -> None:
    found = owner.execute(
        "select obj_description('api'::regnamespace) ~ '@graphql\\(\\{\"inflect_names\": true\\}\\)$'"
    )
    assert found.fetchone() == (True,)
