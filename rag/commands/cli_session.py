"""What a command works with: the database as the operator, and a worker for as long as it must wait for one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

import psycopg

from rag.auth.people import find_operator
from rag.commands.children import Child, last_line, settings_environment, stop_all
from rag.commands.cli_output import Output
from rag.corpus.progress import Progress, describe, read_worker_status
from rag.errors import CorpuscopeError, ModelNotReady, NotAllowed
from rag.records import LOCAL_USER
from rag.settings import Settings
from rag.store.database import Database, open_database
from rag.vectors.embedders import Embedder, load_embedder, load_question_encoder
from rag.vectors.models import ModelRow, settings_for
from rag.vectors.registration import register_model

#: How often a waiting command looks, and how often it makes sure that somebody works.
LOOK_S = 0.25
_CHECK_S = 2.0
_STOP_LIMIT_S = 12.0
_FAILURES_LIMIT = 3


class WorkerError(CorpuscopeError):
    """The worker doesn't run."""

    hint = "Its log is in the folder logs of CORPUSCOPE_HOME."


@dataclass
class Session:
    """One command's run."""

    settings: Settings
    database: Database
    out: Output
    _worker: Child | None = None
    _checked: float = field(default=float("-inf"))

    @cached_property
    def operator(self) -> UUID:
        """Whom commands act as: the local user, or the first administrator where people are a Supabase project's.

        Raises :class:`NotAllowed` as long as there is none.
        """
        if self.settings.auth != "supabase":
            return LOCAL_USER
        with self.database.as_accounts() as conn:
            found = find_operator(conn)
        if found is None:
            raise NotAllowed(
                "Nobody administers this installation yet, so that commands have nobody to act as.",
                hint="Open the app and sign in first.",
            )
        return found

    def as_user(self, *, limit_s: float | None = None) -> AbstractContextManager[psycopg.Connection[Any]]:
        """A transaction of the operator's; ``limit_s`` as in :meth:`Database.as_user`."""
        if limit_s is None:
            return self.database.as_user(self.operator)
        return self.database.as_user(self.operator, limit_s=limit_s)

    def load_question_encoder(self, model: ModelRow | None = None) -> Embedder:
        """The embedder of questions to an index of ``model``, without it of the model that the settings name.

        The first time on a machine, the model is prepared here.
        """
        settings = self.settings if model is None else settings_for(self.settings, model)
        try:
            return load_question_encoder(settings)
        except ModelNotReady:
            self.out.say("Preparing the embedding model; this is needed once…")
            return load_embedder(settings)

    def wait(self, finished: Callable[[], bool]) -> None:
        """Wait until ``finished`` says so, with a worker alive: one is started for that where none runs."""
        while not finished():
            self.keep_worker()
            time.sleep(LOOK_S)

    def keep_worker(self) -> None:
        """Make sure that some worker lives; cheap enough to call often."""
        if time.monotonic() - self._checked < _CHECK_S:
            return
        self._checked = time.monotonic()
        if self._worker is not None:
            self._worker.tend(self.out.say)
            if self._worker.failures >= _FAILURES_LIMIT:
                raise WorkerError(f"The worker doesn't run. It said: {last_line(self._worker.log)}")
            return
        with self.as_user() as conn:
            alive = read_worker_status(conn).alive
        if not alive:
            self.out.say("No worker is running; one is started for the time of this command.")
            log = self.settings.corpuscope_home / "logs" / f"worker-of-{os.getpid()}.log"
            log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._worker = Child("worker", ["rag.cli", "worker"], log, settings_environment(self.settings))
            self._worker.start()

    def show(self, progress: Progress, rate: float | None) -> None:
        """Show how far a collection is."""
        starting = self._worker is not None and not progress.worker.alive
        self.out.show("The worker is starting…" if starting else describe(progress, rate))

    def close(self) -> None:
        """Stop the worker that was started for this command, then leave the database."""
        if self._worker is not None:
            stop_all([self._worker], _STOP_LIMIT_S)
            if not self._worker.failures:
                self._worker.log.unlink(missing_ok=True)
        self.database.close()


@contextmanager
def open_session(settings: Settings, out: Output, *, model: bool = True) -> Iterator[Session]:
    """Open the database, started if it is the embedded one and nobody did; with ``model``, register the model too."""
    database = open_database(settings, on_progress=out.show)
    session = Session(settings, database, out)
    try:
        if model:
            _register(session)
        yield session
    finally:
        session.close()


def _register(session: Session) -> None:
    try:
        register_model(session.database, session.settings)
    except CorpuscopeError as error:
        session.out.say(f"The embedding model was not registered: {error} {error.hint}".strip())
