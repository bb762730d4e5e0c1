"""Processes that a parent starts, watches and stops, and that stop by themselves when the parent is gone.

``python -m rag.commands.children PARENT MODULE ARGUMENTS…`` runs a module so that it notices the end of
process ``PARENT``.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from rag.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

_LOOK_S = 0.5
#: How long a child whose parent is gone may take to stop in good order.
_LAST_WORDS_S = 20.0
_LOG_LIMIT_BYTES = 16 * 2**20
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
#: A child that lived this long starts with a short delay again.
_STABLE_S = 60.0


class Child:
    """One process, in a session of its own so that a terminal's Ctrl-C reaches the parent only.

    ``arguments`` are a module and its arguments; it runs in the folder that holds the package. What it prints goes to
    ``log``. ``niceness`` above 0 lets other processes go first.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str], *, niceness: int = 0
    ) -> None:
        self.name = name
        self.log = log
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._niceness = niceness
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._delay_s = _FIRST_DELAY_S
        self._due: float | None = None
        #: Deaths in a row, each soon after its start.
        self.failures = 0

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it; its environment is ours plus what it was made with."""
        _turn_log(self.log)
        with open(self.log, "ab", opener=_open_private) as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rag.commands.children", str(os.getpid()), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
                start_new_session=True,
            )
        _be_nice(self._process.pid, self._niceness)
        self._started, self._due = time.monotonic(), None

    def tend(self, say: Callable[[str], None]) -> None:
        """Start it again if it died, after a delay that doubles with each death in a row."""
        if self.pid is not None or self._process is None:
            return
        now = time.monotonic()
        if self._due is None:
            if now - self._started > _STABLE_S:
                self._delay_s, self.failures = _FIRST_DELAY_S, 0
            self.failures += 1
            self._due = now + self._delay_s
            say(
                f"The {self.name} ended ({_describe_end(self._process.returncode)}); it is started again in "
                f"{self._delay_s:g} s. Its log is {self.log}."
            )
            self._delay_s = min(self._delay_s * 2, _LONGEST_DELAY_S)
        elif now >= self._due:
            self.start()


def _be_nice(pid: int, niceness: int) -> None:
    """Where Linux groups processes by session, the niceness of the group is what counts between sessions."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def last_line(log: Path) -> str:
    """The last words of a process, for a message."""
    with suppress(OSError):
        lines = log.read_bytes()[-4000:].decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def settings_environment(settings: Settings) -> dict[str, str]:
    """``settings`` as environment variables, for a child that reads them again in another folder."""
    from pydantic import SecretStr  # not at the top: every child starts through this module

    values: dict[str, Any] = {name: getattr(settings, name) for name in type(settings).model_fields}
    values["corpuscope_home"] = settings.corpuscope_home.expanduser().absolute()
    if Path(settings.embedding_model).expanduser().is_dir():
        values["embedding_model"] = Path(settings.embedding_model).expanduser().absolute()
    return {
        name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
    }


def stop_all(children: Sequence[Child], limit_s: float) -> list[str]:
    """Ask all to stop, wait up to ``limit_s`` together, then kill what is left with its own children.

    Returns the names of those that had to be killed.
    """
    families = {child: _family(child.pid) for child in children if child.pid is not None}
    for child in families:
        _signal(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and any(child.pid for child in families):
        time.sleep(0.02)
    killed = [child.name for child in families if child.pid is not None]
    for child, family in families.items():
        for process in {*family, *_family(child.pid)}:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    return killed


def _family(pid: int | None) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid) if pid is not None else None
        return [] if process is None else [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(pid: int | None, number: int) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _describe_end(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _turn_log(log: Path) -> None:
    with suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))


def follow(parent: int) -> None:
    """Stop this process in good order when ``parent`` is gone, and in any case soon after."""
    threading.Thread(target=_watch, args=[parent], name="follow-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LAST_WORDS_S)
    os._exit(1)


def main() -> None:
    """Run the module that the command line names, in this process."""
    parent, *rest = sys.argv[1:]
    follow(int(parent))
    sys.argv = rest
    runpy.run_module(rest[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
