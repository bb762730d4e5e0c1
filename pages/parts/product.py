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
from rag.chat.live_updates import hint_source
from rag.chunks.tokens import ModelTokens
from rag.corpus.originals import open_store
from rag.errors import CorpuscopeError, ModelNotReady
from rag.settings import Settings, load_settings
from rag.store.database import Database, open_database
from rag.vectors.embedders import Embedder, load_question_encoder, load_question_tokens, prepare_model
from rag.vectors.models import ModelRow, is_named, settings_for

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
        #: The bucket with originals; None where the settings have no key to one.
        self.originals = open_store(settings)
        self._others: dict[tuple[str, str], Embedder] = {}
        self._other_problems: dict[tuple[str, str], CorpuscopeError] = {}
        self._loading: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def start(self) -> Product:
        """Begin to open everything; returns at once."""
        threading.Thread(target=self._open_database, name="open-database", daemon=True).start()
        threading.Thread(target=self._load_encoder, name="load-encoder", daemon=True).start()
        return self

    def encoder_for(self, model: ModelRow) -> Embedder | None:
        """What embeds questions to an index of ``model``; None until it is loaded, which this begins.

        ``encoder`` is that of the model that the settings name; any other stays once it was asked for.
        """
        if self._is_default(model):
            return self.encoder
        key = model.provider, model.name
        with self._lock:
            if key in self._others:
                return self._others[key]
            if key not in self._loading:
                self._loading.add(key)
                threading.Thread(target=self._load_other, args=(model,), name="load-encoder", daemon=True).start()
        return None

    def encoder_problem_for(self, model: ModelRow) -> CorpuscopeError | None:
        """Why :meth:`encoder_for` has nothing yet; None while nothing went wrong."""
        if self._is_default(model):
            return self.encoder_problem
        return self._other_problems.get((model.provider, model.name))

    def tokens_for(self, model: ModelRow) -> ModelTokens:
        """What chunking under ``model`` counts with; :class:`ModelError` where its files are not at hand."""
        return load_question_tokens(settings_for(self.settings, model))

    def _is_default(self, model: ModelRow) -> bool:
        encoder = self.encoder
        if encoder is not None:
            return (encoder.info.provider, encoder.info.name) == (model.provider, model.name)
        return is_named(self.settings, model)

    def _load_other(self, model: ModelRow) -> None:
        """One try; a page that asks after it failed begins another."""
        key = model.provider, model.name
        try:
            self._others[key] = _load_encoder(settings_for(self.settings, model))
            self._other_problems.pop(key, None)
        except CorpuscopeError as problem:
            self._other_problems[key] = problem
            time.sleep(RETRY_S)
        finally:
            with self._lock:
                self._loading.discard(key)

    def _open_database(self) -> None:
        database = _keep_trying(lambda: open_database(self.settings), self._note_database_problem)
        self.feed = Feed(database, hint_source(self.settings, database))
        self.feed.position()  # listens from now on
        _keep_trying(lambda: _end_foreign_sessions(database, self.settings), self._note_database_problem)
        self.database = database
        self.database_problem = None

    def _load_encoder(self) -> None:
        self.encoder = _keep_trying(lambda: _load_encoder(self.settings), self._note_encoder_problem)
        self.encoder_problem = None

    def _note_database_problem(self, problem: CorpuscopeError) -> None:
        self.database_problem = problem

    def _note_encoder_problem(self, problem: CorpuscopeError) -> None:
        self.encoder_problem = problem


def _load_encoder(settings: Settings) -> Embedder:
    try:
        return load_question_encoder(settings)
    except ModelNotReady:
        if settings.corpuscope_workers:
            raise  # a worker of this host prepares the model
        prepare_model(settings)
        return load_question_encoder(settings)


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
