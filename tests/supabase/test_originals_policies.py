"""Who may do what with originals in Storage: rows of storage.objects, as Storage's server asks for them.

Storage itself is not here. It decides by what its own query returns under the policies as the person of the token, and
that is what runs here, on real policies. Nothing in this file depends on what a bucket is called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection

from rag.curation.acts import trash_documents
from rag.store.database import Database, connect
from rag.store.postgres import EmbeddedPostgres
from tests.conftest import ALICE, BOB
from tests.supabase.originals import Depot, depot
from tests.supabase.storage_stub import storage_stub

READ = "select name from storage.objects where bucket_id = 'originals' and name like 'corpuscope-originals/%'"
CHANGES = {
    "insert": "insert into storage.objects (bucket_id, name) values ('originals', 'corpuscope-originals/mine')",
    "update": "update storage.objects set name = 'taken ' || id where name like 'corpuscope-originals/%'",
    "move in": "update storage.objects set name = 'corpuscope-originals/mine' where name = 'photo.png'",
    "delete": "delete from storage.objects where name like 'corpuscope-originals/%'",
}
#: What a project may have said for its own files, and the worst that people copy from tutorials.
OPEN_TO_ALL = 'create policy "everybody, everything" on storage.objects for all using (true) with check (true)'


@pytest.fixture
def store(database: Database) -> Iterator[Depot]:
    with storage_stub() as stub, depot(database, stub) as made:
        yield made


@pytest.fixture
def document(store: Depot) -> UUID:
    """Alice's, in the bucket; Storage has a row for its object, one that nobody adopted, and one of somebody else's."""
    made = store.add("a.txt", b"a")
    store.move_all()
    store.do("insert into storage.buckets (id, name) values ('originals', 'originals')")
    store.do(
        "insert into storage.objects (bucket_id, name) values ('originals', %s),"
        " ('originals', 'corpuscope-originals/loose'), ('originals', 'photo.png')",
        str(store.object(made)).removeprefix("originals/"),
    )
    return made


@pytest.fixture
def admin(server: EmbeddedPostgres, database: Database) -> Iterator[Connection[Any]]:
    name = psycopg.conninfo.conninfo_to_dict(database.owner_dsn)["dbname"]
    with connect(server.dsn("supabase_admin", str(name))) as conn:
        yield conn


def ask(conn: Connection[Any], statement: str, role: str, user: UUID | None = None) -> int:
    """How many rows a statement reads or changes, as Storage runs it for a token; undone."""
    with conn.transaction(force_rollback=True):
        claims = json.dumps({"role": role} | ({"sub": str(user)} if user else {}))
        conn.execute("select set_config('request.jwt.claims', %s, true), set_config('role', %s, true)", [claims, role])
        try:
            return conn.execute(statement.encode()).rowcount
        except psycopg.errors.InsufficientPrivilege:
            return 0


@pytest.fixture(params=["ours alone", "beside one that opens everything"])
def policies(request: pytest.FixtureRequest, admin: Connection[Any], document: UUID) -> str:
    if request.param != "ours alone":
        admin.execute(OPEN_TO_ALL)
    return str(request.param)


def test_whoever_sees_the_document_reads_its_original(store: Depot, admin: Connection[Any], policies: str) -> None:
    assert ask(admin, READ, "authenticated", ALICE) == 1
    assert ask(admin, READ, "authenticated", BOB) == 0
    assert ask(admin, READ, "authenticated") == 0
    assert ask(admin, READ, "anon") == 0
    assert ask(admin, READ, "service_role") == 2
    store.do("insert into public.collection_members values (%s, %s, 'viewer')", store.collection, BOB)
    assert ask(admin, READ, "authenticated", BOB) == 1


def test_in_the_trash_nobody_reads_it(store: Depot, admin: Connection[Any], document: UUID, policies: str) -> None:
    with store.database.as_user(ALICE) as conn:
        trash_documents(conn, store.collection, [document])
    assert ask(admin, READ, "authenticated", ALICE) == 0


def test_back_in_the_database_the_object_is_nobodys(store: Depot, admin: Connection[Any], policies: str) -> None:
    store.move_all(to_bucket=False)
    assert ask(admin, READ, "authenticated", ALICE) == 0


@pytest.mark.parametrize("act", CHANGES)
def test_the_servers_key_alone_writes(admin: Connection[Any], policies: str, act: str) -> None:
    for role, user in (("authenticated", ALICE), ("authenticated", BOB), ("anon", None)):
        assert ask(admin, CHANGES[act], role, user) == 0
    assert ask(admin, CHANGES[act], "service_role") > 0


def test_other_files_of_the_project_are_none_of_ours(admin: Connection[Any], document: UUID) -> None:
    photo = "select 1 from storage.objects where name = 'photo.png'"
    assert ask(admin, photo, "authenticated", BOB) == 0
    admin.execute(OPEN_TO_ALL)
    for statement in (
        photo,
        "insert into storage.objects (bucket_id, name) values ('originals', 'other.png')",
        "update storage.objects set metadata = '{}' where name = 'photo.png'",
        "delete from storage.objects where name = 'photo.png'",
    ):
        assert ask(admin, statement, "authenticated", BOB) == 1
        assert ask(admin, statement, "anon") == 1


def test_an_objects_document_is_found_by_index(store: Depot, admin: Connection[Any], document: UUID) -> None:
    """A listing of many objects asks for each."""
    with admin.transaction(force_rollback=True):
        admin.execute("set local enable_seqscan = off")
        admin.execute("set local role authenticated")
        plan = "\n".join(line for (line,) in admin.execute(f"explain {READ}".encode()))
    assert "documents_original_object" in plan
