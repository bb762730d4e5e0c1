"""The embedded Postgres: starts with its first user, is shared by all, stops with its last.

Three files beside the data folder coordinate any number of processes: ``postgres.lock`` is held while one of them
starts or stops the server, ``postgres.users`` is held (shared) by each that uses it, ``postgres.log`` is the server's.
The kernel frees both locks when a process dies, so a ``kill -9`` anywhere leaves nothing to clean up by hand: a
server without users is adopted by the next start, users without a server get a new one from ``ensure_running``.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psutil

from rag.errors import DatabaseError
from rag.locks import FileLock, exclusive
from rag.store import datafolder, system_account

DATABASE = "corpuscope"

Progress = Callable[[str], None]

_POLL_S = 0.02
_START_LIMIT_S = 3600.0
_STOP_LIMIT_S = 120.0
_ORPHAN_LIMIT_S = 3.0
_LOG_LIMIT_BYTES = 16 * 2**20


def _silent(_message: str) -> None:
    """Progress that nobody listens to."""


@dataclass(frozen=True)
class Postmaster:
    """What ``postmaster.pid`` says of the server that wrote it, dead or alive."""

    pid: int
    socket_folder: str
    status: str

    @classmethod
    def read(cls, data: Path) -> Postmaster | None:
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
            return cls(int(lines[0]), lines[4] if len(lines) > 4 else "", lines[7].strip() if len(lines) > 7 else "")
        except (FileNotFoundError, ValueError, IndexError):
            return None

    @property
    def ready(self) -> bool:
        return self.status == "ready" and self.listens()

    def listens(self) -> bool:
        """Whether somebody accepts connections: true of a live server only, whatever became of its pid."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(f"{self.socket_folder}/.s.PGSQL.5432")
            except (BlockingIOError, TimeoutError):
                return True  # too busy to take one more, which takes a live server
            except OSError:
                return False
            return True


class EmbeddedPostgres:
    """One process' use of the server in ``home``; a context manager.

    ``durable=False`` is for tests: the server then doesn't wait for the disk. Every failure is a
    :class:`DatabaseError` that says what to do.
    """

    def __init__(self, home: Path, *, on_progress: Progress | None = None, durable: bool = True) -> None:
        self.home = home.expanduser().absolute()
        self.data = self.home / "postgres"
        self._progress = on_progress or _silent
        self._durable = durable
        self._lock_path = self.home / "postgres.lock"
        self._log_path = self.home / "postgres.log"
        self._users = FileLock(self.home / "postgres.users")
        self._thread_lock = threading.RLock()
        self._process = os.getpid()
        self._owner: system_account.Owner | None = None

    def __enter__(self) -> EmbeddedPostgres:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not answer."""
        postmaster = Postmaster.read(self.data)
        return postmaster.pid if postmaster is not None and postmaster.ready else None

    def dsn(self, role: str = "postgres", database: str = DATABASE) -> str:
        """The connection URL of ``role``; it needs no password, only access to the private socket."""
        postmaster = Postmaster.read(self.data)
        if postmaster is None:
            raise DatabaseError("The embedded database is not running.", hint="Start Corpuscope again.")
        folder = quote(postmaster.socket_folder, safe="")
        return f"postgresql://{quote(role, safe='')}@/{quote(database, safe='')}?host={folder}"

    def start(self) -> EmbeddedPostgres:
        """Attach to the running server, or make, recover and start it. Waits as long as recovery takes."""
        with self._thread_lock:
            try:
                self._prepare_home()
                with exclusive(self._lock_path, on_wait=self._tell_wait):
                    if not self._users.held and not self._users.try_acquire(shared=True):
                        raise DatabaseError("The embedded database is in use in an unexpected way.")
                    if self.pid is None:
                        self._launch()
            except OSError as error:
                self.close()
                raise DatabaseError(
                    f"The embedded database could not be started: {error.strerror or error} ({error.filename}).",
                    hint="Check the disk and the rights of CORPUSCOPE_HOME.",
                ) from error
            except BaseException:
                self.close()
                raise
            _opened.add(self)
        return self

    def ensure_running(self) -> bool:
        """Start the server again if it died under us; True if that was needed. Cheap when it was not."""
        if self.pid is not None:
            return False
        self.start()
        return True

    def close(self) -> None:
        """Leave the server; the last one out stops it. A second call does nothing."""
        with self._thread_lock:
            _opened.discard(self)
            if not self._users.held or os.getpid() != self._process:
                return
            self._users.release()
            lock = FileLock(self._lock_path)
            if not lock.acquire(timeout_s=10):
                return  # somebody who starts the server this long uses it, and will stop it
            try:
                if self._users.try_acquire():
                    self._stop()
            finally:
                self._users.release()
                lock.release()

    def _prepare_home(self) -> None:
        if self._owner is None:
            owner = system_account.find_owner()
            system_account.make_private(self.home, owner)
            self._owner = owner

    def _tell_wait(self, waited_s: float) -> None:
        self._progress(f"Another Corpuscope is starting or stopping the database ({waited_s:.0f} s)…")

    def _launch(self) -> None:
        owner = self._owner or system_account.find_owner()
        datafolder.make_cluster(self.data, owner, self._progress, durable=self._durable)
        system_account.check_programs(owner)
        if self._clear_remains():
            return
        socket_folder = datafolder.find_socket_folder(self.data, owner)
        datafolder.write_settings(self.data, socket_folder, owner, durable=self._durable)
        self._turn_log()
        with open(self._log_path, "ab", opener=_open_private) as log:
            said_before = log.tell()
            starter = subprocess.Popen(
                [system_account.program("pg_ctl"), "start", "-w", "-t", f"{_START_LIMIT_S:.0f}", "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=system_account.CLEAN_ENVIRONMENT,
                start_new_session=True,
                **owner.identity,
            )
        try:
            self._wait_until_ready(lambda: starter.poll() not in (None, 0), said_before)
        finally:
            starter.terminate()
            starter.wait()

    def _clear_remains(self) -> bool:
        """Deal with what a killed server left; True if that server turns out to live and to become ready."""
        found = Postmaster.read(self.data)
        if found is not None and _serves(found.pid, self.data):
            if found.listens() and found.status != "stopping":
                self._wait_until_ready(lambda: not _serves(found.pid, self.data), said_before=0)
                return True
            self._stop()  # it is stopping already, or its socket was swept away
        _end_orphans(self.data)
        if found is not None and psutil.pid_exists(found.pid):
            # Its pid belongs to another process by now, or is a zombie: Postgres would take that for a live server.
            for lock in (self.data / "postmaster.pid", Path(found.socket_folder or self.data) / ".s.PGSQL.5432.lock"):
                lock.unlink(missing_ok=True)
        return False

    def _wait_until_ready(self, gave_up: Callable[[], bool], said_before: int) -> None:
        started, told = time.monotonic(), 0.0
        while self.pid is None:
            waited = time.monotonic() - started
            if gave_up() or waited > _START_LIMIT_S:
                raise DatabaseError(
                    f"The embedded database did not start. {datafolder.explain(self._read_log(said_before))}",
                    hint=f"The log is {self._log_path}.",
                )
            if waited > told + 5:
                told = waited
                recovers = "redo" in self._read_log(said_before)
                doing = "recovering from an unclean stop" if recovers else "starting"
                self._progress(f"The database is {doing} ({waited:.0f} s)…")
            time.sleep(_POLL_S)

    def _read_log(self, start: int) -> str:
        with self._log_path.open("rb") as log:
            log.seek(max(start, log.seek(0, os.SEEK_END) - 20_000))
            return log.read().decode(errors="replace")

    def _turn_log(self) -> None:
        with suppress(FileNotFoundError):
            if self._log_path.stat().st_size > _LOG_LIMIT_BYTES:
                self._log_path.replace(self._log_path.with_suffix(".log.1"))

    def _stop(self) -> None:
        """Stop the server of this data folder, gently first; sessions still open are ended."""
        found = Postmaster.read(self.data)
        if found is None or not _serves(found.pid, self.data):
            return
        # Fast shutdown (its checkpoint may take a while), then the immediate one, which recovers at the next start.
        for sign, limit_s in ((signal.SIGINT, _STOP_LIMIT_S), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            with suppress(ProcessLookupError):
                os.kill(found.pid, sign)
            deadline = time.monotonic() + limit_s
            while time.monotonic() < deadline:
                if not _serves(found.pid, self.data):
                    return
                time.sleep(_POLL_S)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _serves(pid: int, data: Path) -> bool:
    """Whether ``pid`` is a live Postgres process in ``data``, not a zombie or a stranger with the same number."""
    try:
        process = psutil.Process(pid)
        if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return Path(process.cwd()) == data.resolve()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return False


def _end_orphans(data: Path) -> None:
    """Wait for, then kill, sessions that outlived their postmaster: they hold the memory a new one needs."""
    deadline = time.monotonic() + _ORPHAN_LIMIT_S
    while orphans := [process for process in psutil.process_iter() if _serves(process.pid, data)]:
        if time.monotonic() > deadline:
            for orphan in orphans:
                with suppress(psutil.NoSuchProcess):
                    orphan.kill()
        time.sleep(_POLL_S)


_opened: weakref.WeakSet[EmbeddedPostgres] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for server in list(_opened):
        server.close()
