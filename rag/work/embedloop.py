"""The embed thread of a worker: while one batch is encoded, the one before is written and the one after is fetched."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from rag.errors import CorpuscopeError, ProviderBusy, ProviderRefused
from rag.vectors.modelpool import ModelRow
from rag.work import embedding, jobs
from rag.work.batches import Batch, Pace, Rests
from rag.work.embedding import Piece, Result, Vector
from rag.work.jobs import Job
from rag.work.leases import Lease
from rag.work.workplace import Stopping, Workplace

log = logging.getLogger(__name__)

#: Messages (of at most 64 chunks) claimed at once, so that chunks of like length can be encoded together: of documents
#: with fifty chunks, padding takes .8 % of the time; with 4 messages it took 1.6 %.
CLAIM = 8
#: Vectors kept for equal content in the batches that follow, before the database knows them.
REMEMBERED = 2048

_LOOK_AGAIN_S = 1.0
#: Two workers at one document take turns: so often, and after this pause, vectors are offered again.
_STORE_TRIES = 20
_STORE_PAUSE_S = 0.05


class EmbedLoop:
    """Claims, embeds and writes until the worker stops."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self._recent: OrderedDict[tuple[int, bytes], Vector] = OrderedDict()
        self._due_s = 0.0
        self._rests = Rests(workplace.backoff, workplace.heartbeat.wait)
        self._pace = Pace()

    def run(self) -> None:
        """Work until the worker stops."""
        with ThreadPoolExecutor(1, "embed-fetch") as fetching, ThreadPoolExecutor(1, "embed-write") as writing:
            try:
                self._run(fetching, writing)
            except Stopping:
                log.debug("The embed thread stops.")

    def _run(self, fetching: ThreadPoolExecutor, writing: ThreadPoolExecutor) -> None:
        written: Future[None] | None = None
        while True:
            seen = self.workplace.wakeup.count("embed")
            coming = fetching.submit(self._fetch)
            while (batch := coming.result()) is not None:
                if batch.alone and written is not None:
                    written.result()
                overlapped = not batch.alone and not self.workplace.stop.is_set()
                if overlapped:
                    coming = fetching.submit(self._fetch)
                with self.workplace.heartbeat.busy():
                    self._encode(batch, writing)
                if written is not None:
                    written.result()
                written = writing.submit(self._conclude, batch)
                if not overlapped:
                    written.result()
                    coming = fetching.submit(self._fetch)
            if self.workplace.stop.is_set():
                return
            if written is not None:
                # Its end may have put something off: look once more to know when that is due.
                written.result()
                written = None
                continue
            self.workplace.wakeup.wait("embed", seen, self._due_s)

    def _fetch(self) -> Batch | None:
        """Claim and load the next batch; None when there is nothing to do, or the worker stops."""
        while not self.workplace.stop.is_set():
            held = self.workplace.persist(self._claim)
            if held is None:
                return None
            if not held:
                continue
            lease = self.workplace.keeper.hold(held)
            try:
                pieces, left_out = self.workplace.persist(partial(self._prepare, lease.jobs))
            except Stopping:
                raise
            except Exception as error:
                log.exception("Chunks could not be prepared for embedding.")
                self._fail(lease, embedding.unexpected(error))
                continue
            return Batch(lease, pieces, left_out, alone=any(job.kills for job in held))
        return None

    def _claim(self) -> list[Job] | None:
        """Jobs to work on now, none if those at hand had to be sorted out first, None without any at hand."""
        with self.workplace.database.as_worker() as conn:
            held = jobs.claim(conn, "embed", limit=CLAIM, lease_s=self.workplace.keeper.lease_s)
            if held:
                return embedding.weed_out(conn, held)
            self._due_s = jobs.seconds_until_due(conn, "embed")
        return None

    def _prepare(self, held: Sequence[Job]) -> tuple[list[Piece], set[int]]:
        ids = embedding.chunk_ids(held)
        with self.workplace.database.as_worker() as conn:
            left_out = embedding.index_words(conn, ids)
        with self.workplace.database.as_worker() as conn:
            return embedding.find_missing(conn, [id for id in ids if id not in left_out]), left_out

    def _encode(self, batch: Batch, writing: ThreadPoolExecutor) -> None:
        """Embed slice by slice and hand each to the writer; errors are kept in the batch."""
        for model, pieces in _by_model(batch.pieces):
            left = pieces
            while left:
                if self.workplace.stop.is_set() or batch.lease.lost:
                    return
                if reason := self._rests.reason(model):
                    batch.errors |= dict.fromkeys(left, reason)
                    break
                some = left[: self._pace.size(model.id)]
                with self._pace.measured(model.id, len(some)):
                    vectors = self._embed(batch, model, some)
                if vectors:
                    writing.submit(self._store, vectors)
                if len(vectors) < len(some) and self._is_down(batch, model, some):
                    batch.errors |= dict.fromkeys(left, batch.errors[some[0]])
                    break
                left = left[len(some) :]
        self._rests.remember(batch)

    def _is_down(self, batch: Batch, model: ModelRow, pieces: Sequence[Piece]) -> bool:
        """After failures: whether the model itself is at fault, so that asking it for more makes no sense."""
        failed = [batch.errors[piece] for piece in pieces if piece in batch.errors]
        for error in failed:
            if isinstance(error, ProviderBusy) and (len(failed) == len(pieces) or embedding.asks_to_wait(error)):
                self._rests.rest(model, error)
                break
        return len(failed) == len(pieces) and not any(isinstance(error, ProviderRefused) for error in failed)

    def _embed(self, batch: Batch, model: ModelRow, pieces: Sequence[Piece]) -> dict[Piece, Vector]:
        """Vectors of the pieces that have one now; equal content is embedded once."""
        known: dict[tuple[int, bytes], Result] = {
            piece.key: self._recent[piece.key] for piece in pieces if piece.key in self._recent
        }
        wanted = {piece.key: piece for piece in pieces if piece.key not in known}
        found = self._ask_model(model, [piece.input for piece in wanted.values()], self._rests.tries(batch))
        results = known | dict(zip(wanted, found, strict=True))
        self._remember(results)
        served = any(not isinstance(result, Exception) for result in found)
        batch.asked |= bool(found)
        if served:
            self._rests.wake(model)
        vectors: dict[Piece, Vector] = {}
        for piece in pieces:
            result = results[piece.key]
            if not isinstance(result, Exception):
                vectors[piece] = result
                continue
            batch.errors[piece] = result
            if served:
                batch.at_fault.add(piece.id)
        return vectors

    def _ask_model(self, model: ModelRow, texts: list[str], tries: int) -> list[Result]:
        try:
            embedder = self.workplace.models.embedder(model)
        except CorpuscopeError as error:
            return [embedding.unexpected(error)] * len(texts)
        return embedding.embed_apart(texts, embedder.embed_passages, model.dimensions, tries=tries)

    def _remember(self, results: dict[tuple[int, bytes], Result]) -> None:
        self._recent |= {key: result for key, result in results.items() if not isinstance(result, Exception)}
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    def _store(self, vectors: dict[Piece, Vector]) -> None:
        def step() -> dict[Piece, Vector]:
            with self.workplace.database.as_worker() as conn:
                if embedding.store(conn, vectors) == len(vectors):
                    return {}
                missing = embedding.find_missing(conn, [piece.id for piece in vectors])
            return {piece: vectors[piece] for piece in missing if piece in vectors}

        try:
            for _ in range(_STORE_TRIES):
                vectors = self.workplace.persist(step)
                if not vectors or self.workplace.stop.wait(_STORE_PAUSE_S):
                    break
        except Stopping:
            log.info("The worker stops before the vectors of %d chunks could be saved.", len(vectors))
        except CorpuscopeError:
            # The job is not concluded while its chunks lack vectors, so nothing is lost.
            log.exception("Vectors could not be saved.")

    def _conclude(self, batch: Batch) -> None:
        """End each job of the batch, in the same thread that wrote its vectors and after that."""
        try:
            for job in batch.lease.jobs:
                self.workplace.persist(partial(self._conclude_job, batch, job))
        except Stopping:
            log.info("The worker stops; its jobs will be taken up again.")
        finally:
            self.workplace.keeper.release(batch.lease)

    def _conclude_job(self, batch: Batch, job: Job) -> None:
        with self.workplace.database.as_worker() as conn:
            for piece, error in batch.errors.items():
                if isinstance(error, ProviderRefused) and piece.id in job.chunks:
                    embedding.give_up(conn, piece, error, job.attempts + 1)
            if batch.blames_provider(job):
                jobs.put_off(conn, [job], self._rests.left(batch))
            elif batch.left_out.intersection(job.chunks):
                jobs.put_off(conn, [job], _LOOK_AGAIN_S)
            elif (self.workplace.stop.is_set() or batch.lease.lost) and batch.error_of(job) is None:
                embedding.hand_over(conn, job)
            else:
                delay_s = self.workplace.backoff.delay(job.attempts + 1)
                embedding.conclude(conn, job, set(batch.pieces), batch.error_of(job), delay_s)

    def _fail(self, lease: Lease, error: CorpuscopeError) -> None:
        """Jobs that could not even be prepared are tried again later; batches in smaller pieces, to find the reason."""

        def step(job: Job) -> None:
            with self.workplace.database.as_worker() as conn:
                if job.attempts >= 2 and len(job.chunks) > 1:
                    jobs.split(conn, job)
                else:
                    embedding.conclude(conn, job, None, error, self.workplace.backoff.delay(job.attempts + 1))

        try:
            for job in lease.jobs:
                self.workplace.persist(partial(step, job))
        finally:
            self.workplace.keeper.release(lease)


def _by_model(pieces: Sequence[Piece]) -> Iterator[tuple[ModelRow, list[Piece]]]:
    """Pieces of each model, the longest first: texts of like length share a slice."""
    models: dict[ModelRow, list[Piece]] = {}
    for piece in pieces:
        models.setdefault(piece.model, []).append(piece)
    for model, some in models.items():
        yield model, sorted(some, key=lambda piece: (piece.token_count, len(piece.input)), reverse=True)
