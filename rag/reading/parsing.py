"""A file becomes text, in a child process that can be killed: at the time limit, at the memory limit, or on request.

One child reads many files (a start costs about as much as fifty small files) and is replaced after it failed.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from rag import errors
from rag.errors import Cancelled, ParseError, ParseLimit
from rag.reading.media import safe_name
from rag.reading.parsed import ParsedText as ParsedText
from rag.reading.parsed import ParseLimits as ParseLimits

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.05
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
#: A child that has read so many files is replaced: native libraries leak a little with each broken file.
_FILES_PER_CHILD = 500
_OUT_OF_MEMORY_SHARE = 0.7


def _never() -> bool:
    return False


def parse_file(
    path: Path, name: str, *, limits: ParseLimits | None = None, cancelled: Callable[[], bool] = _never
) -> ParsedText:
    """Parse one file in a child of its own; see :meth:`Parser.parse`."""
    with Parser(limits) as parser:
        return parser.parse(path, name, cancelled=cancelled)


class Parser:
    """Parses files one after the other in a child process. Use as a context manager, or call :meth:`close`.

    Not for sharing: calls from several threads wait for one another.
    """

    def __init__(self, limits: ParseLimits | None = None) -> None:
        self.limits = limits or ParseLimits()
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Parser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process. The parser can be used again afterwards."""
        with self._lock:
            self._drop()

    def parse(self, path: Path, name: str, *, cancelled: Callable[[], bool] = _never) -> ParsedText:
        """Parse ``path``, uploaded as ``name``.

        Raises UnsupportedType, NoText, ParseLimit, PasswordNeeded, ParseError, or Cancelled when ``cancelled()``
        turned true; each message says the cause in plain words. ``cancelled`` is asked about every 50 ms.
        """
        size = path.stat().st_size
        if size > self.limits.file_bytes:
            raise ParseLimit(
                f"The file has {size / 2**20:,.0f} MB; at most {self.limits.file_bytes / 2**20:,.0f} MB are accepted."
            )
        with self._lock:
            answer = self._ask(path, name, cancelled)
        return _result(answer)

    def _ask(self, path: Path, name: str, cancelled: Callable[[], bool]) -> dict[str, Any]:
        if self._child is None or not self._child.usable():
            self._drop()
            self._child = _Child()
        request = {
            "path": str(path.resolve()),
            "name": safe_name(name),
            "unpacked_bytes": self.limits.unpacked_bytes,
            "memory_bytes": self.limits.memory_bytes,
            "seconds": self.limits.seconds,
        }
        try:
            return self._child.ask(request, self.limits, cancelled)
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


class _Child:
    """The running child process and its two pipes."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="corpuscope-parse-")
        # An environment of its own: no keys, no proxies; few malloc arenas, so that the address limit means something.
        environment = {
            "PYTHONPATH": _PACKAGE_ROOT,
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
            "MALLOC_ARENA_MAX": "2",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "TMPDIR": self._folder.name,
            "HOME": self._folder.name,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rag.reading.parser_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
            env=environment,
            start_new_session=True,
        )
        self._watched = psutil.Process(self._process.pid)
        self._files = 0
        self._peak = 0

    def usable(self) -> bool:
        return self._process.poll() is None and self._files < _FILES_PER_CHILD

    def ask(self, request: dict[str, Any], limits: ParseLimits, cancelled: Callable[[], bool]) -> dict[str, Any]:
        """Send one request and wait for its answer while watching time, memory and ``cancelled``."""
        self._files += 1
        self._peak = 0
        deadline = time.monotonic() + limits.seconds
        try:
            self._send(json.dumps(request).encode() + b"\n")
            return self._receive(limits, deadline, cancelled)
        except (BrokenPipeError, EOFError) as error:
            raise self._crashed(limits) from error

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _receive(self, limits: ParseLimits, deadline: float, cancelled: Callable[[], bool]) -> dict[str, Any]:
        assert self._process.stdout is not None
        most = 4 * (limits.file_bytes + limits.unpacked_bytes)
        got, wanted = bytearray(), -1
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while wanted < 0 or len(got) < wanted:
                if not selector.select(_TICK_SECONDS):
                    self._check(limits, deadline, cancelled)
                    continue
                step = os.read(self._process.stdout.fileno(), 2**20)
                if not step:
                    raise EOFError
                got += step
                if wanted < 0 and b"\n" in got:
                    head, _, rest = got.partition(b"\n")
                    wanted, got = int(head), rest
                if wanted > most:
                    raise ParseLimit("The file holds more text than can be kept.")
        answer = json.loads(got)
        assert isinstance(answer, dict)
        return answer

    def _check(self, limits: ParseLimits, deadline: float, cancelled: Callable[[], bool]) -> None:
        if cancelled():
            raise Cancelled("Reading this file was cancelled.")
        if time.monotonic() > deadline:
            raise ParseLimit(f"Reading this file took more than {limits.seconds:,.0f} seconds, which is the limit.")
        self._peak = max(self._peak, self._memory())
        if self._peak > limits.memory_bytes:
            raise ParseLimit(
                f"Reading this file took more than {limits.memory_bytes // 2**20:,} MB of memory, which is the limit."
            )

    def _memory(self) -> int:
        """Resident bytes of the child; 0 when it is gone, which reading its pipe then tells."""
        try:
            return int(self._watched.memory_info().rss)
        except psutil.Error:
            return 0

    def _crashed(self, limits: ParseLimits) -> ParseError:
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            code = 0
        _log.warning("The parser process ended with code %s (peak %d MB).", code, self._peak // 2**20)
        if code == -signal.SIGALRM:
            return ParseLimit(f"Reading this file took more than {limits.seconds:,.0f} seconds, which is the limit.")
        if code == -signal.SIGKILL or self._peak > _OUT_OF_MEMORY_SHARE * limits.memory_bytes:
            return ParseLimit("Reading this file took more memory than there is.")
        return ParseError(
            "The file made the reader crash; it is probably damaged.",
            hint="Open it in its own program, save a new copy and upload that.",
        )

    def kill(self) -> None:
        """End the child and everything it started, and remove its folder."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close(pipe)
        self._folder.cleanup()


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        _log.debug("The parser process was gone before its request was sent.")


def _result(answer: dict[str, Any]) -> ParsedText:
    if "error" not in answer:
        return ParsedText(**answer)
    kind = getattr(errors, answer["error"], None) if answer["error"] else None
    if isinstance(kind, type) and issubclass(kind, errors.CorpuscopeError):
        raise kind(answer["message"] or None, hint=answer["hint"])
    _log.error("A reader failed unexpectedly: %s", answer["message"])
    raise ParseError(
        "The file could not be read: its structure is not what its type promises.",
        hint="Open it in its own program, save a new copy and upload that.",
    )
