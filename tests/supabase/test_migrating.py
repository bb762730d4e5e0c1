"""Migrations by our runner or by the Supabase CLI: each sees the other's as done, and both lead to the same schema."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rag.errors import DatabaseError
from rag.store import bootstrap, migrations
from rag.store.database import connect, prepare
from rag.store.postgres import EmbeddedPostgres
from rag.store.system_account import program
from tests.conftest import drop_database
from tests.supabase.relay import over_tcp
from tests.supabase.tools import environment, tool

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path.name for path in migrations.FOLDER.glob("*.sql"))
#: The newest migration of each earlier release of the schema, with people's data in them somewhere.
EARLIER = ["20261122000700_chat.sql", "20261122000935_exclusion_speed.sql", "20261123000960_feeds.sql"]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Plain:
    """A database as a new Supabase project has it: bootstrapped, not migrated."""

    name: str
    admin: str
    owner: str
    port: str  #: the owner's DSN over TCP, for the CLI


@pytest.fixture
def plain(server: EmbeddedPostgres) -> Iterator[Plain]:
    with _plain(server) as database:
        yield database


@contextlib.contextmanager
def _plain(server: EmbeddedPostgres) -> Iterator[Plain]:
    name = f"cli_{next(_numbers)}"
    bootstrap.create_database(server.dsn("supabase_admin", "postgres"), name)
    admin, owner = server.dsn("supabase_admin", name), server.dsn("postgres", name)
    with connect(admin) as conn:
        bootstrap.bootstrap(conn)
    try:
        with over_tcp(owner) as port:
            yield Plain(name, admin, owner, port)
    finally:
        drop_database(server, name)


def _cli(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A home of its own: the CLI keeps what it was told, and asks nobody.
    home = environment(HOME=str(project.parent))
    command = [str(tool("supabase")), *arguments, "--workdir", str(project)]
    return subprocess.run(command, env=home, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def _push(project: Path, database: Plain) -> str:
    done = _cli(project, "db", "push", f"--remote={database.port}", "--yes")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The repository as the CLI sees it: its own folder, copied so that it may write beside it."""
    project = tmp_path / "repository"
    (project / "supabase").mkdir(parents=True)
    shutil.copy(ROOT / "supabase" / "config.toml", project / "supabase")
    shutil.copytree(ROOT / "supabase" / "templates", project / "supabase" / "templates")
    (project / "supabase" / "migrations").symlink_to((ROOT / "supabase" / "migrations").resolve())
    return project


def _history(database: Plain) -> list[tuple[object, ...]]:
    with connect(database.owner) as conn:
        return conn.execute("select version, name from supabase_migrations.schema_migrations order by 1").fetchall()


def test_the_repository_is_a_supabase_project() -> None:
    assert (ROOT / "supabase" / "migrations").resolve() == migrations.FOLDER
    assert not (ROOT / "supabase" / "migrations").readlink().is_absolute()


def test_after_the_cli_our_runner_has_nothing_to_do(plain: Plain, repository: Path) -> None:
    said = _push(repository, plain)
    assert all(name in said for name in FILES)
    assert prepare(plain.admin, plain.owner) == []
    assert [f"{version}_{name}.sql" for version, name in _history(plain)] == FILES


def test_after_our_runner_the_cli_has_nothing_to_do(plain: Plain, repository: Path) -> None:
    assert prepare(plain.admin, plain.owner) == FILES
    before = _history(plain)
    assert "up to date" in _push(repository, plain)
    assert _history(plain) == before


def test_one_goes_on_where_the_other_stopped(plain: Plain, repository: Path, tmp_path: Path) -> None:
    half, most = len(FILES) // 3, 2 * len(FILES) // 3
    with connect(plain.owner) as conn:
        assert migrations.migrate(conn, _folder(tmp_path / "third", FILES[:half])) == FILES[:half]
    link = repository / "supabase" / "migrations"
    link.unlink()
    link.symlink_to(_folder(tmp_path / "most", FILES[:most]))
    said = _push(repository, plain)
    assert [name for name in FILES if name in said] == FILES[half:most]
    assert prepare(plain.admin, plain.owner) == FILES[most:]


def test_the_security_advisor_finds_nothing(plain: Plain, repository: Path) -> None:
    prepare(plain.admin, plain.owner)
    # Many lints look at exposed schemas alone: let it look at all of ours.
    config = repository / "supabase" / "config.toml"
    config.write_text(config.read_text().replace('schemas = ["api"]', 'schemas = ["api", "public", "corpuscope"]'))
    clean = _cli(repository, "db", "advisors", f"--remote={plain.port}", "--level", "warn", "--fail-on", "warn")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    with connect(plain.owner) as conn:
        for schema in ("api", "public", "corpuscope"):
            conn.execute(f"create table {schema}.open_to_all (id int); grant select on {schema}.open_to_all to anon")
    open_to_all = _cli(repository, "db", "advisors", f"--remote={plain.port}", "--fail-on", "error")
    assert open_to_all.returncode != 0
    assert open_to_all.stdout.count('"rls_disabled_in_public"') == 3


@pytest.mark.parametrize("last", [name for name in EARLIER if name != FILES[-1]])
def test_an_upgraded_database_equals_a_fresh_one(server: EmbeddedPostgres, tmp_path: Path, last: str) -> None:
    with _plain(server) as fresh, _plain(server) as upgraded:
        prepare(fresh.admin, fresh.owner)
        with connect(upgraded.owner) as conn:
            migrations.migrate(conn, _folder(tmp_path / "earlier", FILES[: FILES.index(last) + 1]))
            bootstrap.ensure_user(conn, bootstrap.LOCAL_USER, bootstrap.LOCAL_EMAIL)
            conn.execute(
                "insert into public.collections (name, created_by) values ('Kept', %s)", [bootstrap.LOCAL_USER]
            )
        prepare(upgraded.admin, upgraded.owner)
        assert _schema(upgraded) == _schema(fresh)
        with connect(upgraded.owner) as conn:
            assert conn.execute("select name from public.collections").fetchall() == [("Kept",)]


def test_pgvector_is_enabled_where_nobody_has(plain: Plain) -> None:
    with connect(plain.admin) as conn:
        conn.execute("drop extension vector; comment on schema auth is null")  # a project's own, as it comes
    with pytest.raises(DatabaseError, match="pgvector is not enabled") as refused:
        prepare(plain.owner, plain.owner)  # whose postgres may not: elsewhere it may
    assert "create extension vector" in str(refused.value.hint)
    with connect(plain.admin) as conn:
        conn.execute("create schema elsewhere; create extension vector schema elsewhere")
    with pytest.raises(DatabaseError, match="in schema elsewhere"):
        prepare(plain.owner, plain.owner)
    with connect(plain.admin) as conn:
        conn.execute("drop extension vector")
        bootstrap.ensure_pgvector(conn)
    assert prepare(plain.owner, plain.owner) == FILES


def test_what_a_project_gives_by_default_is_put_aside(server: EmbeddedPostgres) -> None:
    with _plain(server) as fresh, _plain(server) as generous:
        with connect(generous.owner) as conn:
            for kind in ("tables", "sequences", "functions"):
                conn.execute(
                    f"alter default privileges in schema public grant all on {kind} to anon, authenticated".encode()
                )
        given = "select defaclobjtype, defaclacl::text[] from pg_default_acl order by 1"
        with connect(generous.owner) as conn:
            before = {kind: sorted(rights) for kind, rights in conn.execute(given.encode())}
            prepare(generous.admin, generous.owner)
            assert {kind: sorted(rights) for kind, rights in conn.execute(given.encode())} == before
        prepare(fresh.admin, fresh.owner)
        assert [one for one in _schema(generous) if "Type: DEFAULT ACL; Schema: public" not in one] == _schema(fresh)


def test_a_difference_of_schemas_is_seen(server: EmbeddedPostgres) -> None:
    with _plain(server) as one, _plain(server) as other:
        for database in (one, other):
            prepare(database.admin, database.owner)
        with connect(other.owner) as conn:
            conn.execute("alter table public.chunks alter column ordinal set default 7")
        assert _schema(one) != _schema(other)


def _folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name in names:
        shutil.copy(migrations.FOLDER / name, folder)
    return folder


def _schema(database: Plain) -> list[str]:
    """Everything but rows, statement by statement, in an order that doesn't tell when each was made."""
    done = subprocess.run(
        [program("pg_dump"), "--schema-only", "--dbname", database.admin], capture_output=True, text=True, check=True
    )
    without_key = re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)
    statements = without_key.partition("-- PostgreSQL database dump complete")[0]
    return sorted(part.strip("-\n") for part in re.split(r"\n-- Name: ", statements))
