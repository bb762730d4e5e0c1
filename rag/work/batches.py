"""What the embed thread keeps in mind: a batch under way, the pace of models, and which need rest or failed what."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rag.errors import CorpuscopeError, ProviderBusy, ProviderRefused
from rag.vectors.modelpool import ModelRow
from rag.work import embedding
from rag.work.embedding import Piece
from rag.work.jobs import Backoff, Job
from rag.work.leases import Lease

#: A provider that asks for more is asked again after this.
LONGEST_REST_S = 3600.0
#: Texts encoded in one call, at least and at most. At the end of each call cores wait for the slowest: with 256 texts a
#: call the packaged model encodes 4 % more a second than with 64.
SLICE = 64
MOST = 256
#: Between calls a worker can stop, and vectors are written: a call shouldn't take longer than this.
CALL_S = 3.0


@dataclass
class Batch:
    """Claimed jobs with the chunks that they lack vectors for. ``alone``: nothing else may be under way beside it."""

    lease: Lease
    pieces: list[Piece]
    #: Chunks that somebody was changing when the batch was loaded.
    left_out: set[int] = field(default_factory=set)
    alone: bool = False
    errors: dict[Piece, CorpuscopeError] = field(default_factory=dict)
    #: Pieces that failed while others beside them did not: it is they who are at fault, not the provider.
    at_fault: set[int] = field(default_factory=set)
    #: Whether any model was asked.
    asked: bool = False

    def error_of(self, job: Job) -> CorpuscopeError | None:
        """What went wrong with one of a job's chunks, if anything did; a refusal only if nothing else."""
        ids = set(job.chunks)
        errors = [error for piece, error in self.errors.items() if piece.id in ids]
        return min(errors, key=lambda error: isinstance(error, ProviderRefused), default=None)

    def blames_provider(self, job: Job) -> bool:
        """Whether a job failed for no fault of its own: the provider said so, or nothing beside it worked either."""
        error = self.error_of(job)
        if not isinstance(error, ProviderBusy):
            return False
        return embedding.asks_to_wait(error) or not (job.attempts or self.at_fault.intersection(job.chunks))


class Rests:
    """Models that are left alone for a while; others go on. ``announce`` hears for how long (seconds) and why."""

    def __init__(self, backoff: Backoff, announce: Callable[[float, str], None]) -> None:
        self._backoff = backoff
        self._announce = announce
        self._until: dict[int, tuple[float, str]] = {}
        self._in_a_row: Counter[int] = Counter()
        self._in_vain: Counter[int] = Counter()

    def rest(self, model: ModelRow, error: ProviderBusy) -> None:
        """Leave the model alone: for as long as it asked for, or growing while nothing works."""
        self._in_a_row[model.id] += 1
        asked = error.retry_after
        seconds = self._backoff.delay(self._in_a_row[model.id]) if asked is None else min(asked, LONGEST_REST_S)
        self._until[model.id] = time.monotonic() + seconds, str(error)
        self._announce(seconds, str(error))

    def wake(self, model: ModelRow) -> None:
        """The model works."""
        self._in_a_row[model.id] = 0
        if self._until.pop(model.id, None) is not None:
            self._announce(0.0, "")

    def reason(self, model: ModelRow) -> ProviderBusy | None:
        """Why the model is not to be asked now, and for how long not; None if it is."""
        until, reason = self._until.get(model.id, (0.0, ""))
        left = until - time.monotonic()
        return ProviderBusy(reason, retry_after=left) if left > 0 else None

    def left(self, batch: Batch) -> float:
        """Seconds until all models that a batch failed with may be asked again."""
        now = time.monotonic()
        models = {piece.model.id for piece in batch.errors}
        return max((until - now for id, (until, _) in list(self._until.items()) if id in models), default=0.0)

    def tries(self, batch: Batch) -> int:
        """How often the most unlucky of a batch's jobs was tried before."""
        return max((job.attempts + job.kills + self._in_vain[job.id] for job in batch.lease.jobs), default=0)

    def remember(self, batch: Batch) -> None:
        """Note which jobs got nothing for no fault of their own: next time, look closer."""
        for job in batch.lease.jobs:
            if not batch.blames_provider(job):
                del self._in_vain[job.id]
            elif batch.asked:
                self._in_vain[job.id] += 1


class Pace:
    """How many texts a model is given in one call: as many as it encodes in :data:`CALL_S`, going by its last call."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

    def size(self, model_id: int) -> int:
        """Between :data:`SLICE` and :data:`MOST`; the least of a model that has not been seen at work."""
        return self._sizes.get(model_id, SLICE)

    @contextmanager
    def measured(self, model_id: int, texts: int) -> Iterator[None]:
        """Time the block, which gives the model so many texts."""
        began = time.monotonic()
        yield
        most = texts * CALL_S / max(time.monotonic() - began, 0.001)
        self._sizes[model_id] = max(SLICE, min(MOST, int(most) // SLICE * SLICE))
