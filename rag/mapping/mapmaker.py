"""Maps are computed in a process of their own: it can be killed at once, and its memory goes with it.

It stays for a while after a map, since the next one needs nothing compiled then.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import CorpuscopeError
from rag.mapping.trustworthiness import Trust

if TYPE_CHECKING:
    from rag.mapping.cluster_tree import ClusterTree
    from rag.mapping.maps import Phase

log = logging.getLogger(__name__)

#: Seconds without a map after which the process ends; after a map of more points than these it ends at once.
KEPT_S = 600.0
KEPT_POINTS = 25_000
_TICK_S = 0.2
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase is; 0 of 0 where that isn't known."""

    phase: Phase
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Layout:
    """[n, 2] in map units, and seconds by phase."""

    xy: NDArray[np.int32]
    timings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Clustered:
    """The tree of clusters; None where that went wrong, which is in the log."""

    tree: ClusterTree | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Trustworthiness; None where it isn't defined or went wrong."""

    trust: Trust | None
    seconds: float


#: In this order; None now and then, for whoever looks whether to go on.
Event = Progress | Layout | Clustered | Measured | None


class MapMaker:
    """Computes one map after the other. Use as a context manager; not for several threads at once.

    ``home`` is where what was compiled is kept. Stopping in the middle of :meth:`make` kills the process.
    """

    def __init__(self, home: Path, *, kept_s: float = KEPT_S) -> None:
        self._compiled = home / "compiled"
        self._kept_s = kept_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._farewell: threading.Timer | None = None
        self._points = 0

    def __enter__(self) -> MapMaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process, None when there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Have the process ready; what it must compile, it begins to compile."""
        with self._lock:
            if self._farewell is not None:
                self._farewell.cancel()
                self._farewell = None
            if self.pid is None:
                self._drop()
                self._process = self._open()
            self._points = 0

    def stop(self) -> None:
        """End the process, whatever it does."""
        with self._lock:
            self._drop()

    def feed(self, vectors: NDArray[np.float16]) -> None:
        """Hand over some vectors of the map, [n, d], after :meth:`start`."""
        self._points += len(vectors)
        self._send({"vectors": len(vectors)}, np.ascontiguousarray(vectors, np.float16).tobytes())

    def make(self, *, neighbours: int, min_dist: float, seed: int) -> Iterator[Event]:
        """Make a map of what was fed. Raises :class:`CorpuscopeError`, in words, when that can't be done."""
        ended = False
        try:
            self._send({"make": {"neighbours": neighbours, "min_dist": min_dist, "seed": seed}})
            for message, data in self._messages():
                if message is None:
                    yield None
                    continue
                if "end" in message:
                    ended = True
                    return
                yield _event(message, data)
        finally:
            if ended and self._points <= KEPT_POINTS:
                self._keep_for_a_while()
            else:
                self.stop()

    def _open(self) -> subprocess.Popen[bytes]:
        self._compiled.mkdir(parents=True, exist_ok=True)
        # An environment of its own: no keys, no proxies.
        environment = {
            "PYTHONPATH": _PACKAGE_ROOT,
            "PYTHONUTF8": "1",
            "LC_ALL": "C.UTF-8",
            "NUMBA_CACHE_DIR": str(self._compiled),
            "HOME": str(self._compiled),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "rag.mapping.map_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def _drop(self) -> None:
        if self._farewell is not None:
            self._farewell.cancel()
            self._farewell = None
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _keep_for_a_while(self) -> None:
        with self._lock:
            self._farewell = threading.Timer(self._kept_s, self.stop)
            self._farewell.daemon = True
            self._farewell.start()

    def _send(self, message: dict[str, Any], data: bytes = b"") -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise _died(None)
        try:
            process.stdin.write(json.dumps(message | ({"bytes": len(data)} if data else {})).encode() + b"\n" + data)
            process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise _died(process) from error

    def _messages(self) -> Iterator[tuple[dict[str, Any] | None, bytes]]:
        """What the process says, and (None, nothing) at every tick without a word."""
        process = self._process
        if process is None or process.stdout is None:
            raise _died(None)
        got = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                while (one := _split(got)) is not None:
                    yield one
                if not selector.select(_TICK_S):
                    yield None, b""
                    continue
                step = os.read(process.stdout.fileno(), 2**20)
                if not step:
                    raise _died(process)
                got += step


def _split(got: bytearray) -> tuple[dict[str, Any], bytes] | None:
    """Take the first whole message off what was read; None while it isn't whole."""
    end = got.find(b"\n")
    if end < 0:
        return None
    message = json.loads(got[:end])
    whole = end + 1 + message.get("bytes", 0)
    if len(got) < whole:
        return None
    data = bytes(got[end + 1 : whole])
    del got[:whole]
    return message, data


def _event(message: dict[str, Any], data: bytes) -> Event:
    if "error" in message:
        if message["error"]:
            raise CorpuscopeError(
                message["error"], hint="Give the worker's machine more memory, or map a smaller index."
            )
        raise RuntimeError(message["trace"])
    if "layout" in message:
        return Layout(np.frombuffer(data, np.int32).reshape(-1, 2), message["layout"])
    if "tree" in message:
        return Clustered(pickle.loads(data), message["seconds"])
    if "trust" in message:
        return Measured(Trust(**message["trust"]) if message["trust"] else None, message["seconds"])
    if "wrong" in message:
        log.error("A map goes without its %s: %s", message["wrong"], message["trace"])
        return Clustered(None, 0.0) if message["wrong"] == "tree" else Measured(None, 0.0)
    return Progress(message["phase"], message["done"], message["total"])


def _died(process: subprocess.Popen[bytes] | None) -> CorpuscopeError:
    code = None
    if process is not None:
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout=2)
    log.error("The process that makes maps ended with code %s.", code)
    if code == -signal.SIGKILL:
        return CorpuscopeError(
            "Making the map took more memory than there is.",
            hint="Give the worker's machine more memory, or map a smaller index.",
        )
    return CorpuscopeError("The process that makes maps ended unexpectedly.", hint="Make the map again.")
