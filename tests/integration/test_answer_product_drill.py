"""The whole product with `kill -9` of its app, its worker and its Postgres in turn, while it writes answers."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from pydantic import SecretStr

from rag.chat.chat_records import Message
from rag.chat.chats import ask, create_chat, read_answer
from rag.commands.children import settings_environment
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.errors import DatabaseError
from rag.records import LOCAL_USER
from rag.settings import Settings
from rag.store.database import Database, open_database
from tests.folders import temporary_folder
from tests.integration.library import LAKE, PUMP, QUESTION, wait_until
from tests.standin_openai import Say, StandInOpenAI, Vectors

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]

PIECES = ["The warranty is 27 months [1]. ", *(f"Word {n} of it. " for n in range(200))]
WHOLE = "".join(PIECES)
LIMIT_S = 120.0


@contextmanager
def product(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`corpuscope` as a person starts it; stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rag.cli"],
        cwd=ROOT,
        env={**os.environ, **settings_environment(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def command_line(process: psutil.Process) -> str:
    """Nothing of one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def kill_child(process: subprocess.Popen[bytes], part: str) -> None:
    """kill -9 of the child whose command line has ``part``, and of what that started."""
    (child,) = [one for one in psutil.Process(process.pid).children() if part in command_line(one)]
    for one in [*child.children(recursive=True), child]:
        one.kill()


def serves(settings: Settings) -> bool:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{settings.corpuscope_port}/_stcore/health", timeout=1
        ) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class Viewer:
    """Looks into the database beside the product, and waits while that is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, message: UUID) -> Message | None:
        try:
            with self.database.as_user(LOCAL_USER) as conn:
                return read_answer(conn, message)
        except DatabaseError:
            return None

    def length(self, message: UUID) -> int:
        """Characters of the current attempt."""
        try:
            with self.database.as_user(LOCAL_USER) as conn:
                row = conn.execute(
                    "select coalesce(sum(length(d.text)), 0) from public.messages m left join public.message_deltas d"
                    " on (d.message_id, d.attempt) = (m.id, m.attempt) where m.id = %s",
                    [message],
                ).fetchone()
        except DatabaseError:
            return 0
        return int(row[0]) if row else 0

    def writes(self, *messages: UUID) -> bool:
        """Whether all of these are being written, and have begun to grow."""
        return all(
            (one := self.read(message)) and one.phase == "generating" and self.length(message) for message in messages
        )

    def finished(self, *messages: UUID) -> bool:
        return all((one := self.read(message)) is not None and one.finished for message in messages)


def fill(database: Database) -> UUID:
    with database.as_user(LOCAL_USER) as conn:
        collection = create_collection(conn, "Pumps")
        for name, text in (("pump.txt", PUMP), ("lake.txt", LAKE)):
            data = text.encode()
            store_document(conn, collection, name, io.BytesIO(data), max_bytes=len(data))
    return collection


def has_model(database: Database) -> bool:
    """The worker registers it, a moment before or after the app serves its first page."""
    with database.as_worker() as conn:
        row = conn.execute("select count(*) from public.embedding_models").fetchone()
    return row is not None and row[0] > 0


def all_ready(database: Database) -> bool:
    with database.as_worker() as conn:
        row = conn.execute("select count(*), count(*) filter (where stage = 'ready') from public.documents").fetchone()
    return row == (2, 2)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that no other session of tests closes to the database's user."""
    with temporary_folder("drill") as folder:
        yield folder


def test_answers_outlive_the_app_the_worker_and_postgres_killed_in_turn(home: Path) -> None:
    """Three conversations, one with a question that waits for the answer before it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with StandInOpenAI(default_chat=Say(PIECES, delay_s=0.05), default_embeddings=Vectors(8)) as provider:
        settings = Settings(
            _env_file=None,
            corpuscope_home=home,
            corpuscope_port=port,
            openai_base_url=provider.base_url,
            openai_api_key=SecretStr("k"),
            chat_model="stand-in",
            embedding_provider="openai",
            embedding_model="stand-in",
            embedding_dimensions=8,
        )
        with product(settings) as running:
            wait_until(lambda: serves(settings), LIMIT_S)
            with open_database(settings) as database:
                wait_until(lambda: has_model(database), LIMIT_S)
                collection = fill(database)
                wait_until(lambda: all_ready(database), LIMIT_S)
                viewer = Viewer(database)
                with database.as_user(LOCAL_USER) as conn:
                    chats = [create_chat(conn, collection) for _ in range(2)]
                    first, second = (ask(conn, chat, QUESTION, {"mode": "lexical"}) for chat in chats)
                    waiting = ask(conn, chats[0], "What does the Falcon pump weigh?", {"mode": "lexical"})

                wait_until(lambda: viewer.writes(first, second), LIMIT_S)
                kill_child(running, "streamlit")
                length = viewer.length(first)
                wait_until(lambda: viewer.length(first) > length, LIMIT_S)

                kill_child(running, "rag.cli worker")
                wait_until(lambda: all((one := viewer.read(m)) and one.attempt == 2 for m in (first, second)), LIMIT_S)
                wait_until(lambda: viewer.writes(first, second), LIMIT_S)
                os.kill(int((home / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
                wait_until(lambda: viewer.finished(first, second, waiting), LIMIT_S)
                wait_until(lambda: serves(settings), LIMIT_S)
                answers = [viewer.read(message) for message in (first, second, waiting)]
    for answer in answers:
        assert answer is not None
        assert (answer.phase, answer.error) == ("complete", None)
        assert answer.content.strip() == WHOLE.strip()
    for answer in answers[:2]:
        assert answer is not None
        assert answer.phases[0].phase == "restarted"
        assert "started again" in answer.phases[0].detail
