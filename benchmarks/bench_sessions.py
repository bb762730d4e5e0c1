"""Fifty people on the Documents page while documents are read: how long one tick of the live table takes.

Speaks Streamlit's own protocol over websockets, as fifty browsers would: each session opens /documents, is told which
fragment to run, and asks for it as often as hints come while documents are read. A tick lasts from that request to
"script finished".
The product is started by its own command, so the workers take their share of the same cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from rag.web.live import DOCUMENTS_S

SESSIONS = 50
SECONDS = 30
#: Seconds of the page's own timer while documents are read, by which a session knows that they are.
BUSY_S = 4.0
#: Ticks of each session that still compete with fifty first loads of the page.
WARM_UP = 3
FILES = 200
TARGET_MS = 100
ROOT = Path(__file__).resolve().parents[1]
_START_S = 90.0


def run() -> list[dict[str, Any]]:
    """p50 and p95 of a tick in ms, how many ticks of those due were made in time, and what the processors did."""
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-", ignore_cleanup_errors=True) as folder,
        running_product(Path(folder) / "home") as address,
    ):
        home = Path(folder) / "home"
        wait_until_open(address)
        corpus = Path(folder) / "corpus"
        write_corpus(corpus)
        collection = ingest(home, address, corpus)
        load = Load(home, address)
        sessions = asyncio.run(watch(address, collection, load.begin))
        load.end()
    ticks = sorted(tick for session in sessions for tick in session.ticks[WARM_UP:])
    if not ticks:
        raise RuntimeError("no session was told to tick: the ingest was over before the measurement began")
    made = sum(len(session.ticks) for session in sessions)
    p50, p95 = (ticks[int(share * (len(ticks) - 1))] * 1000 for share in (0.5, 0.95))
    name = f"{SESSIONS} sessions on Documents during an ingest, a tick"
    return [
        {"name": f"{name}, p50", "value": round(p50, 1), "unit": "ms"},
        {
            "name": f"{name}, p95",
            "value": round(p95, 1),
            "unit": "ms",
            "target": f"< {TARGET_MS}",
            "ok": p95 < TARGET_MS,
        },
        {"name": "ticks measured", "value": len(ticks), "unit": "ticks"},
        {"name": "a tick, processor time of the app", "value": round(load.app_s / made * 1000, 1), "unit": "ms"},
        {"name": "processors at work for the product", "value": round(load.product_s / load.wall_s, 2), "unit": ""},
        {"name": "processors at work for others meanwhile", "value": round(load.other_s / load.wall_s, 2), "unit": ""},
    ]


class Load:
    """Seconds of processor time between :meth:`begin` and :meth:`end`: the app's, the product's, and others'.

    The product is the app, the workers and the database; others are all but it and this process. A p95 says
    something of the product where others took little.
    """

    def __init__(self, home: Path, address: str) -> None:
        self._home = str(home)
        self._port = address.rpartition(":")[2]
        self.wall_s = self.app_s = self.product_s = self.other_s = 0.0

    def begin(self) -> None:
        self._add(-1)

    def end(self) -> None:
        self._add(1)

    def _add(self, sign: int) -> None:
        everything = psutil.cpu_times()
        app, product = self._measure()
        self.wall_s += sign * time.monotonic()
        self.app_s += sign * app
        self.product_s += sign * product
        busy = sum(everything) - everything.idle - everything.iowait - everything.guest - everything.guest_nice
        self.other_s += sign * (busy - product - time.process_time())

    def _measure(self) -> tuple[float, float]:
        app = product = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                times, command = process.cpu_times(), process.cmdline()
                product += times.user + times.system + times.children_user + times.children_system
                if self._port in command and "streamlit" in command:
                    app += times.user + times.system
        return app, product

    def _processes(self) -> set[psutil.Process]:
        """What runs in the product's home, and the children of these: the database's are known by nothing else."""
        found: set[psutil.Process] = set()
        for process in psutil.process_iter(["cmdline", "environ"]):
            home = (process.info["environ"] or {}).get("CORPUSCOPE_HOME")
            if process.pid != os.getpid() and (
                home == self._home or self._home in " ".join(process.info["cmdline"] or ())
            ):
                with contextlib.suppress(psutil.Error):
                    found |= {process, *process.children(recursive=True)}
        return found


@contextlib.contextmanager
def running_product(home: Path) -> Iterator[str]:
    """`corpuscope` in a home of its own on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"CORPUSCOPE_HOME": str(home), "CORPUSCOPE_PORT": str(port), "LOG_LEVEL": "WARNING"}
    process = subprocess.Popen(
        [sys.executable, "-m", "rag.cli"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_open(address: str) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the app did not answer at {address} within {_START_S:.0f} s")


def write_corpus(folder: Path) -> None:
    """Texts of about 40 KB, each unlike the others, so that none is embedded for free: minutes of work."""
    folder.mkdir()
    rng = random.Random(7)
    words = ["amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "juniper", "knoll"]
    for number in range(FILES):
        text = "\n\n".join(" ".join(rng.choices(words, k=60)) + f" {number}.{part}." for part in range(100))
        (folder / f"text-{number:05}.txt").write_text(text)


def ingest(home: Path, address: str, corpus: Path) -> UUID:
    """Store the corpus, which the workers then read and embed; the collection's id."""
    from rag.corpus.collections import find_collection
    from rag.records import LOCAL_USER
    from rag.settings import load_settings
    from rag.store.database import open_database

    environment = {"CORPUSCOPE_HOME": str(home), "CORPUSCOPE_PORT": address.rpartition(":")[2]}
    command = [sys.executable, "-m", "rag.cli", "ingest", str(corpus), "--collection", "Load", "--json"]
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL, timeout=300)
    settings = load_settings(None).model_copy(update={"corpuscope_home": home})
    with open_database(settings) as database, database.as_user(LOCAL_USER) as conn:
        return find_collection(conn, "Load").id


@dataclass
class Session:
    """One browser's side of a session."""

    query: str
    fragment: str = ""
    interval: float = 0.0
    page: str = ""
    ticks: list[float] = field(default_factory=list)

    async def open(self, socket: Any) -> None:
        """The first run of the page; tells which fragment to run again."""
        message = BackMsg()
        message.rerun_script.page_name = "documents"
        message.rerun_script.query_string = self.query
        await socket.send(message.SerializeToString())
        await self._until_finished(socket)

    async def tick(self, socket: Any) -> float:
        """Run the fragment once, as the browser's timer does; how long that took."""
        message = BackMsg()
        message.rerun_script.page_script_hash = self.page
        message.rerun_script.query_string = self.query
        message.rerun_script.fragment_id = self.fragment
        message.rerun_script.is_auto_rerun = True
        began = time.perf_counter()
        await socket.send(message.SerializeToString())
        await self._until_finished(socket)
        return time.perf_counter() - began

    async def _until_finished(self, socket: Any) -> None:
        async for data in socket:
            message = ForwardMsg()
            message.ParseFromString(data)
            kind = message.WhichOneof("type")
            if kind == "auto_rerun":
                self.fragment, self.interval = message.auto_rerun.fragment_id, message.auto_rerun.interval
            elif kind == "new_session":
                self.page = message.new_session.page_script_hash
            elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return


async def watch(address: str, collection: UUID, begin: Callable[[], None]) -> list[Session]:
    """All sessions at once; each is connected before the first one is timed, and ``begin`` is called in between."""
    sessions = [Session(f"collection={collection}") for _ in range(SESSIONS)]
    ready = asyncio.Barrier(SESSIONS + 1)
    live = [asyncio.create_task(_live(address, session, n, ready)) for n, session in enumerate(sessions)]
    await ready.wait()
    begin()
    await asyncio.gather(*live)
    return sessions


async def _live(address: str, session: Session, number: int, ready: asyncio.Barrier) -> None:
    url = f"ws://{address}/_stcore/stream"
    async with websockets.connect(url, subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
        deadline = time.monotonic() + _START_S
        while session.interval != BUSY_S and time.monotonic() < deadline:
            await session.open(socket)  # once more while the database still starts
            await asyncio.sleep(0.5)
        await ready.wait()
        await asyncio.sleep(DOCUMENTS_S * number / SESSIONS)
        begun = time.monotonic()
        while time.monotonic() < begun + SECONDS:
            session.ticks.append(await session.tick(socket))
            # Each has a moment of its own: what was late once must not fall in with the others for good.
            due = begun + DOCUMENTS_S * math.ceil((time.monotonic() - begun) / DOCUMENTS_S)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    for row in run():
        print(row)
