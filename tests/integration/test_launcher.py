"""The launcher as a person meets it: one command, Ctrl-C, two starts at once, and parts of it killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from rag.commands.children import settings_environment
from rag.settings import Settings
from tests.folders import temporary_folder

WORKING = "The worker runs."
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.drill, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One data folder for the module: making a database takes longer than everything else here."""
    with temporary_folder("launch") as folder:
        yield folder


class Running:
    """One `corpuscope` process; what it prints is read as it comes."""

    def __init__(self, home: Path, port: int, *arguments: str) -> None:
        settings = Settings(_env_file=None, corpuscope_home=home, corpuscope_port=port)
        self.address = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self._worker_log = home / "logs" / "worker-1.log"
        self._logged = self._log_text().count(WORKING)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rag.cli", *arguments],
            cwd=ROOT,
            env={**os.environ, **settings_environment(settings)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip())

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def child(self, part: str) -> psutil.Process | None:
        """The live child process whose command line has ``part``."""
        for process in psutil.Process(self.process.pid).children():
            try:
                if part in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def _log_text(self) -> str:
        return self._worker_log.read_text() if self._worker_log.exists() else ""

    def works(self) -> bool:
        """Whether its worker has come as far as the database."""
        return self._log_text().count(WORKING) > self._logged

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def finish(self, number: int = signal.SIGINT) -> int:
        """Send the signal, wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(10)
        return code


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., Running]]:
    """`start(port)` runs `corpuscope`; whatever still runs at the end is stopped."""
    started: list[Running] = []

    def run(port: int, *arguments: str) -> Running:
        started.append(Running(home, port, *arguments))
        return started[-1]

    yield run
    for running in started:
        running.finish(signal.SIGTERM)
    until(lambda: not processes_of(home))


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def until(condition: Callable[[], object], limit_s: float = 90) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def processes_of(home: Path) -> list[str]:
    """Command lines of all processes, ours and Postgres', that work in this data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            line = " ".join(process.cmdline())
            if str(home) in line or str(home) in process.environ().get("CORPUSCOPE_HOME", ""):
                found.append(line)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def ready(running: Running) -> bool:
    return running.answers() and running.child("rag.cli worker") is not None


def test_it_serves_says_where_and_ctrl_c_stops_all_of_it(start: Callable[..., Running], home: Path, port: int) -> None:
    first = start(port)
    until(lambda: ready(first))
    until(lambda: f"Corpuscope is at {first.address}" in first.said)
    second = start(port)
    assert second.process.wait(60) == 0
    until(lambda: "already running" in second.said)
    assert first.address in second.said
    assert first.finish(signal.SIGINT) == 0
    assert processes_of(home) == []
    assert not (home / "postgres" / "postmaster.pid").exists()
    assert "did not stop in time" not in first.said


def test_a_worker_gives_way_to_the_app(start: Callable[..., Running], port: int) -> None:
    running = start(port)
    until(lambda: ready(running))
    app, worker = running.child("streamlit"), running.child("rag.cli worker")
    assert app is not None
    assert worker is not None
    assert worker.nice() > app.nice()


def test_a_second_start_elsewhere_names_the_first(start: Callable[..., Running], port: int) -> None:
    first = start(port)
    until(first.answers)
    second = start(1)
    assert second.process.wait(60) == 0
    until(lambda: first.address in second.said)


def test_a_port_that_another_program_has_is_said_so(start: Callable[..., Running], home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        running = start(taken)
        assert running.process.wait(60) == 1
        until(lambda: f"Port {taken} can't be used" in running.said)
    assert f"process {os.getpid()}" in running.said
    assert "CORPUSCOPE_PORT" in running.said


@pytest.mark.parametrize("part", ["streamlit", "rag.cli worker"])
def test_a_killed_child_is_started_again(start: Callable[..., Running], port: int, part: str) -> None:
    running = start(port)
    until(lambda: ready(running))
    child = running.child(part)
    assert child is not None
    child.kill()
    until(lambda: (again := running.child(part)) is not None and again.pid != child.pid)
    until(lambda: ready(running))
    assert "SIGKILL" in running.said
    assert running.finish() == 0


def test_a_killed_database_is_started_again(start: Callable[..., Running], home: Path, port: int) -> None:
    running = start(port)
    until(lambda: ready(running))
    pid_file = home / "postgres" / "postmaster.pid"
    before = int(pid_file.read_text().split()[0])
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_file.exists() and pid_file.read_text() and int(pid_file.read_text().split()[0]) != before)
    assert running.finish() == 0
    assert processes_of(home) == []


def test_children_notice_a_killed_launcher_and_the_next_start_recovers(
    start: Callable[..., Running], home: Path, port: int
) -> None:
    killed = start(port)
    until(lambda: ready(killed))
    killed.process.kill()
    killed.process.wait()
    again = start(port)
    until(lambda: ready(again))
    assert again.finish() == 0
    assert processes_of(home) == []


def test_children_alone_do_not_stay(start: Callable[..., Running], home: Path, port: int) -> None:
    """The last of them stops the database too. One that no child has reached yet is adopted by the next start."""
    killed = start(port)
    until(lambda: ready(killed) and killed.works())
    killed.process.kill()
    killed.process.wait()
    until(lambda: not processes_of(home))
