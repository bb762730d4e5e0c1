"""The job that looks over an index: reads it as the person who asked, and keeps what is worth a look. In a worker.

It keeps nothing before it is done, so a check that was interrupted begins anew.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from rag.errors import NotAllowed
from rag.evaluation.errand import Errand
from rag.health import health_rows
from rag.health.duplicate_groups import find_stars
from rag.health.health_reading import (
    Asked,
    read_asked,
    read_chunks,
    read_content_state,
    read_documents,
    read_texts,
    read_unretrieved,
    read_vectors,
)
from rag.health.health_rows import CheckRequest
from rag.health.outliers import NEIGHBOURS, OddLengths, Outliers, find_odd_lengths, find_outliers
from rag.health.phrase_join import Pairs, join_sets
from rag.health.phrase_sets import PhraseReader, PhraseSets
from rag.health.repeats import Repeat, RepeatReader, Source
from rag.health.stray_languages import Strays, find_strays
from rag.mapping.neighbours import find_neighbours, unit
from rag.reading.languages import detect_language

log = logging.getLogger(__name__)

#: Pairs are kept from this share of phrases in common on: the slider goes no lower.
FLOOR = 0.4
#: Passages this similar are copies, which the search for boilerplate passes over.
COPIED = 0.7
#: Most passages kept of one list; how many there are is kept in any case.
MOST_KEPT = 1000
#: Reading as the person who asked has no eight seconds' limit: the whole index passes by.
_LIMIT_S = 600.0
_NOTED_EVERY_S = 1.0

Item = TypeVar("Item")


def check_health(errand: Errand, check_id: int, *, noted_every_s: float = _NOTED_EVERY_S) -> None:
    """Look it over. Nothing to do when it is over already.

    Failures end in its row, in words; what is raised all the same, :meth:`Errand.ending_in_words` says.
    """
    with errand.database.as_worker() as conn:
        request = health_rows.begin_check(conn, check_id)
    if request is None:
        return
    with errand.ending_in_words("The health check", check_id, health_rows.note_waiting, health_rows.fail_check):
        _Check(errand, request, noted_every_s).go()


class _Check:
    """One attempt at one check."""

    def __init__(self, errand: Errand, request: CheckRequest, noted_every_s: float) -> None:
        if request.asker is None:
            raise NotAllowed("The account of whoever started this is gone.", hint="Start it again.")
        self.errand = errand
        self.request = request
        self.noted_every_s = noted_every_s
        self.asker: UUID = request.asker
        self.timings: dict[str, float] = {}
        self._noted_at = 0.0
        self._phase = ""

    def as_asker(self) -> AbstractContextManager[Connection[Any]]:
        return self.errand.database.as_user(self.asker, limit_s=_LIMIT_S)

    def go(self) -> None:
        with self.as_asker() as conn:
            corpus = read_content_state(conn, self.request.index_id)
        with self.phase("reading"):
            self._read_passages(int(corpus.get("chunks", 0)))
        with self.phase("duplicates"):
            pairs = join_sets(self.phrases, FLOOR)
        with self.phase("lengths"):
            lengths = find_odd_lengths(self.phrases.words, self.tokens > self.request.window)
        with self.phase("languages"):
            strays = find_strays(self.phrases.words, self.phrases.common, self._detect)
        with self.phase("boilerplate"):
            reader, repeats = self._read_repeats(int(corpus.get("documents", 0)), self._copied(pairs))
        with self.phase("outliers"):
            outliers, ids, distances, exact = self._measure(int(corpus.get("embedded", 0)))
        with self.phase("questions"), self.as_asker() as conn:
            asked = read_asked(conn, self.request.collection_id)
            unretrieved = (
                read_unretrieved(conn, self.request.collection_id, self.request.index_id) if asked.runs else []
            )
        pairs = self._without_overlaps(pairs)
        figures = self._figures(pairs, lengths, strays, reader, repeats, outliers, asked, exact)
        with self.phase("saving"), self.errand.database.as_worker() as conn:
            self._store_duplicates(conn, pairs)
            self._store_passages(conn, lengths, strays)
            far = [(ids[place], float(distances[place]), None) for place in outliers.places[:MOST_KEPT].tolist()]
            health_rows.store_findings(conn, self.request, "outlier", far)
            health_rows.store_repeats(conn, self.request, _places(reader.sources, repeats))
            health_rows.store_unretrieved(conn, self.request, unretrieved)
            self.errand.check()
            health_rows.finish_check(conn, self.request.id, corpus, figures, self.timings)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Say that it is at this phase, and keep how long it took."""
        self._phase, self._noted_at = name, 0.0
        self.note(0, 0)
        began = time.perf_counter()
        yield
        self.timings[name] = round(time.perf_counter() - began, 3)

    def note(self, done: int, total: int) -> None:
        """Write how far it is, now and then; ends the check when it is not to go on."""
        self.errand.check()
        now = time.monotonic()
        if now - self._noted_at < self.noted_every_s:
            return
        self._noted_at = now
        with self.errand.database.as_worker() as conn:
            health_rows.note_progress(conn, self.request.id, self._phase, done, total)

    def counted(self, items: Iterable[Item], total: int) -> Iterator[Item]:
        """The same items, while how many have passed is noted."""
        for number, item in enumerate(items):
            if number % 500 == 0:
                self.note(number, max(number, total))
            yield item

    def _read_passages(self, total: int) -> None:
        reader = PhraseReader()
        ids: list[int] = []
        documents: list[UUID] = []
        numbers: list[tuple[int, int, int]] = []

        def texts(conn: Connection[Any]) -> Iterator[str]:
            for chunk in self.counted(read_chunks(conn, self.request.index_id), total):
                ids.append(chunk.id)
                documents.append(chunk.document_id)
                numbers.append((chunk.start, chunk.end, chunk.tokens))
                yield chunk.text

        with self.as_asker() as conn:
            reader.read(texts(conn))
        self.ids, self.documents = ids, documents
        columns = np.array(numbers, np.int64).reshape(len(numbers), 3)
        self.starts, self.ends, self.tokens = columns[:, 0], columns[:, 1], columns[:, 2]
        self.phrases: PhraseSets = reader.finish()

    def _detect(self, places: Sequence[int]) -> dict[int, str | None]:
        found: dict[int, str | None] = {}
        for start in range(0, len(places), 200):
            some = places[start : start + 200]
            self.note(start, len(places))
            with self.as_asker() as conn:
                texts = read_texts(conn, [self.ids[place] for place in some])
            found |= {place: detect_language(texts.get(self.ids[place], "")) for place in some}
        return found

    def _copied(self, pairs: Pairs) -> dict[UUID, list[tuple[int, int]]]:
        """Of each group of near-duplicates all passages but the first, by document."""
        shape = self.phrases.shape.tolist()
        rows = zip(pairs.a.tolist(), pairs.b.tolist(), pairs.score.tolist(), strict=True)
        stars = find_stars(Counter(shape), rows, COPIED)
        group = {one: star.centre for star in stars for one in (star.centre, *(other for other, _ in star.others))}
        seen: set[int] = set()
        copied: dict[UUID, list[tuple[int, int]]] = defaultdict(list)
        for place, one in enumerate(shape):
            if (centre := group.get(one)) is not None:
                if centre in seen:
                    copied[self.documents[place]].append((int(self.starts[place]), int(self.ends[place])))
                seen.add(centre)
        return copied

    def _read_repeats(
        self, total: int, copied: Mapping[UUID, Sequence[tuple[int, int]]]
    ) -> tuple[RepeatReader, list[Repeat]]:
        reader = RepeatReader()
        with self.as_asker() as conn:
            for document, revision, text in self.counted(read_documents(conn, self.request.index_id), total):
                reader.read(Source(document, revision), text, copied.get(document, ()))
        return reader, reader.finish()

    def _measure(self, total: int) -> tuple[Outliers, list[int], NDArray[np.float32], bool]:
        ids: list[int] = []
        parts: list[NDArray[np.float16]] = []
        with self.as_asker() as conn:
            for some, vectors in read_vectors(conn, self.request.index_id):
                ids += some
                parts.append(vectors)
                self.note(len(ids) // 2, max(len(ids), total))
        if len(ids) <= 2 * NEIGHBOURS:
            none = np.empty(0, np.float32)
            return find_outliers(none), ids, none, True
        together = unit(np.concatenate(parts))
        parts.clear()
        found = find_neighbours(together, NEIGHBOURS + 1, report=self.note)
        distances = found.distances[:, 1:].mean(axis=1)
        return find_outliers(distances), ids, distances, found.exact

    def _without_overlaps(self, pairs: Pairs) -> Pairs:
        """Without pairs that are neighbours in their document and share text because chunks overlap."""
        chunks = np.bincount(self.phrases.shape, minlength=len(self.phrases.starts) - 1)
        first = np.full(len(chunks), -1, np.int64)
        first[self.phrases.shape[::-1]] = np.arange(len(self.phrases.shape))[::-1]
        a, b = first[pairs.a], first[pairs.b]
        single = (chunks[pairs.a] == 1) & (chunks[pairs.b] == 1)
        crossing = (self.starts[a] < self.ends[b]) & (self.starts[b] < self.ends[a])
        drop = np.flatnonzero(single & crossing)
        same = [self.documents[int(a[row])] == self.documents[int(b[row])] for row in drop]
        kept = np.ones(len(pairs.a), bool)
        kept[drop[np.array(same, bool)]] = False
        return Pairs(pairs.a[kept], pairs.b[kept], pairs.score[kept], pairs.compared)

    def _store_duplicates(self, conn: Connection[Any], pairs: Pairs) -> None:
        chunks = np.bincount(self.phrases.shape, minlength=len(self.phrases.starts) - 1)
        near = chunks > 1
        near[pairs.a] = near[pairs.b] = True
        places = np.flatnonzero(near[self.phrases.shape]).tolist()
        shape = self.phrases.shape
        health_rows.store_members(conn, self.request, ((self.ids[place], int(shape[place])) for place in places))
        rows = zip(pairs.a.tolist(), pairs.b.tolist(), pairs.score.tolist(), strict=True)
        health_rows.store_pairs(conn, self.request, rows)

    def _store_passages(self, conn: Connection[Any], lengths: OddLengths, strays: Strays) -> None:
        for finding, places in (("short", lengths.short), ("long", lengths.long)):
            rows = [(self.ids[at], float(self.phrases.words[at]), None) for at in places[:MOST_KEPT].tolist()]
            health_rows.store_findings(conn, self.request, finding, rows)
        foreign = [(self.ids[at], 0.0, code) for at, code in list(strays.places.items())[:MOST_KEPT]]
        health_rows.store_findings(conn, self.request, "language", foreign)

    def _figures(
        self,
        pairs: Pairs,
        lengths: OddLengths,
        strays: Strays,
        reader: RepeatReader,
        repeats: Sequence[Repeat],
        outliers: Outliers,
        asked: Asked,
        exact: bool,
    ) -> Mapping[str, Any]:
        return {
            "passages": len(self.ids),
            "documents": len(reader.sources),
            "floor": FLOOR,
            "pairs": len(pairs.a),
            "compared": pairs.compared,
            "median_words": lengths.median,
            "short_limit": lengths.short_limit,
            "long_limit": lengths.long_limit,
            "window": self.request.window,
            "main_language": strays.main,
            "own_languages": list(strays.own),
            "languages_asked": strays.asked,
            "repeat_documents": reader.least,
            "repeats": len(repeats),
            "outlier_limit": round(outliers.limit, 4),
            "outlier_median": round(outliers.median, 4),
            "neighbours_exact": exact,
            "runs": asked.runs,
            "questions": asked.questions,
            "found": {
                "outlier": len(outliers.places),
                "short": len(lengths.short),
                "long": len(lengths.long),
                "language": len(strays.places),
            },
        }


def _places(sources: Sequence[Source], repeats: Sequence[Repeat]) -> Iterator[tuple[int, UUID, int, int, int]]:
    for number, repeat in enumerate(repeats):
        for document, start, end in repeat.places:
            yield number, sources[document].document_id, sources[document].revision, start, end
