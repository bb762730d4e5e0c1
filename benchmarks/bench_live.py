"""Conversations live: how late a viewer sees what was written, and what idle and streaming viewers cost.

The product runs as its own command does, with a stand-in model that streams numbered words at a fixed pace. A delay
is that between the row of a delta in the database and the message with its last word on the viewer's socket.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from benchmarks.bench_sessions import Load, running_product, wait_until_open
from benchmarks.live_viewers import WORD, Viewer, watching
from rag.chat.chats import ask, create_chat
from rag.corpus.collections import find_collection
from rag.corpus.progress import read_progress
from rag.records import LOCAL_USER
from rag.settings import load_settings
from rag.store.database import Database, connect, open_database
from tests.standin_openai import Exchange, StandInOpenAI

PIECES = 200
#: Seconds between two pieces of the model's.
PACE_S = 0.05
IDLE_VIEWERS, IDLE_S = 50, 20
WATCHERS = 50
CONVERSATIONS, VIEWERS_EACH = 20, 2
_LIMIT_S = 60.0
_START_S = 170.0
QUESTION = "How does the red pump fill the lake?"

Row = dict[str, Any]


class Pace:
    """Streams numbered words; notes when the first was sent of each, by the wall clock."""

    def __init__(self) -> None:
        self.began: list[float] = []

    def answer(self, exchange: Exchange) -> None:
        exchange.start_stream()
        for number in range(PIECES):
            exchange.pause(PACE_S)
            if not number:
                self.began.append(time.time())
            exchange.send_piece(f"w{number} ")
        exchange.send_piece(None, "stop")
        exchange.end_stream()


def run() -> list[Row]:
    """The rows of all four situations."""
    pace = Pace()
    with StandInOpenAI() as server, tempfile.TemporaryDirectory(prefix="corpuscope-", ignore_cleanup_errors=True) as at:
        server.default_chat = pace
        home = Path(at) / "home"
        with with_model(server.base_url), running_product(home) as address:
            wait_until_open(address)
            with corpus(home) as (database, collection):
                stage = Stage(address, home, database, collection, pace)
                return [
                    *asyncio.run(stage.idle()),
                    *asyncio.run(stage.second()),
                    *asyncio.run(stage.many()),
                    *asyncio.run(stage.crowd()),
                ]


@contextmanager
def with_model(base_url: str) -> Iterator[None]:
    """The product that is started within asks this model."""
    ours = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none", "CHAT_MODEL": "stand-in"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def corpus(home: Path) -> Iterator[tuple[Database, UUID]]:
    """A small collection that is ready, and the product's database."""
    folder = home.parent / "corpus"
    folder.mkdir()
    for number in range(8):
        lines = [f"The red pump {number}.{line} fills the lake by night; the blue one drains it." for line in range(40)]
        (folder / f"pump-{number}.txt").write_text("\n".join(lines))
    command = [sys.executable, "-m", "rag.cli", "ingest", str(folder), "--collection", "Live", "--json"]
    environment = os.environ | {"CORPUSCOPE_HOME": str(home)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=_START_S)
    settings = load_settings(None).model_copy(update={"corpuscope_home": home})
    with open_database(settings) as database:
        with database.as_user(LOCAL_USER) as conn:
            collection = find_collection(conn, "Live").id
        deadline = time.monotonic() + _START_S
        while _unfinished(database, collection):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the collection was not ready within {_START_S:.0f} s")
            time.sleep(0.5)
        yield database, collection


def _unfinished(database: Database, collection: UUID) -> int:
    with database.as_user(LOCAL_USER) as conn:
        return read_progress(conn, collection).unfinished


class Stage:
    """The running product, and the acts of the people at it."""

    def __init__(self, address: str, home: Path, database: Database, collection: UUID, pace: Pace) -> None:
        self.address, self.home, self.database, self.collection, self.pace = address, home, database, collection, pace

    async def idle(self) -> list[Row]:
        """Fifty who look at one conversation in which nothing happens, above what the product costs without them."""
        chat = self._begin(1)[0]
        await asyncio.sleep(3)
        before = await self._load(IDLE_S / 2)
        async with self._viewers([chat] * IDLE_VIEWERS) as viewers:
            await asyncio.sleep(8)  # fifty arrivals, each a hint to the others, have passed
            known = sum(viewer.hints for viewer in viewers)
            during = await self._load(IDLE_S)
            listening = self._listening()
            woken = sum(viewer.hints for viewer in viewers) - known
        share = 100 * (during.product_s / during.wall_s - before.product_s / before.wall_s)
        name = f"{IDLE_VIEWERS} idle viewers of a conversation"
        return [
            {"name": f"{name}, of one core", "value": round(share, 1), "unit": "%", "target": "<= 5"},
            {"name": f"{name}, connections that listen", "value": listening, "unit": "", "target": "<= 1"},
            {"name": f"{name}, hints meanwhile", "value": woken, "unit": ""},
        ]

    async def second(self) -> list[Row]:
        """Two viewers of one answer: the first token over the model's own, and the delay of the second viewer."""
        [chat] = self._begin(1)
        async with self._viewers([chat] * 2) as viewers:
            self.pace.began.clear()
            [answer] = self._ask([chat])
            await self._until_all_seen(viewers)
        delays = sorted(self._delays(answer, viewers[1]))
        first = [viewer.seen[0] - self.pace.began[0] for viewer in viewers]
        return [
            _delay("a delta on the second viewer's socket, p50", median(delays), 150),
            _delay("a delta on the second viewer's socket, p95", delays[int(0.95 * (len(delays) - 1))], 400),
            _delay("the first token after the model's own", max(first), 150),
        ]

    async def many(self) -> list[Row]:
        """Twenty answers at once, two viewers each."""
        chats = self._begin(CONVERSATIONS)
        async with self._viewers(chats * VIEWERS_EACH) as viewers:
            answers = dict(zip(chats, self._ask(chats), strict=True))
            await self._until_all_seen(viewers)
        delays = sorted(delay for viewer in viewers for delay in self._delays(answers[viewer.chat], viewer))
        name = f"{CONVERSATIONS} answers at once, {VIEWERS_EACH} viewers each, a delta"
        return [
            _delay(f"{name}, p50", median(delays), 500),
            {"name": f"{name}, p95", "value": round(delays[int(0.95 * (len(delays) - 1))] * 1000, 1), "unit": "ms"},
        ]

    async def crowd(self) -> list[Row]:
        """Fifty who watch an answer being written: what the app takes of a core meanwhile."""
        [chat] = self._begin(1)
        async with self._viewers([chat] * WATCHERS) as viewers:
            [answer] = self._ask([chat])
            while not all(viewer.seen for viewer in viewers):
                await asyncio.sleep(0.1)
            load = await self._load(PIECES * PACE_S * 0.6)
            await self._until_all_seen(viewers)
        delays = sorted(delay for viewer in viewers for delay in self._delays(answer, viewer))
        name = f"{WATCHERS} watchers of an answer that is written"
        others = 100 * (load.product_s - load.app_s) / load.wall_s
        return [
            {
                "name": f"{name}, of one core",
                "value": round(100 * load.app_s / load.wall_s, 1),
                "unit": "%",
                "target": "<= 35",
            },
            {"name": f"{name}, the worker and the database", "value": round(others, 1), "unit": "%"},
            {"name": f"{name}, a delta, p50", "value": round(median(delays) * 1000, 1), "unit": "ms"},
        ]

    def _viewers(self, chats: list[UUID]) -> Any:
        return watching(self.address, self.collection, chats)

    def _begin(self, count: int) -> list[UUID]:
        with self.database.as_user(LOCAL_USER) as conn:
            return [create_chat(conn, self.collection, f"Conversation {number}") for number in range(count)]

    def _ask(self, chats: list[UUID]) -> list[UUID]:
        answers = []
        for chat in chats:
            with self.database.as_user(LOCAL_USER) as conn:
                answers.append(ask(conn, chat, QUESTION))
        return answers

    async def _load(self, seconds: float) -> Load:
        load = Load(self.home, self.address)
        load.begin()
        await asyncio.sleep(seconds)
        load.end()
        return load

    async def _until_all_seen(self, viewers: list[Viewer]) -> None:
        deadline = time.monotonic() + _LIMIT_S
        while not all(PIECES - 1 in viewer.seen for viewer in viewers):
            if time.monotonic() > deadline:
                missing = sum(PIECES - 1 not in viewer.seen for viewer in viewers)
                raise RuntimeError(f"{missing} of {len(viewers)} viewers had not seen the end after {_LIMIT_S:.0f} s")
            await asyncio.sleep(0.1)

    def _delays(self, answer: UUID, viewer: Viewer) -> list[float]:
        """Seconds from each row to the viewer's sight of its last whole word."""
        with self.database.as_user(LOCAL_USER) as conn:
            rows = conn.execute(
                "select text, extract(epoch from created_at)::float8 from public.message_deltas where message_id = %s",
                [answer],
            ).fetchall()
        last = [(int(words[-1]), at) for text, at in rows if (words := WORD.findall(text))]
        return [viewer.seen[word] - at for word, at in last if word in viewer.seen]

    def _listening(self) -> int:
        """Connections of the app's that listen for hints."""
        with connect(self.database.owner_dsn) as conn:
            row = conn.execute(
                "select count(*) from pg_stat_activity where datname = current_database() and query like"
                " 'listen %corpuscope_feed%'"
            ).fetchone()
        assert row is not None
        return int(row[0])


def _delay(name: str, seconds: float, limit_ms: int) -> Row:
    return {"name": name, "value": round(seconds * 1000, 1), "unit": "ms", "target": f"<= {limit_ms}"}


if __name__ == "__main__":
    for row in run():
        print(row)
