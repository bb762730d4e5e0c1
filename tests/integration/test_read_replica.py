"""A real standby of the embedded server: what it can answer by itself, and how it refuses the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from rag.chat.chats import list_messages
from rag.corpus.collections import list_collections
from rag.corpus.documents import list_documents
from rag.corpus.texts import read_text
from rag.errors import DatabaseError
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search
from rag.store import system_account
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database, connect, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.store.system_account import program
from tests.conftest import temporary_home
from tests.integration.library import LAKE, PUMP, QUESTION, Library, wait_until

BEHIND = "select coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Library, UUID, Database]]:
    """A library on the primary, an answered question in it, and the standby, which has caught up."""
    with (
        temporary_home() as home,
        EmbeddedPostgres(home / "primary", durable=False) as server,
        open_embedded(server) as primary,
    ):
        library = Library(primary, LOCAL_USER, {"pump.txt": PUMP, "lake.txt": LAKE})
        message = library.ask()
        copy_to(server, home / "standby")
        with EmbeddedPostgres(home / "standby", durable=False) as copy:
            with connect(server.dsn()) as conn:
                sent = conn.execute("select pg_current_wal_lsn()::text").fetchone()
            with connect(copy.dsn()) as conn:
                wait_until(lambda: conn.execute(BEHIND, sent).fetchone() == (True,))
            with Database(copy.dsn("authenticator"), copy.dsn()) as standby:
                yield library, library.read(message).chat_id, standby


def copy_to(server: EmbeddedPostgres, home: Path) -> None:
    """A base backup that follows the primary, as an administrator would make one."""
    owner = system_account.find_owner()
    system_account.make_private(home, owner)
    data = home / "postgres"
    data.mkdir(mode=0o700)
    owner.give(data)
    command = [program("pg_basebackup"), "-d", server.dsn("supabase_admin", "postgres"), "-D", str(data)]
    done = owner.run([*command, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
    assert done.returncode == 0, done.stderr
    # The primary's socket lies in its data folder, and its lock comes along.
    (data / ".s.PGSQL.5432.lock").unlink()


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_a_standby_searches_under_the_policies(pair: tuple[Library, UUID, Database], mode: str) -> None:
    library, _, standby = pair
    profile = RetrievalProfile.from_json({"mode": mode, "k": 3})
    vector = library.embedder.embed_question(QUESTION)
    with library.database.as_user(LOCAL_USER) as conn:
        expected = search(conn, library.collection, QUESTION, vector, profile)
    with standby.as_user(LOCAL_USER) as conn:
        found = search(conn, library.collection, QUESTION, vector, profile)
    assert found == expected
    assert "27 months" in found[0].text


def test_a_standby_shows_documents_and_conversations(pair: tuple[Library, UUID, Database]) -> None:
    library, chat, standby = pair
    with standby.as_user(LOCAL_USER) as conn:
        assert [one.id for one in list_collections(conn)] == [library.collection]
        documents = list_documents(conn, library.collection)
        assert {document.name for document in documents} == {"pump.txt", "lake.txt"}
        assert next(one.content for one in list_messages(conn, chat)) == QUESTION
        assert "Falcon" in "".join(read_text(conn, one.id).text for one in documents)
    with standby.as_user(UUID(int=7)) as conn:
        assert list_collections(conn) == []


def test_a_standby_refuses_what_would_write(pair: tuple[Library, UUID, Database]) -> None:
    library, _, standby = pair
    with pytest.raises(DatabaseError), standby.as_user(LOCAL_USER) as conn:
        conn.execute("update public.collections set name = 'x' where id = %s", [library.collection])
    assert library.value("select count(*) from public.collections where name = 'x'") == 0
