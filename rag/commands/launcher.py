"""`corpuscope` without arguments: the database, the workers and the app, started side by side and kept alive."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rag.commands.appserver import address, answers, app_arguments, wait_for_port
from rag.commands.children import Child, settings_environment, stop_all
from rag.errors import CorpuscopeError
from rag.locks import FileLock
from rag.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.store.database import Database

#: Says where the running one is; left behind by an unclean end only.
_ADDRESS = "launcher.json"
#: The app and the database go first when the processor is busy: a busy worker gets a tenth of what they do. Less would
#: starve its heartbeat where other programs take all there is.
_WORKER_NICENESS = 10
_PATIENCE_WITH_APP_S = 5.0
_LOOK_S = 0.1
_STOP_LIMIT_S = 12.0
_GIVE_UP_OPENING_S = 20.0

Say = Callable[[str], None]


class Launcher:
    """One running Corpuscope. :meth:`run` returns the exit code when it was told to stop."""

    def __init__(self, settings: Settings, say: Say, announce: Callable[[], None]) -> None:
        self._settings = settings
        self._announce = announce
        self._say = say
        self._stop = threading.Event()
        self._opened = threading.Event()
        self._serving = threading.Event()
        self._database: Database | None = None
        self._problem: BaseException | None = None
        environment = settings_environment(settings)
        logs = settings.corpuscope_home / "logs"
        self._app = Child("app", app_arguments(settings), logs / "app.log", environment)
        self._workers = [
            Child(
                f"worker {n}", ["rag.cli", "worker"], logs / f"worker-{n}.log", environment, niceness=_WORKER_NICENESS
            )
            for n in range(1, settings.corpuscope_workers + 1)
        ]

    def stop(self) -> None:
        """Let :meth:`run` end; safe in a signal handler."""
        self._stop.set()
        self._serving.set()

    def run(self) -> int:
        """Start everything, keep it alive until :meth:`stop`, then stop it in order: app and workers, database."""
        opening = threading.Thread(target=self._open_database, name="open-database", daemon=True)
        try:
            self._app.start()
            opening.start()
            threading.Thread(target=self._wait_for_app, name="announce", daemon=True).start()
            self._wait_for_database()
            if self._problem is None and not self._stop.is_set():
                self._keep_alive()
        finally:
            self._stop.set()
            self._shut_down(opening)
        if self._problem is not None:
            raise self._problem
        return 0

    def _open_database(self) -> None:
        try:
            # Imported here, beside the app's own start: these take half a second.
            from rag.store.database import open_database
            from rag.vectors.registration import register_model

            self._database = open_database(self._settings, on_progress=self._say)
            register_model(self._database, self._settings)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._problem = error
        finally:
            self._opened.set()

    def _wait_for_database(self) -> None:
        while not self._opened.wait(_LOOK_S) and not self._stop.is_set():
            self._app.tend(self._say)

    def _keep_alive(self) -> None:
        # A worker's start takes all of a small machine; nobody waits for it as for the first page.
        self._serving.wait(_PATIENCE_WITH_APP_S)
        for worker in self._workers:
            worker.start()
        if not self._workers:
            self._say("No worker was started, because CORPUSCOPE_WORKERS is 0.")
        threading.Thread(target=self._keep_server, name="keep-server", daemon=True).start()
        self._say_how_to_begin()
        while not self._stop.wait(_LOOK_S):
            for child in (self._app, *self._workers):
                child.tend(self._say)

    def _say_how_to_begin(self) -> None:
        """To the terminal alone: what a log keeps isn't secret any more."""
        from rag.commands.first_account import describe_first_account  # the database's modules take half a second

        try:
            how = describe_first_account(self._database, self._settings) if self._database is not None else ""
        except CorpuscopeError as error:
            how = f"{error} {error.hint}"
        if how:
            print(how, file=sys.stderr, flush=True)

    def _keep_server(self) -> None:
        """Start the embedded server again when it died under us."""
        server = self._database.server if self._database is not None else None
        while server is not None and not self._stop.wait(1):
            try:
                if server.ensure_running():
                    self._say("The database had stopped and was started again.")
            except CorpuscopeError as error:
                self._say(f"{error} {error.hint}")
                self._stop.wait(5)

    def _wait_for_app(self) -> None:
        """Announce the address as soon as the app answers there."""
        while not self._stop.wait(0.05):
            if answers(self._settings):
                self._announce()
                self._serving.set()
                return

    def _shut_down(self, opening: threading.Thread) -> None:
        killed = stop_all([self._app, *self._workers], _STOP_LIMIT_S)
        for name in killed:
            self._say(f"The {name} did not stop in time and was ended.")
        opening.join(_GIVE_UP_OPENING_S)
        if self._database is not None:
            self._database.close()


def launch(settings: Settings, *, as_json: bool = False) -> int:
    """Run Corpuscope until Ctrl-C; the exit code. A second start only says where the first one is.

    The address goes to stdout once the app answers, with ``as_json`` as {"address", "already_running"}.
    Raises :class:`CorpuscopeError` when the port or the database can't be had.
    """
    home = settings.corpuscope_home
    try:
        (home / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CorpuscopeError(
            f"The folder {home} can't be used: {error.strerror}.",
            hint="Point CORPUSCOPE_HOME at a folder that you may write to.",
        ) from error
    lock = FileLock(home / "launcher.lock")
    if not lock.try_acquire():
        _print_address(_read_address(home) or address(settings), as_json=as_json, already=True)
        return 0
    try:
        wait_for_port(settings, 10 if _read_address(home) else 0)
        _write_address(home, settings)
        launcher = Launcher(
            settings,
            _Journal(home / "logs" / "launcher.log"),
            lambda: _print_address(address(settings), as_json=as_json, already=False),
        )
        with _signals(launcher.stop):
            code = launcher.run()
        (home / _ADDRESS).unlink(missing_ok=True)
        return code
    finally:
        lock.release()


def _print_address(url: str, *, as_json: bool, already: bool) -> None:
    if as_json:
        print(json.dumps({"address": url, "already_running": already}), flush=True)
    elif already:
        print(f"Corpuscope is already running at {url}", flush=True)
    else:
        print(f"Corpuscope is at {url} (Ctrl-C stops it)", flush=True)


class _Journal:
    """Says things to the person and to a log file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._last = ""

    def __call__(self, message: str) -> None:
        with self._lock:
            if message == self._last:
                return
            self._last = message
            print(message, file=sys.stderr, flush=True)
            with self._path.open("a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, a closed terminal and SIGTERM all mean: stop in good order. A second Ctrl-C changes nothing."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda _number, _frame: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_address(home: Path, settings: Settings) -> None:
    (home / _ADDRESS).write_text(json.dumps({"pid": os.getpid(), "address": address(settings)}))


def _read_address(home: Path) -> str:
    with suppress(OSError, ValueError):
        return str(json.loads((home / _ADDRESS).read_text())["address"])
    return ""
