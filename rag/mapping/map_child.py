"""The process that computes maps: ``python -m rag.mapping.map_child``. :mod:`rag.mapping.mapmaker` talks to it.

Either side sends lines of JSON; ``bytes`` in a line says how many bytes of an array follow it. In: {"vectors": rows,
"bytes": …} some at a time, then {"make": settings}. Out: {"phase": …, "done": …, "total": …} now and then, the results
{"layout": …}, {"tree": …} and {"trust": …} as they come, {"wrong": …} for one that doesn't, and {"end": true}.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rag.mapping.maps import EXTENT
from rag.mapping.neighbours import find_neighbours, unit
from rag.mapping.projection import compile_layout, project
from rag.mapping.trustworthiness import measure_trust

#: Fewer are put down by hand: UMAP has nothing to say about them.
FEWEST = 4
_TOLD_EVERY_S = 0.3

log = logging.getLogger(__name__)

Vectors = NDArray[np.float32]


class Channel:
    """The two pipes. A thread listens, so that the process ends at once when its parent does."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._heard: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
        self._told_at = 0.0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in iter(self._incoming.readline, b""):
            message = json.loads(line)
            self._heard.put((message, self._incoming.read(message.get("bytes", 0))))
        os._exit(0)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next message and what follows it."""
        return self._heard.get()

    def send(self, message: dict[str, Any], data: bytes = b"") -> None:
        """One message, and bytes after it."""
        line = json.dumps(message | ({"bytes": len(data)} if data else {}))
        self._outgoing.write(line.encode() + b"\n" + data)
        self._outgoing.flush()

    def progress(self, phase: str) -> Callable[[int, int], None]:
        """What is told how far a phase is; passes it on now and then."""
        self.send({"phase": phase, "done": 0, "total": 0})

        def report(done: int, total: int) -> None:
            if time.monotonic() - self._told_at > _TOLD_EVERY_S:
                self._told_at = time.monotonic()
                self.send({"phase": phase, "done": done, "total": total})

        return report


def main() -> None:
    """Make maps until the pipe closes. The layout is compiled beside what comes before it."""
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    channel = Channel(sys.stdin.buffer, outgoing)
    compiling = threading.Thread(target=compile_layout, daemon=True)
    compiling.start()
    blocks: list[NDArray[np.float16]] = []
    while True:
        message, data = channel.receive()
        if "vectors" in message:
            blocks.append(np.frombuffer(data, np.float16).reshape(message["vectors"], -1))
            continue
        try:
            _make(channel, unit(np.concatenate(blocks)), message["make"], compiling)
        except MemoryError:
            channel.send({"error": "There was not enough memory to make the map."})
        except Exception as error:
            channel.send({"error": "", "trace": "".join(traceback.format_exception(error))})
            raise
        blocks = []


def _make(channel: Channel, vectors: Vectors, settings: dict[str, Any], compiling: threading.Thread) -> None:
    began = time.perf_counter()
    neighbours = find_neighbours(
        vectors, settings["neighbours"], seed=settings["seed"], report=channel.progress("neighbours")
    )
    found = time.perf_counter()
    report = channel.progress("layout")
    if len(vectors) < FEWEST:
        xy = by_hand(len(vectors))
    else:
        compiling.join()
        xy = project(vectors, neighbours, min_dist=settings["min_dist"], seed=settings["seed"], report=report)
    units = to_units(xy)
    timings = {"neighbours": found - began, "layout": time.perf_counter() - found, "exact_neighbours": neighbours.exact}
    del neighbours
    channel.send({"layout": timings}, units.tobytes())
    _further(channel, "tree", "clusters", lambda _report: _cluster(units))
    _further(channel, "trust", "measuring", lambda report: _measure(vectors, xy, settings["seed"], report))
    channel.send({"end": True})


def _further(
    channel: Channel, name: str, phase: str, work: Callable[[Callable[[int, int], None]], tuple[Any, bytes]]
) -> None:
    """A result without which the map is worth looking at all the same."""
    began = time.perf_counter()
    try:
        result, data = work(channel.progress(phase))
    except Exception as error:
        log.exception("No %s.", name)
        channel.send({"wrong": name, "trace": "".join(traceback.format_exception(error))})
    else:
        channel.send({name: result, "seconds": time.perf_counter() - began}, data)


def _cluster(units: NDArray[np.int32]) -> tuple[Any, bytes]:
    from rag.mapping.clustering import cluster_points

    return True, pickle.dumps(cluster_points(units))


def _measure(vectors: Vectors, xy: Vectors, seed: int, report: Callable[[int, int], None]) -> tuple[Any, bytes]:
    trust = measure_trust(vectors, xy, seed=seed, report=report)
    return None if trust is None else asdict(trust), b""


def by_hand(points: int) -> Vectors:
    """[n, 2]: at the corners of a regular figure."""
    angles = np.arange(points) * 2 * np.pi / max(points, 1)
    return np.asarray(
        np.stack([np.cos(angles), np.sin(angles)], 1) if points > 1 else np.zeros((points, 2)), np.float32
    )


def to_units(xy: NDArray[np.floating]) -> NDArray[np.int32]:
    """Map units: equal on both axes, the larger extent fills the square, the smaller is in the middle."""
    low, high = xy.min(0), xy.max(0)
    extent = float((high - low).max())
    scale = EXTENT / extent if extent > 0 else 0
    units = np.rint((xy - (low + high) / 2) * scale + EXTENT / 2)
    return np.asarray(np.clip(units, 0, EXTENT), np.int32)


if __name__ == "__main__":
    main()
