"""Maps against plain umap-learn on the same vectors: until the first picture, cold and warm, and how far to trust them.

Cold: a worker that has never made a map, in an empty home, from the request until the points can be read. Against it
``umap.UMAP(metric="cosine").fit`` in a fresh process, its import included; warm is the second time in the same process.
Then a large map, and the most memory of worker and map process together (without an embedding model).

``python -m benchmarks.bench_map 250000`` makes only a large map, of so many chunks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.search_corpus import DIMENSIONS, store_collection
from rag.mapping.mapmaker import MapMaker
from rag.mapping.maps import CorpusMap, read_map, request_map
from rag.mapping.neighbours import find_neighbours, unit
from rag.mapping.trustworthiness import measure_trust
from rag.settings import load_settings
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database, connect, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.vectors.modelpool import ModelPool
from rag.work.heartbeat import Heartbeat
from rag.work.leases import LeaseKeeper
from rag.work.mapping import map_loop
from rag.work.wakeup import WakeUp
from rag.work.workplace import Workplace

CHUNKS, LARGE = 5_000, 100_000
MOST_MEMORY_GB = 3.0
_TOPICS, _SUBTOPICS, _INNER = 40, 25, 12
_POLL_S = 0.02

Row = dict[str, Any]

_PLAIN = """
import json, sys, time, warnings
import numpy
vectors = numpy.load(sys.argv[1]).astype(numpy.float32)
warnings.simplefilter("ignore")
seconds = []
for _ in range(2):
    began = time.perf_counter()
    import umap
    found = umap.UMAP(metric="cosine").fit(vectors).embedding_
    seconds.append(time.perf_counter() - began)
numpy.save(sys.argv[2], found)
print(json.dumps(seconds))
"""


def run(report: Callable[[Row], None]) -> None:
    """All rows, each given to ``report`` as it is known."""
    with tempfile.TemporaryDirectory(prefix="corpuscope-bench-", ignore_cleanup_errors=True) as folder:
        small(Path(folder) / "small", report)
        large(Path(folder) / "large", LARGE, report)


def small(folder: Path, report: Callable[[Row], None]) -> None:
    """5,000 chunks: ours and umap-learn's own, in this order."""
    vectors = make_vectors(CHUNKS)
    with _stage(folder, vectors) as (database, collection), _Worker(database, folder) as worker:
        ours = [worker.make(collection) for _ in range(3)]
        xy, chunks = _read_points(database, ours[-1].made.id)
    with _stage(folder / "again", vectors) as (database, collection), _Worker(database, folder) as worker:
        restarted = worker.make(collection)
    plain, theirs = _plain(folder, vectors)
    warm = min(one.seconds for one in ours[1:])
    report(_row("first picture, cold, over plain umap-learn cold", ours[0].seconds, plain[0], "<= 0.35"))
    report(_row("… in a new worker after the first", restarted.seconds, plain[0], None))
    report(_row("… warm, over plain warm", warm, plain[1], "<= 1"))
    report({"name": "plain umap-learn, cold", "value": round(plain[0], 1), "unit": "s"})
    report({"name": "plain umap-learn, warm", "value": round(plain[1], 1), "unit": "s"})
    _report_trust(unit(vectors), xy, theirs, ours[-1].made, report)
    assert len(chunks) == CHUNKS


def large(folder: Path, chunks: int, report: Callable[[Row], None]) -> None:
    """One map of so many chunks, and the memory that it took."""
    vectors = make_vectors(chunks)
    recall = _recall(unit(vectors))
    with _stage(folder, vectors) as (database, collection), _Worker(database, folder) as worker:
        found = worker.make(collection, whole=True)
    name = f"a map of {chunks:,} chunks"
    report({"name": f"{name}, first picture", "value": round(found.seconds, 1), "unit": "s"})
    report({"name": f"{name}, finished", "value": round(found.whole, 1), "unit": "s"})
    target = f"<= {MOST_MEMORY_GB}" if chunks <= LARGE else None
    report({"name": f"{name}, most memory", "value": round(found.peak / 2**30, 2), "unit": "GB", "target": target})
    report({"name": f"{name}, trustworthiness@15", "value": round(found.made.trustworthiness or 0, 4)})
    report({"name": f"{name}, recall@15 of its neighbours", "value": round(recall, 4)})
    report({"name": f"{name}, seconds by phase", "phases": found.made.timings, "value": None})


def make_vectors(rows: int) -> NDArray[np.float16]:
    """Topics within themes; within a topic vectors vary along some directions of its own, and a little along all."""
    rng = np.random.default_rng(3)
    themes = rng.standard_normal((_TOPICS, DIMENSIONS)).repeat(_SUBTOPICS, 0)
    topics = themes + 0.8 * rng.standard_normal(themes.shape)
    inner = rng.standard_normal((len(topics), _INNER, DIMENSIONS)).astype(np.float32) * 0.35
    topic = rng.integers(0, len(topics), rows)
    found = np.empty((rows, DIMENSIONS), np.float16)
    for start in range(0, rows, 2000):
        some = topic[start : start + 2000]
        along = np.einsum("ri,rid->rd", rng.standard_normal((len(some), _INNER)).astype(np.float32), inner[some])
        found[start : start + 2000] = topics[some] + along + 0.25 * rng.standard_normal(along.shape)
    return found


class _Made:
    def __init__(self, made: CorpusMap, seconds: float, whole: float, peak: int) -> None:
        self.made, self.seconds, self.whole, self.peak = made, seconds, whole, peak


class _Worker:
    """A worker in a process of its own that does maps and nothing else."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database = database
        command = [sys.executable, "-m", "benchmarks.bench_map", "worker", database.app_dsn, database.owner_dsn]
        self.process = subprocess.Popen([*command, str(home / "home")], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()  # it waits for work

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.terminate()
        self.process.wait()

    def make(self, collection: UUID, *, whole: bool = False) -> _Made:
        """A map; ``seconds`` until its points are there, ``whole`` until it is done."""
        over, peak = threading.Event(), [0]
        watcher = threading.Thread(target=self._watch, args=(over, peak))
        watcher.start()
        began = time.perf_counter()
        with self.database.as_user(LOCAL_USER) as conn:
            number = request_map(conn, collection)
        drawn = 0.0
        while True:
            with self.database.as_user(LOCAL_USER) as conn:
                found = read_map(conn, number)
            if found.drawn and not drawn:
                drawn = time.perf_counter() - began
            if found.state not in ("queued", "running"):
                break
            time.sleep(_POLL_S if not whole else 0.5)
        over.set()
        watcher.join()
        assert found.state == "done", found
        return _Made(found, drawn, time.perf_counter() - began, peak[0])

    def _watch(self, over: threading.Event, peak: list[int]) -> None:
        me = psutil.Process(self.process.pid)
        while not over.wait(0.05):
            with suppress(psutil.NoSuchProcess):
                peak[0] = max(peak[0], sum(one.memory_info().rss for one in [me, *me.children(recursive=True)]))


def _work(app_dsn: str, owner_dsn: str, home: str) -> None:
    settings = load_settings(None).model_copy(update={"corpuscope_home": Path(home)})
    with Database(app_dsn, owner_dsn) as database, MapMaker(settings.corpuscope_home) as maker:
        keeper, wakeup = LeaseKeeper(database), WakeUp(("map",))
        workplace = Workplace(database, cast(ModelPool, None), keeper, Heartbeat(database), wakeup)
        threading.Thread(target=keeper.run, args=(workplace.stop,), daemon=True).start()
        threading.Thread(target=wakeup.listen, args=(database, workplace.stop), daemon=True).start()
        print("ready", flush=True)
        map_loop(workplace, settings, maker).run()


@contextmanager
def _stage(folder: Path, vectors: NDArray[np.float16]) -> Iterator[tuple[Database, UUID]]:
    folder.mkdir(parents=True, exist_ok=True)
    with EmbeddedPostgres(folder, durable=False) as server, open_embedded(server) as database:
        with connect(server.dsn("supabase_admin", "corpuscope")) as admin:
            corpus = store_collection(admin, database, "bench", "Map", vectors, words=False)
            admin.execute("vacuum analyze")
        yield database, corpus.collection


def _plain(folder: Path, vectors: NDArray[np.float16]) -> tuple[list[float], NDArray[np.float32]]:
    given, found = folder / "vectors.npy", folder / "plain.npy"
    np.save(given, unit(vectors))
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN, str(given), str(found)], stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1]), np.load(found)


def _read_points(database: Database, map_id: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """[n, 2] in the order of the chunks, which is that of the vectors; and the chunks."""
    with database.as_user(LOCAL_USER) as conn:
        rows = conn.execute(
            "select x, y, chunk_id from map_points where map_id = %s order by chunk_id", [map_id]
        ).fetchall()
    found = np.array(rows)
    return found[:, :2].astype(np.float32), found[:, 2]


def _report_trust(
    vectors: NDArray[np.float32],
    ours: NDArray[np.float32],
    theirs: NDArray[np.float32],
    made: CorpusMap,
    report: Callable[[Row], None],
) -> None:
    trust = [measure_trust(vectors, xy, rows=len(vectors)) for xy in (ours, theirs)]
    values = [one.value for one in trust if one is not None]
    report({"name": "trustworthiness@15 of ours, all points", "value": round(values[0], 4)})
    report({"name": "… as it is stored, 2,000 points", "value": round(made.trustworthiness or 0, 4)})
    report({"name": "… of plain umap-learn", "value": round(values[1], 4)})
    gain = values[0] - values[1]
    report({"name": "… gained", "value": round(gain, 4), "target": ">= -.005", "ok": gain >= -0.005})


def _recall(vectors: NDArray[np.float32], some: int = 500) -> float:
    """The share of the true neighbours that are found, of some vectors."""
    found = find_neighbours(vectors, 15).places
    rows = np.sort(np.random.default_rng(0).permutation(len(vectors))[:some])
    similarities = vectors[rows] @ vectors.T
    similarities[np.arange(len(rows)), rows] = np.inf
    true = np.argpartition(-similarities, 14, axis=1)[:, :15]
    return float(np.mean([len(set(a) & set(b)) / 15 for a, b in zip(found[rows], true, strict=True)]))


def _row(name: str, ours: float, theirs: float, target: str | None) -> Row:
    return {"name": name, "value": round(ours, 2), "unit": "s", "ratio": round(ours / theirs, 3), "target": target}


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        _work(*sys.argv[2:5])
    else:
        with tempfile.TemporaryDirectory(prefix="corpuscope-bench-", ignore_cleanup_errors=True) as temporary:
            large(Path(temporary), int(sys.argv[1]), lambda row: print(json.dumps(row), flush=True))
