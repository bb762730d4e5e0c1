"""What one app process shares between its sessions. Nothing in here belongs to a person."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import streamlit as st

from rag.chat.feeds import Feed
from rag.errors import CorpuscopeError, ModelNotReady
from rag.settings import Settings, load_settings
from rag.store.database import Database, open_database
from rag.vectors.embedders import Embedder, load_question_encoder

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds between two tries to reach a database or a model that isn't there yet.
RETRY_S = 1.0


class Product:
    """The settings, and the database, the feed and the question encoder as soon as they are there.

    Pages paint at once: opening happens in threads of its own, and each of the three is None until it succeeded.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: Database | None = None
        self.feed: Feed | None = None
        self.encoder: Embedder | None = None
        self.database_problem: CorpuscopeError | None = None
        self.encoder_problem: CorpuscopeError | None = None

    def start(self) -> Product:
        """Begin to open everything; returns at once."""
        threading.Thread(target=self._open_database, name="open-database", daemon=True).start()
        threading.Thread(target=self._load_encoder, name="load-encoder", daemon=True).start()
        return self

    def _open_database(self) -> None:
        database = _keep_trying(lambda: open_database(self.settings), self._note_database_problem)
        self.feed = Feed(database)
        _keep_trying(lambda: _end_foreign_sessions(database, self.settings), self._note_database_problem)
        self.database = database
        self.database_problem = None

    def _load_encoder(self) -> None:
        self.encoder = _keep_trying(lambda: load_question_encoder(self.settings), self._note_encoder_problem)
        self.encoder_problem = None

    def _note_database_problem(self, problem: CorpuscopeError) -> None:
        self.database_problem = problem

    def _note_encoder_problem(self, problem: CorpuscopeError) -> None:
        self.encoder_problem = problem


def _end_foreign_sessions(database: Database, settings: Settings) -> None:
    if settings.auth != "none":
        from rag.auth.sessions import end_foreign

        with database.as_accounts() as conn:
            end_foreign(conn, settings.auth)


def _keep_trying(make: Callable[[], T], note: Callable[[CorpuscopeError], None]) -> T:
    said = ""
    while True:
        try:
            return make()
        except CorpuscopeError as problem:
            note(problem)
            if str(problem) != said:
                said = str(problem)
                log.log(logging.INFO if isinstance(problem, ModelNotReady) else logging.WARNING, "%s", problem)
            time.sleep(RETRY_S)


_given: Product | None = None


def provide(made: Product | None) -> None:
    """Make pages use ``made`` instead of opening things by themselves; None undoes that. For tests."""
    global _given
    _given = made


def product() -> Product:
    """The one of this process; started by whoever comes first."""
    return _given or _shared()


def settings() -> Settings:
    """The settings of this process, without starting anything."""
    return _given.settings if _given is not None else _read_settings()


@cache
def _read_settings() -> Settings:
    return load_settings()


@st.cache_resource(show_spinner=False)
def _shared() -> Product:
    return Product(_read_settings()).start()
