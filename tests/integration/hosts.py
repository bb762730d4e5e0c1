"""Hosts that share one Postgres which none of them runs: each is `corpuscope` with an app and workers of its own.

The database is as a hosted one: reached by TCP, as a role `postgres` that is no superuser, prepared by somebody else
and without our schema, which whichever host comes first makes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from rag.store import bootstrap
from rag.store.database import Database, connect
from rag.store.postgres import EmbeddedPostgres
from tests.conftest import drop_database
from tests.supabase.relay import over_tcp

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0


@contextlib.contextmanager
def database_elsewhere(server: EmbeddedPostgres, name: str) -> Iterator[str]:
    """A database as a hosted project has it on its first day; the address that goes into DATABASE_URL."""
    bootstrap.create_database(server.dsn("supabase_admin", "postgres"), name)
    try:
        with connect(server.dsn("supabase_admin", name)) as conn:
            bootstrap.bootstrap(conn)
        with over_tcp(server.dsn("postgres", name)) as address:
            yield address
    finally:
        drop_database(server, name)


@dataclass
class Host:
    """One host: a home, a port, and what `corpuscope` runs there."""

    home: Path
    database_url: str
    workers: int = 2
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    _launcher: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """As `corpuscope` at a shell; returns at once."""
        self.port = self.port or _free_port()
        self.home.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CORPUSCOPE_")}
        chosen = {
            "DATABASE_URL": self.database_url,
            "CORPUSCOPE_HOME": str(self.home),
            "CORPUSCOPE_PORT": str(self.port),
            "CORPUSCOPE_WORKERS": str(self.workers),
            "PYTHONWARNINGS": "ignore",
        }
        with (self.home / "output.log").open("ab") as log:
            self._launcher = subprocess.Popen(
                [sys.executable, "-m", "rag.cli"],
                cwd=ROOT,
                env=kept | chosen | self.settings,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until its app answers."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self._launcher is not None
            assert self._launcher.poll() is None, self.said()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://{self.name}/sign-in", timeout=5, trust_env=False).status_code < 500:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{self.name} did not answer within {START_S:.0f} s: {self.said()}")

    def processes(self) -> dict[str, psutil.Process]:
        """The app and the workers that live now, by name."""
        found: dict[str, psutil.Process] = {}
        with contextlib.suppress(psutil.NoSuchProcess):
            assert self._launcher is not None
            for child in psutil.Process(self._launcher.pid).children():
                arguments = child.cmdline()
                kind = "app" if "streamlit" in arguments else "worker" if "worker" in arguments else ""
                if kind:
                    found[kind if kind == "app" else f"worker {child.pid}"] = child
        return found

    def stop(self) -> None:
        """As Ctrl-C does; what doesn't stop in time is killed."""
        if self._launcher is None:
            return
        self._launcher.send_signal(signal.SIGINT)
        try:
            self._launcher.wait(30)
        except subprocess.TimeoutExpired:
            kill(psutil.Process(self._launcher.pid))
            self._launcher.wait(10)

    def fail(self) -> None:
        """As a power cut: launcher, app and workers at once."""
        assert self._launcher is not None
        kill(psutil.Process(self._launcher.pid))
        self._launcher.wait(10)

    def said(self) -> str:
        """The last words of all of its processes."""
        logs = [self.home / "output.log", *sorted((self.home / "logs").glob("*.log"))]
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in logs if log.exists())


@contextlib.contextmanager
def running_hosts(*hosts: Host) -> Iterator[None]:
    """Start them side by side, wait until all answer, stop them at the end."""
    try:
        for host in hosts:
            host.start()
        for host in hosts:
            host.wait()
        yield
    finally:
        for host in hosts:
            host.stop()


def kill(process: psutil.Process) -> None:
    """kill -9 of a process and what it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def count_workers(database: Database) -> int:
    """Workers that say that they live."""
    with database.as_owner() as conn:
        row = conn.execute("select count(*) from corpuscope.workers").fetchone()
    assert row is not None
    return int(row[0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
