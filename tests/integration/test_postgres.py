"""The embedded server: private, shared, recovered whatever was killed."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from rag.errors import DatabaseError, DatabaseUnavailable
from rag.store.database import connect
from rag.store.postgres import EmbeddedPostgres, Postmaster

HOLD = """
import sys
from pathlib import Path
from rag.store.postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), durable=False) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that uses the server until its input ends, and the server's pid as it sees it."""
    command = [sys.executable, "-c", HOLD, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


@pytest.fixture(scope="module")
def original() -> Iterator[Path]:
    """A home whose server was made, started once and stopped."""
    with tempfile.TemporaryDirectory(prefix="corpuscope-") as folder:
        home = Path(folder) / "home"
        with EmbeddedPostgres(home, durable=False):
            pass
        yield home


@pytest.fixture
def made(original: Path, home: Path) -> Path:
    """A home of this test's own, with a server made before."""
    subprocess.run(["cp", "-a", str(original), str(home)], check=True)
    return home


def ask(server: EmbeddedPostgres, query: str, database: str = "postgres") -> object:
    with connect(server.dsn("supabase_admin", database)) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def lives(pid: int) -> bool:
    """Whether the process runs; one that ended but that init has not collected yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ends(pid: int, within_s: float = 10.0) -> bool:
    """Whether the process is gone soon: the server takes its files back a moment before it exits."""
    deadline = time.monotonic() + within_s
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not lives(pid)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    while lives(pid):
        time.sleep(0.01)


def write_something(server: EmbeddedPostgres) -> None:
    with connect(server.dsn("supabase_admin", "postgres")) as conn:
        conn.execute("set synchronous_commit = on")
        conn.execute("create table kept as select generate_series(1, 1000) as n")


def test_nobody_else_gets_in(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False) as server:
        assert ask(server, "show listen_addresses") == ""
        found = Postmaster.read(server.data)
        assert found is not None
        folder = Path(found.socket_folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / ".s.PGSQL.5432").stat().st_mode) == 0o700
        assert not home.stat().st_mode & 0o027
        assert not (home / "postgres.log").stat().st_mode & 0o077


def test_text_of_all_alphabets(server: EmbeddedPostgres) -> None:
    assert ask(server, "select lower('ÄÖÜ ПРИВЕТ ΣΊΓΜΑ')") == "äöü привет σίγμα"
    assert ask(server, "select to_tsvector('german', 'Die Häuser')::text") == "'haus':2"
    assert ask(server, "select to_tsvector('russian', 'Привет мира — «коты»')::text") == "'кот':3 'мир':2 'привет':1"
    assert ask(server, "show data_checksums") == "on"


def test_the_last_user_stops_it(made: Path) -> None:
    first = EmbeddedPostgres(made, durable=False).start()
    second = EmbeddedPostgres(made, durable=False).start()
    pid = first.pid
    assert pid is not None
    assert second.pid == pid
    first.close()
    first.close()
    assert second.pid == pid
    second.close()
    assert ends(pid)
    with pytest.raises(DatabaseError, match="not running"):
        second.dsn()


def test_processes_share_it(made: Path) -> None:
    with another_process(made) as (process, pid):
        with EmbeddedPostgres(made, durable=False) as server:
            assert server.pid == pid
        assert lives(pid)
        process.communicate()
    assert ends(pid)


def test_ctrl_c_in_the_terminal_does_not_reach_it(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server:
        assert server.pid is not None
        assert os.getsid(server.pid) != os.getsid(0)


def test_many_starts_at_once_make_one_server(home: Path) -> None:
    servers = [EmbeddedPostgres(home, durable=False) for _ in range(4)]
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pids = {server.pid for server in servers}
    for server in servers:
        server.close()
    assert len(pids) == 1
    assert None not in pids


@pytest.mark.drill
def test_a_killed_user_leaves_a_server_that_the_next_one_adopts(made: Path) -> None:
    with another_process(made) as (process, pid):
        process.kill()
        process.wait()
        with EmbeddedPostgres(made, durable=False) as server:
            assert server.pid == pid
    assert ends(pid)


@pytest.mark.drill
def test_a_killed_server_comes_back_with_its_data(made: Path) -> None:
    with EmbeddedPostgres(made) as server:
        write_something(server)
        before = server.pid
        assert before is not None
        kill(before)
        assert server.pid is None
        assert server.ensure_running()
        assert server.pid != before
        assert ask(server, "select count(*) from kept") == 1000
        assert not server.ensure_running()


@pytest.mark.drill
def test_everything_killed_at_once_comes_back(made: Path) -> None:
    with another_process(made) as (process, pid):
        stopped = EmbeddedPostgres(made, durable=False).start()
        write_something(stopped)
        process.kill()
        kill(pid)
        stopped.close()
    with EmbeddedPostgres(made, durable=False) as server:
        assert ask(server, "select count(*) from kept") == 1000


@pytest.mark.drill
def test_a_session_that_outlives_its_server_is_ended(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server, connect(server.dsn("supabase_admin", "postgres")) as busy:
        session = busy.info.backend_pid
        psutil.Process(session).suspend()  # as good as deep in a long computation
        assert server.pid is not None
        kill(server.pid)
        server.ensure_running()
        assert not lives(session)


def test_a_pid_that_belongs_to_somebody_else_by_now(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server:
        pass
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n1\n5432\n{server.data}\n\n1 1\nready\n")
    with EmbeddedPostgres(made, durable=False) as server:
        assert ask(server, "select 1") == 1


@pytest.mark.drill
def test_a_server_whose_socket_was_swept_away(made: Path) -> None:
    with another_process(made) as (process, pid):
        (made / "postgres" / ".s.PGSQL.5432").unlink()
        with EmbeddedPostgres(made, durable=False) as server:
            assert ask(server, "select 1") == 1
            assert server.pid != pid
        process.communicate()


@pytest.mark.drill
def test_a_recovery_of_more_than_ten_seconds_is_waited_for(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server:
        write_something(server)
    slow = server.data / "slow"
    with (server.data / "corpuscope.conf").open("a"), (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = 'test -e {slow} || {{ touch {slow}; sleep 11; }}; exit 1'\n")
    (server.data / "recovery.signal").touch()
    said: list[str] = []
    with EmbeddedPostgres(made, durable=False, on_progress=said.append) as server:
        assert slow.exists()
        assert ask(server, "select count(*) from kept") == 1000
    assert len(said) >= 2


def test_a_half_made_folder_does_not_count(home: Path) -> None:
    half = home / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home, durable=False) as server:
        assert ask(server, "select 1") == 1
    assert not half.exists()


def test_a_long_path_gets_a_private_socket_elsewhere(home: Path) -> None:
    home = home / ("long " + "x" * 100)
    with EmbeddedPostgres(home, durable=False) as server:
        found = Postmaster.read(server.data)
        assert found is not None
        folder = Path(found.socket_folder)
        assert folder != server.data
        assert folder.stat().st_uid == server.data.stat().st_uid
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert ask(server, "select 1") == 1
    folder.chmod(0o777)
    with pytest.raises(DatabaseError, match="private folder"):
        EmbeddedPostgres(home, durable=False).start()
    folder.rmdir()


def test_a_folder_of_another_version_is_refused(home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(DatabaseError, match="made by Postgres 17") as caught:
        EmbeddedPostgres(home).start()
    assert "pg_upgrade" in caught.value.hint


def test_a_folder_of_something_else_is_refused(home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    with pytest.raises(DatabaseError, match="not a database"):
        EmbeddedPostgres(home).start()


def test_a_home_that_is_a_file_is_refused(home: Path) -> None:
    home.write_text("")
    with pytest.raises(DatabaseError, match="can't be used"):
        EmbeddedPostgres(home).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_of_somebody_else_is_refused(home: Path) -> None:
    home.mkdir()
    os.chown(home, 65534, 65534)
    with pytest.raises(DatabaseError, match="belongs to"):
        EmbeddedPostgres(home).start()


def test_a_bad_setting_is_said_with_the_log(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server:
        pass
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write("max_connections = 'many'\n")
    with pytest.raises(DatabaseError, match="did not start") as caught:
        EmbeddedPostgres(made, durable=False).start()
    assert "postgres.log" in caught.value.hint


def test_a_forked_child_does_not_stop_it(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server:
        child = os.fork()
        if child == 0:
            server.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert ask(server, "select 1") == 1
        assert server.pid is not None


def test_a_refused_connection_is_said(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server:
        dsn = server.dsn("nobody", "postgres")
        with pytest.raises(DatabaseUnavailable, match='role "nobody" does not exist'):
            connect(dsn)
    with pytest.raises(DatabaseUnavailable):
        connect(dsn)


def test_a_listener_that_is_no_postgres_is_not_taken_for_one(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server:
        pid = server.pid
    with socket.socket(socket.AF_UNIX) as impostor:
        impostor.bind(str(server.data / ".s.PGSQL.5432"))
        impostor.listen()
        with EmbeddedPostgres(made, durable=False) as server:
            assert server.pid != pid
            assert ask(server, "select 1") == 1


def test_progress_names_the_first_start(home: Path) -> None:
    said: list[str] = []
    with EmbeddedPostgres(home, durable=False, on_progress=said.append):
        assert any("first time" in message for message in said)


def test_signals_of_a_stopping_terminal_are_survived(made: Path) -> None:
    with another_process(made) as (process, pid):
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert ends(pid)
