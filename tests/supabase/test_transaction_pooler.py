"""Everything through a transaction pooler, PgBouncer here: what is left behind in a session would be somebody else's.

Supabase's poolers for transactions listen on 6543, by which Corpuscope knows them.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from rag.chat.feeds import Feed
from rag.doctor.line_checks import check_pooler
from rag.errors import DatabaseError
from rag.settings import load_settings
from rag.store import bootstrap, migrations
from rag.store.database import Database, connect, prepare
from rag.store.postgres import EmbeddedPostgres
from tests.conftest import copied_database, drop_database, temporary_home
from tests.integration.canaries import plant, strangers_in
from tests.integration.library import Library, in_thread, settings_for
from tests.integration.test_interleaved_people import look_around, write_first
from tests.integration.workshop import Workshop, prose, wait_for
from tests.supabase.relay import over_tcp

PORT = 6543
PEOPLE, SESSIONS_EACH = 6, 4

_CONFIG = """
[databases]
* = host=127.0.0.1 port={upstream}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
auth_type = trust
auth_file = {users}
default_pool_size = 4
server_reset_query =
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
"""


@pytest.fixture(scope="module")
def pooler(server: EmbeddedPostgres) -> Iterator[None]:
    """PgBouncer in front of the tests' server, with fewer connections than there are people."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer was not found: install it (Debian: apt-get install pgbouncer)")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.skip(f"somebody else listens on port {PORT}")
    with temporary_home() as folder, over_tcp(server.dsn("postgres", "postgres")) as upstream:
        folder.mkdir()
        folder.parent.chmod(0o755)
        users, config = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text("".join(f'"{role}" ""\n' for role in ("authenticator", "postgres", "supabase_admin")))
        config.write_text(
            _CONFIG.format(upstream=psycopg.conninfo.conninfo_to_dict(upstream)["port"], port=PORT, users=users)
        )
        # It refuses to run as root.
        command = [program, *(["-u", "nobody"] if os.getuid() == 0 else []), str(config)]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: _listens(running))
            yield
        finally:
            running.terminate()
            running.wait(10)


def _listens(running: subprocess.Popen[bytes]) -> bool:
    assert running.poll() is None, "PgBouncer did not start"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def _through(role: str, name: str) -> str:
    return f"postgresql://{role}@127.0.0.1:{PORT}/{name}?sslmode=disable"


@pytest.fixture
def pooled(pooler: None, server: EmbeddedPostgres, template: str) -> Iterator[Database]:
    """A database behind the pooler, as a hosted one is: one login, the owner's, for everything."""
    with copied_database(server, template) as direct:
        name = psycopg.conninfo.conninfo_to_dict(direct.owner_dsn)["dbname"]
        with Database(_through("postgres", str(name))) as database:
            yield database


def test_it_is_a_pooler_for_transactions(pooled: Database) -> None:
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(connect(pooled.app_dsn)) for _ in range(12)]
        servers = {line.execute("select pg_backend_pid()").fetchone() for line in lines}
    assert len(servers) <= 4


def test_files_become_searchable_and_questions_are_answered(pooled: Database, alice: UUID, bob: UUID) -> None:
    shop = Workshop(pooled, load_settings(None), alice)
    documents = [shop.store(f"{number}.txt", prose(20 + number)) for number in range(6)]
    shop.finish()
    assert {shop.stage(document) for document in documents} == {"ready"}
    assert shop.check_vectors() > 6
    library = Library(pooled, bob, {"pump.txt": "The warranty period of the Falcon pump is 27 months from delivery."})
    answer = library.answer(library.ask("How long is the warranty of the Falcon pump?"), settings_for())
    assert (answer.phase, "27 months" in answer.content) == ("complete", True)


def test_nobody_gets_a_word_of_somebody_elses(pooled: Database) -> None:
    people = [plant(pooled, number, SESSIONS_EACH) for number in range(PEOPLE)]
    crowd = [person for person in people for _ in range(SESSIONS_EACH)]
    random.Random(5).shuffle(crowd)
    begin = threading.Barrier(len(crowd))
    feed = Feed(pooled)

    def live(number: int) -> bytes:
        begin.wait(60)
        return look_around(pooled, feed, crowd[number], people, random.Random(number))

    try:
        with in_thread(lambda: write_first(pooled, people)), ThreadPoolExecutor(len(crowd)) as threads:
            seen = list(threads.map(live, range(len(crowd))))
    finally:
        feed.close()
    for person, everything in zip(crowd, seen, strict=True):
        assert person.word.encode() in everything
        assert strangers_in(everything, person, people) == set()


def test_a_transaction_leaves_no_rights_behind(pooled: Database, alice: UUID) -> None:
    for _ in range(20):
        with pooled.as_user(alice) as conn:
            row = conn.execute("select current_user, auth.uid(), current_setting('statement_timeout')").fetchone()
            assert row == ("authenticated", alice, "8s")
        with pooled.pool.connection() as conn:
            row = conn.execute("select current_user, auth.uid(), current_setting('statement_timeout')").fetchone()
            assert row is not None
            assert row[1] is None
            assert row[2] != "8s"


def test_single_connections_prepare_nothing_on_a_server_that_changes(pooled: Database) -> None:
    def ask_often(_number: int) -> set[object]:
        with pooled.as_owner() as conn:
            return {conn.execute("select %s + 1", [1]).fetchone() for _ in range(30)}

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(ask_often, range(12))) == [{(2,)}] * 12


def test_doctor_says_that_it_is_one_and_finds_one_that_is_not_known_as_such(pooled: Database) -> None:
    assert "no LISTEN" in check_pooler(pooled, "auto").words
    # The same port, written so that it isn't recognised.
    with Database(pooled.owner_dsn.replace(f":{PORT}", f":0{PORT}")) as unknown:
        check = check_pooler(unknown, "auto")
    assert (check.state, "another connection" in check.words) == ("fail", True)


def test_listening_keeps_time_alone(pooled: Database) -> None:
    began = time.monotonic()
    heard = pooled.listen("corpuscope_feed", timeout_s=0.05)
    assert [next(heard), next(heard)] == [None, None]
    assert time.monotonic() - began >= 0.1


def test_a_schema_is_not_changed_through_it(pooler: None, server: EmbeddedPostgres) -> None:
    name = "pooled_unmigrated"
    bootstrap.create_database(server.dsn("supabase_admin", "postgres"), name)
    try:
        with pytest.raises(DatabaseError, match="transaction pooler") as refused:
            prepare(server.dsn("supabase_admin", name), _through("postgres", name))
        assert "5432" in str(refused.value.hint)
        prepare(server.dsn("supabase_admin", name), server.dsn("postgres", name))
        assert prepare(server.dsn("supabase_admin", name), _through("postgres", name)) == []
        with connect(_through("postgres", name)) as conn:
            assert migrations.pending(conn) == []
    finally:
        drop_database(server, name)
