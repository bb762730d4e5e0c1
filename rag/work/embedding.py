"""The embed job: chunks without a current vector get one. The steps here; :mod:`rag.work.embedloop` overlaps them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from psycopg import Connection

from rag.chunks.chunking import embedding_input
from rag.errors import CorpuscopeError, ModelError, ProviderBusy, ProviderError, ProviderRefused
from rag.vectors.modelpool import ModelRow
from rag.work import jobs
from rag.work.jobs import Job

log = logging.getLogger(__name__)

Vector = npt.NDArray[np.float32]

#: Texts → float32 ``[n, dimensions]``.
Embed = Callable[[list[str]], Vector]

#: What became of one text: its vector, or why there is none.
Result = Vector | CorpuscopeError

#: Failures in a row after which the model itself is thought to be down, by how often the job was tried before. One:
#: don't look for the text that may be the reason. Three: look if one half of the texts works. Ten: look harder.
PATIENCE = ((0, 1), (2, 3), (5, 10))


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk to embed: ``content_hash`` says which content the vector will be of."""

    id: int
    content_hash: bytes
    context: str
    text: str
    #: As chunking counted them; 0 of a chunk that another client made.
    token_count: int
    model: ModelRow

    @property
    def input(self) -> str:
        """What the model reads."""
        return embedding_input(self.context, self.text)

    @property
    def key(self) -> tuple[int, bytes]:
        """Pieces of one key get one vector."""
        return self.model.id, self.content_hash


def chunk_ids(held: Iterable[Job]) -> list[int]:
    """All chunks that the jobs name, once each, in order."""
    return list(dict.fromkeys(id for job in held for id in job.chunks))


def index_words(conn: Connection[Any], ids: Sequence[int]) -> set[int]:
    """Bring the lexical index of these chunks up to date.

    Returns the chunks that somebody is changing right now: they are left out, since a worker waits for nobody.
    """
    live = {id for (id,) in conn.execute(f"select c.id {_LIVE}", [list(ids)])}
    rows = conn.execute(
        "select id from public.chunks where id = any (%s) order by id for share skip locked", [list(live)]
    )
    free = [id for (id,) in rows]
    conn.execute("select corpuscope.index_lexical(%s::bigint[])", [free])
    return live.difference(free)


# Chunks that are gone, of a paused or cancelled document, or of a paused or retired index need nothing: resuming asks
# again.
_LIVE = """
    from public.chunks c
    join public.documents d on d.id = c.document_id and not d.paused and d.stage <> 'cancelled'
    join public.indexes i on i.id = c.index_id and i.state <> 'retired' and not i.paused
    join public.embedding_models m on m.id = i.model_id
    left join public.embeddings e on e.chunk_id = c.id
    where c.id = any (%s)
"""
_MISSING = _LIVE + " and e.chunk_id is null and not exists (select from public.failed_jobs f where f.chunk_id = c.id)"


def find_missing(conn: Connection[Any], ids: Sequence[int]) -> list[Piece]:
    """Take over vectors of equal content, then load the chunks that still lack one."""
    # Of live ones only: what nobody wants now has no words yet either, and would be taken for finished.
    conn.execute(f"select corpuscope.reuse_embeddings(array(select c.id {_LIVE}))", [list(ids)])
    with conn.cursor(binary=True) as cursor:
        rows = cursor.execute(
            "select c.id, c.content_hash, c.context, c.text, c.token_count,"
            " m.id, m.provider, m.name, m.dimensions, m.window_tokens" + _MISSING,
            [list(ids)],
        )
        return [
            Piece(id, digest, context, text, tokens, ModelRow(*model))
            for id, digest, context, text, tokens, *model in rows
        ]


def embed_apart(texts: Sequence[str], embed: Embed, dimensions: int, *, tries: int = 0) -> list[Result]:
    """Embed ``texts``; each gets its vector or its own error.

    A refusal is always traced to its text by halving. Any other failure is so only after some ``tries``, and not while
    the model seems to be down (:data:`PATIENCE`). After a busy provider named a time, nothing more is asked.
    """
    patience = max(failures for least, failures in PATIENCE if tries >= least)
    results: list[Result] = [ProviderError() for _ in texts]
    spans = deque([(0, len(texts))] if texts else [])
    failures = 0
    while spans:
        # Both halves of a span before their own halves: so one bad text never makes more than two failures in a row.
        start, end = spans.popleft()
        try:
            results[start:end] = _ask(texts[start:end], embed, dimensions)
            failures = 0
        except ProviderError as error:
            failures = 0 if isinstance(error, ProviderRefused) else failures + 1
            results[start:end] = [error] * (end - start)
            if failures >= patience or asks_to_wait(error):
                for first, last in spans:
                    results[first:last] = [error] * (last - first)
                break
            if end - start > 1:
                middle = (start + end) // 2
                spans += [(start, middle), (middle, end)]
    return results


def asks_to_wait(error: CorpuscopeError | None) -> bool:
    """Whether the provider said for how long it wants to be left alone."""
    return isinstance(error, ProviderBusy) and error.retry_after is not None


def _ask(texts: Sequence[str], embed: Embed, dimensions: int) -> list[Result]:
    """The vectors, or a :class:`ProviderError` whatever went wrong."""
    try:
        vectors = embed(list(texts))
    except CorpuscopeError as error:
        raise unexpected(error) from error
    except Exception as error:
        log.exception("A batch could not be embedded.")
        raise unexpected(error) from error
    if vectors.shape != (len(texts), dimensions):
        raise ProviderError(
            f"The model gave vectors of shape {vectors.shape} where ({len(texts)}, {dimensions}) was expected.",
            hint="Check that EMBEDDING_MODEL is the model that this index was made with.",
        )
    if not np.isfinite(vectors).all():
        raise ProviderError("The model gave vectors that hold no numbers.")
    return list(vectors)


def unexpected(error: Exception) -> ProviderError:
    """Any error in words for a person; the log has the rest. A model that can't be had counts as busy."""
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, ModelError):
        return ProviderBusy(str(error), hint=error.hint)
    if isinstance(error, CorpuscopeError):
        return ProviderError(str(error), hint=error.hint)
    return ProviderError(f"Embedding failed unexpectedly: {type(error).__name__}.", hint="The log has the details.")


def store(conn: Connection[Any], vectors: Mapping[Piece, Vector]) -> int:
    """Write vectors of chunks whose content is still the same; how many that were.

    A vector that came too late is dropped, and so is one of a chunk that somebody is changing right now.
    """
    # In binary (%b): a list of vectors as text takes twenty times as long.
    row = conn.execute(
        "select corpuscope.store_embeddings(%b::bigint[], %b::bytea[], %b::extensions.halfvec[])",
        [
            [piece.id for piece in vectors],
            [piece.content_hash for piece in vectors],
            [HalfVector(vector) for vector in vectors.values()],
        ],
    ).fetchone()
    return int(row[0]) if row else 0


def give_up(conn: Connection[Any], piece: Piece, error: CorpuscopeError, attempts: int) -> None:
    """List a chunk that can't be embedded for a person; its document can be finished without it."""
    conn.execute(
        "select corpuscope.give_up_chunk(%s, %s, %s, nullif(%s, ''), %s)",
        [piece.id, piece.content_hash, str(error), error.hint, attempts],
    )


def conclude(
    conn: Connection[Any], job: Job, tried: Collection[Piece] | None, error: CorpuscopeError | None, delay_s: float
) -> None:
    """End a job: done if all of its chunks have what they need, else tried again, and in the end given up on.

    ``tried`` are the pieces that were worked on, None if it did not come to that; a chunk that was changed since has a
    job of its own. ``error`` is what kept chunks from being embedded; ``delay_s`` from now is the next try.
    """
    left = [piece for piece in find_missing(conn, job.chunks) if tried is None or piece in tried]
    if not left:
        jobs.finish(conn, [job])
        return
    # Without an error somebody was changing those chunks at the very moment: look again soon.
    reason = error or CorpuscopeError("The result could not be saved: the text was being changed.")
    attempts = jobs.fail(conn, job, str(reason), delay_s)
    if attempts >= jobs.ATTEMPTS_LIMIT:
        for piece in left:
            give_up(conn, piece, reason, attempts)
        # Failing raised no read count, so the job still is ours to finish.
        jobs.finish(conn, [job])


def hand_over(conn: Connection[Any], job: Job) -> None:
    """End a job of a worker that stops: done, or free for another worker at once."""
    if find_missing(conn, job.chunks):
        jobs.put_off(conn, [job])
    else:
        jobs.finish(conn, [job])


class WorkerKilled(CorpuscopeError):
    """The worker stopped unexpectedly while working on this chunk."""

    hint = "Its text may be too much for the model; change or exclude it, then retry."


def weed_out(conn: Connection[Any], held: Sequence[Job]) -> list[Job]:
    """Of claimed jobs, those to work on now: all, or the one under suspicion of killing workers, alone.

    Batches under strong suspicion are split; a single chunk that killed too many workers is given up on.
    """
    innocent: list[Job] = []
    suspects: list[Job] = []
    for job in held:
        alone = len(job.chunks) <= 1
        if job.kills >= jobs.KILLS_LIMIT and alone:
            for piece in find_missing(conn, job.chunks):
                give_up(conn, piece, WorkerKilled(), job.kills)
            jobs.finish(conn, [job])
        elif job.kills >= jobs.KILLS_BEFORE_SPLIT and not alone:
            jobs.split(conn, job)
        else:
            (suspects if job.kills else innocent).append(job)
    if not suspects:
        return innocent
    jobs.put_off(conn, [*suspects[1:], *innocent])
    return suspects[:1]
