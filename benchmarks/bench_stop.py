"""How soon a stop closes the connection to the provider: from the person's call to the end of the socket there."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from rag.chat.chats import stop_answer
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import open_embedded
from rag.store.postgres import EmbeddedPostgres
from tests.conftest import temporary_home
from tests.integration.library import PUMP, Library, settings_for
from tests.standin_openai import Behaviour, Exchange, StandInOpenAI

ROUNDS = 15
TARGET_S = 0.5
_LIMIT_S = 20.0


class Patient:
    """Begins with ``pieces``, goes on with one every 50 ms if it ``writes``, and notes when the client hangs up."""

    def __init__(self, pieces: int, *, writes: bool = False) -> None:
        self.pieces = pieces
        self.writes = writes
        self.asked = threading.Event()
        self.over = threading.Event()
        self.hung_up_at: float | None = None

    def answer(self, exchange: Exchange) -> None:
        if self.pieces:
            exchange.start_stream()
        for number in range(self.pieces):
            exchange.send_piece(f"word {number} ")
        self.asked.set()
        until = time.monotonic() + _LIMIT_S
        while self.hung_up_at is None and time.monotonic() < until:
            self.hung_up_at = exchange.wait_for_hang_up(0.05 if self.writes else _LIMIT_S)
            if self.hung_up_at is None and self.writes:
                exchange.send_piece("more ")
        self.over.set()


def run(report: Callable[[dict[str, Any]], None], rounds: int = ROUNDS) -> None:
    """One row a state of the model, with the longest of ``rounds`` against the target and the median in the name."""
    states: dict[str, Callable[[], Patient]] = {
        "silent before its first word": lambda: Patient(0),
        "silent after some words": lambda: Patient(3),
        "writing": lambda: Patient(3, writes=True),
    }
    with (
        temporary_home() as folder,
        EmbeddedPostgres(folder, durable=False) as server,
        open_embedded(server) as database,
    ):
        library = Library(database, LOCAL_USER, {"pump.txt": PUMP})
        for state, make in states.items():
            took = [_stop_one(library, make()) for _ in range(rounds)]
            report(
                {
                    "name": f"longest of {rounds} from a stop to the closed line of a model that is {state}"
                    f" (median {statistics.median(took) * 1000:.0f} ms)",
                    "value": round(max(took), 3),
                    "unit": "s",
                    "target": f"<= {TARGET_S}",
                }
            )


def _stop_one(library: Library, behaviour: Patient) -> float:
    script: list[Behaviour] = [behaviour]
    with StandInOpenAI(chat=script) as provider:
        message = library.ask()
        worker = threading.Thread(target=library.answer, args=(message, settings_for(provider.base_url)))
        worker.start()
        if not behaviour.asked.wait(_LIMIT_S):
            raise TimeoutError("The model was never asked.")
        time.sleep(random.uniform(0.2, 0.6))  # wherever it is between two looks for a stop
        asked_at = _stop(library, message)
        behaviour.over.wait(_LIMIT_S)
        worker.join(_LIMIT_S)
    return _LIMIT_S if behaviour.hung_up_at is None else behaviour.hung_up_at - asked_at


def _stop(library: Library, message: UUID) -> float:
    with library.database.as_user(library.user) as conn:
        asked_at = time.monotonic()
        stop_answer(conn, message)
    return asked_at
