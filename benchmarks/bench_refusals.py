"""How often an answer without a chat model is given where there is none, or refused where there is one.

Each mix of :mod:`benchmarks.refusal_mix` is ingested as the product does it and asked under the default profile. Of
questions whose answering words are known it is counted as well how much of these is quoted, and how much of what is
quoted is something else.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from benchmarks.refusal_mix import Asked, Mix, Span, read_own, read_shared
from rag.chat.extractive import Choice, EmbedSentences, Source, choose_quotes
from rag.chat.grounding import Ground, read_grounds, sentence_embedder
from rag.chat.harvesting import find_passages
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.records import LOCAL_USER
from rag.settings import Settings, load_settings
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.vectors.embedders import Embedder, load_embedder
from rag.vectors.registration import register_model
from rag.work.worker import run_worker

Row = dict[str, Any]
Chooser = Callable[..., Choice]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question. ``quoted``: spans by document, the answer's only; None where it was refused."""

    asked: Asked
    choice: Choice
    quoted: dict[str, list[Span]]

    @property
    def recall(self) -> float:
        """The share of the answering words that is quoted."""
        wanted = _places(self.asked.answer)
        return len(wanted & self._own) / len(wanted)

    @property
    def stray(self) -> float | None:
        """The share of what is quoted that is no answering word; None where nothing is."""
        total = sum(len(_places(spans)) for spans in self.quoted.values())
        return 1 - len(_places(self.asked.answer) & self._own) / total if total else None

    @property
    def _own(self) -> set[int]:
        return _places(self.quoted.get(self.asked.document or "", ()))


def run(report: Callable[[Row], None]) -> None:
    """Report the rates of each mix, one after the other."""
    settings = load_settings(None)
    embedder = load_embedder(settings)
    for mix in (read_own(), read_shared()):
        if not mix.asked:
            report({"name": "refusals: ../shared/eval is missing"})
            continue
        with tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder:
            outcomes = ask_all(Path(folder), settings, embedder, mix)
        for row in rate(outcomes):
            report(row)


def ask_all(
    folder: Path, settings: Settings, embedder: Embedder, mix: Mix, choose: Chooser = choose_quotes
) -> list[Outcome]:
    """Ingest a mix into a database of its own in ``folder`` and ask its questions."""
    with EmbeddedPostgres(folder) as server, open_embedded(server) as database:
        register_model(database, settings)
        ids = _ingest(database, settings, embedder, mix.collections)
        answerer = _Answerer(database, embedder, choose, ids)
        return [answerer.answer(one) for one in mix.asked]


class _Answerer:
    def __init__(self, database: Database, embedder: Embedder, choose: Chooser, ids: Mapping[str, UUID]) -> None:
        self._database = database
        self._embedder = embedder
        self._choose = choose
        self._embed = _remembering(sentence_embedder(embedder))
        with database.as_user(LOCAL_USER) as conn:
            self._grounds = {name: read_grounds(conn, number, None)[0] for name, number in ids.items()}

    def answer(self, asked: Asked) -> Outcome:
        ground = self._grounds[asked.collection]
        sources, documents, vector = self._read(ground, asked)
        choice = self._choose(asked.question, vector, sources, self._embed, ground.random_mean)
        quoted = defaultdict(list)
        for quote in choice.quotes if choice.relevant else ():
            quoted[documents[quote.number]].append((quote.start, quote.end))
        return Outcome(asked, choice, dict(quoted))

    def _read(self, ground: Ground, asked: Asked) -> tuple[list[Source], dict[int, str], NDArray[np.float32]]:
        """What the answerer gets to see, and the documents of the passages by number."""
        vector = self._embedder.embed_question(asked.question)
        wanted = ground.profile.k
        wider = replace(ground, profile=replace(ground.profile, k=wanted + 20 if asked.withheld else wanted))
        found = find_passages(
            lambda: self._database.as_user(LOCAL_USER), [wider], asked.question, {ground.index.model.id: vector}
        ).found
        kept = [one for one in found if not _touches(one.source, asked.withheld)][:wanted]
        sources = [replace(one.source, number=number) for number, one in enumerate(kept, 1)]
        return sources, {number: one.passage.document for number, one in enumerate(kept, 1)}, vector


def rate(outcomes: Sequence[Outcome]) -> list[Row]:
    """The rates of each name under which questions are counted."""
    rows: list[Row] = []
    for name in dict.fromkeys(one.asked.name for one in outcomes):
        group = [one for one in outcomes if one.asked.name == name]
        answered = statistics.mean(one.choice.relevant for one in group)
        answerable = group[0].asked.answerable
        rows.append(
            {
                "name": f"{name}: {'false refusals' if answerable else 'false answers'}",
                "value": round(1 - answered if answerable else answered, 3),
                "unit": f"of {len(group)}",
                "with reserve": round(statistics.mean(one.choice.relevant and not one.choice.sure for one in group), 3),
            }
        )
        if group[0].asked.answer:
            rows += _quality(name, group)
    return rows


def _quality(name: str, group: Sequence[Outcome]) -> list[Row]:
    stray = [one.stray for one in group if one.stray is not None]
    characters = [quote.end - quote.start for one in group if one.choice.relevant for quote in one.choice.quotes]
    return [
        {
            "name": f"{name}: answering words that are quoted",
            "value": round(statistics.mean(one.recall for one in group), 3),
            "unit": "share",
            "some of them": round(statistics.mean(one.recall > 0 for one in group), 3),
        },
        {
            "name": f"{name}: quoted words that don't answer",
            "value": round(statistics.mean(stray), 3),
            "unit": "share",
            "characters": round(sum(characters) / len(group)),
            "quotes": round(len(characters) / len(group), 2),
        },
    ]


def _ingest(
    database: Database, settings: Settings, embedder: Embedder, collections: Mapping[str, Mapping[str, str]]
) -> dict[str, UUID]:
    ids = {}
    for name, documents in collections.items():
        with database.as_user(LOCAL_USER) as conn:
            ids[name] = create_collection(conn, name)
            for document, text in documents.items():
                data = text.encode()
                store_document(conn, ids[name], document, io.BytesIO(data), max_bytes=len(data) + 1)
    stop = threading.Event()
    options = {"stop": stop, "load_embedder": lambda _: embedder, "queues": ("ingest", "embed")}
    worker = threading.Thread(target=run_worker, args=(settings, database), kwargs=options)
    worker.start()
    try:
        while _unfinished(database):
            time.sleep(0.5)
    finally:
        stop.set()
        worker.join()
    return ids


def _unfinished(database: Database) -> bool:
    """Whether a document is on its way, or the model's idea of unrelated texts has still to be measured."""
    query = (
        "select exists (select from public.documents where stage not in ('ready', 'failed'))"
        " or exists (select from public.embedding_models where random_mean is null)"
    )
    with database.as_worker() as conn:
        row = conn.execute(query).fetchone()
    return row is None or bool(row[0])


def _remembering(embed: EmbedSentences) -> EmbedSentences:
    """The same, each text once."""
    known: dict[str, NDArray[np.float32]] = {}

    def look_up(texts: list[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, embed(new), strict=True))
        return np.stack([known[text] for text in texts])

    return look_up


def _touches(source: Source, spans: Sequence[Span]) -> bool:
    return any(source.start < end and start < source.start + len(source.text) for start, end in spans)


def _places(spans: Sequence[Span]) -> set[int]:
    return {place for start, end in spans for place in range(start, end)}
