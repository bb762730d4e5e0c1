"""What a worker learns of models at work, written down for people: how fast each embeds, and why one can't be used."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from rag.chunks.tokens import TokenCounter
from rag.errors import CorpuscopeError, ModelError
from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.embedders import Embedder, Vectors
from rag.vectors.modelpool import Load, ModelPool, ModelRow
from rag.vectors.models import ModelInfo
from rag.vectors.random_pairs import random_similarity

if TYPE_CHECKING:
    from rag.work.workplace import Workplace

log = logging.getLogger(__name__)

#: Runs a step again and again while the database is away (:meth:`rag.work.workplace.Workplace.persist`).
Persist = Callable[[Callable[[], Any]], Any]

#: Seconds between two looks at what there is to write down.
NOTE_S = 3.0
#: A rate counts once it was measured over so many seconds of encoding; this much of the one before stays in it.
LEAST_MEASURED_S = 2.0
_KEPT = 0.5
#: A tokenizer that couldn't be had is asked for again after this: each document would wait for the network anew.
_TOKENS_REST_S = 10.0


@dataclass
class _Seen:
    """One model since the last look."""

    model: ModelRow
    chars: int = 0
    seconds: float = 0.0
    works: bool = False
    problem: CorpuscopeError | None = None


@dataclass
class ModelNotes:
    """Filled by the threads that work, written by one of its own: nobody waits for the database."""

    _seen: dict[int, _Seen] = field(default_factory=dict)
    _well: set[int] = field(default_factory=set)
    _warm: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note_work(self, model: ModelRow, chars: int, seconds: float) -> None:
        """So many characters took so many seconds to embed. A model's first call warms it up and does not count."""
        with self._lock:
            seen = self._seen.setdefault(model.id, _Seen(model))
            seen.works, seen.problem = True, None
            if model.id in self._warm:
                seen.chars, seen.seconds = seen.chars + chars, seen.seconds + seconds
            self._warm.add(model.id)

    def note_problem(self, model: ModelRow, problem: CorpuscopeError) -> None:
        """The model or its tokenizer can't be had."""
        with self._lock:
            self._seen.setdefault(model.id, _Seen(model)).problem = problem
            self._well.discard(model.id)

    def write(self, conn: Connection[Any]) -> list[ModelRow]:
        """Write down what is new, rates once they span enough time; the models that turned out to work."""
        with self._lock:
            found = list(self._seen.values())
            self._seen = {one.model.id: one for one in found if one.chars and one.seconds < LEAST_MEASURED_S}
            well = [one.model.id for one in found if one.works and one.model.id not in self._well]
            self._well.update(well)
        for seen in found:
            if seen.problem is not None:
                note_index_problem(conn, seen.model, seen.problem)
                seen.problem = None
            elif seen.model.id in well:
                clear_index_problem(conn, seen.model.id)
            if seen.seconds >= LEAST_MEASURED_S:
                _write_rate(conn, seen)
        return [one.model for one in found if one.model.id in well]

    def keep(self, workplace: Workplace) -> None:
        """Write what there is every few seconds until the worker stops; measure what unrelated texts score under a
        model that was used for the first time."""

        def step() -> list[ModelRow]:
            with workplace.database.as_worker() as conn:
                return self.write(conn)

        while not workplace.stop.wait(NOTE_S):
            for model in workplace.persist(step) if self._seen else []:
                try:
                    embedder = workplace.models.embedder(model)
                except ModelError as error:
                    log.warning("%s", error)
                else:
                    note_baseline(workplace.database, workplace.persist, embedder, model)


def _write_rate(conn: Connection[Any], seen: _Seen) -> None:
    conn.execute(
        """
        update public.embedding_models
        set chars_per_s = coalesce(%(kept)s * chars_per_s + (1 - %(kept)s) * %(rate)s, %(rate)s), measured_at = now()
        where id = %(model)s
        """,
        {"kept": _KEPT, "rate": seen.chars / seen.seconds, "model": seen.model.id},
    )


def note_index_problem(
    conn: Connection[Any], model: ModelRow, error: CorpuscopeError, *, index_id: int | None = None, pause: bool = False
) -> None:
    """Write down why indexes of ``model`` (or the one that is named) can't be worked on; people read it there."""
    words, hint = (part.replace(model.name, model.label) for part in (str(error), error.hint))
    conn.execute(
        """
        update public.indexes
        set problem = %s, problem_hint = nullif(%s, ''), paused = paused or (%s and state <> 'active')
        where model_id = %s and state <> 'retired' and id = coalesce(%s, id) and problem is distinct from %s
        """,
        [words, hint, pause, model.id, index_id, words],
    )


def clear_index_problem(conn: Connection[Any], model_id: int) -> None:
    """The model works again."""
    conn.execute(
        "update public.indexes set problem = null, problem_hint = null"
        " where model_id = %s and problem is not null and not paused",
        [model_id],
    )


def note_baseline(database: Database, persist: Persist, embedder: Embedder, model: ModelRow | None = None) -> None:
    """Measure what unrelated texts score, once a model. Without ``model``, of the one that the embedder says it is."""
    key = [embedder.info.provider, embedder.info.name] if model is None else [model.provider, model.name]

    def is_known() -> bool:
        with database.as_worker() as conn:
            known = "select from public.embedding_models where (provider, name) = (%s, %s) and random_mean is not null"
            return conn.execute(known, key).fetchone() is not None

    def note() -> None:
        with database.as_worker() as conn:
            noted = "update public.embedding_models set random_mean = %s, random_p95 = %s"
            conn.execute(f"{noted} where (provider, name) = (%s, %s)", [*baseline, *key])

    if persist(is_known):
        return
    try:
        baseline = random_similarity(embedder)
    except CorpuscopeError as error:
        log.warning("The similarity of unrelated texts could not be measured: %s", error)
    else:
        persist(note)


class WatchedPool(ModelPool):
    """A pool that tells :class:`ModelNotes` how fast its models embed, and which of them can't be had."""

    def __init__(
        self,
        settings: Settings,
        load_embedder: Load[Embedder],
        load_tokens: Load[TokenCounter],
        notes: ModelNotes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, load_embedder, load_tokens)
        self.notes = notes
        self._clock = clock
        self._out_of_reach: dict[int, tuple[float, ModelError]] = {}

    def embedder(self, model: ModelRow) -> Embedder:
        """See :class:`ModelPool`."""
        try:
            return _Watched(super().embedder(model), model, self.notes)
        except ModelError as problem:
            self.notes.note_problem(model, problem)
            raise

    def tokens(self, model: ModelRow) -> TokenCounter:
        """See :class:`ModelPool`; what just failed fails again at once."""
        until, known = self._out_of_reach.get(model.id, (0.0, None))
        if known is not None and self._clock() < until:
            raise known
        try:
            return super().tokens(model)
        except ModelError as problem:
            self._out_of_reach[model.id] = self._clock() + _TOKENS_REST_S, problem
            raise


class _Watched:
    """An embedder whose time is taken."""

    def __init__(self, embedder: Embedder, model: ModelRow, notes: ModelNotes) -> None:
        self._embedder, self._model, self._notes = embedder, model, notes

    @property
    def info(self) -> ModelInfo:
        return self._embedder.info

    @property
    def tokens(self) -> TokenCounter:
        return self._embedder.tokens

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        began = time.monotonic()
        vectors = self._embedder.embed_passages(texts)
        self._notes.note_work(self._model, sum(map(len, texts)), time.monotonic() - began)
        return vectors

    def embed_question(self, text: str) -> Vectors:
        return self._embedder.embed_question(text)
