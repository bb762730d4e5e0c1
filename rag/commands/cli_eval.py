"""`corpuscope eval`: a labelled set through the own ingest and search, in a collection that is deleted again."""

from __future__ import annotations

import io
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import psycopg

from rag.commands.cli_output import Output, table
from rag.commands.cli_session import Session, open_session
from rag.corpus.collections import create_collection, delete_collection
from rag.corpus.documents import list_documents, store_document
from rag.corpus.progress import RateMeter, read_progress
from rag.evaluation.folder_scoring import EVALUATION_K, evaluate
from rag.evaluation.labelled_folders import EvaluationSet, LabelledDocument, read_set
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.retrieving import retrieve
from rag.retrieval.stored_profiles import load_profile
from rag.settings import Settings
from rag.vectors.embedders import Embedder

_BATCH = 50


@dataclass
class Scratch:
    """The set's documents in a collection: ``names`` by document; ``twins`` share a document's very bytes."""

    collection_id: UUID
    names: dict[UUID, str] = field(default_factory=dict)
    twins: dict[UUID, list[UUID]] = field(default_factory=dict)

    def add(self, document_id: UUID, name: str, *, twin: bool) -> None:
        """Note that a document of the set is stored as ``document_id``, with ``twin`` as one that was there already."""
        if twin:
            stand_in = uuid4()
            self.twins.setdefault(document_id, []).append(stand_in)
            document_id = stand_in
        self.names[document_id] = name

    def with_twins(self, hits: Sequence[Hit]) -> list[Hit]:
        """``hits`` with one more for each other document that has the same bytes."""
        return [
            replace(hit, document_id=document_id)
            for hit in hits
            for document_id in (hit.document_id, *self.twins.get(hit.document_id, []))
        ]


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print {"queries", "metrics"}: means over the questions."""
    labelled = read_set(arguments.folder)
    questions = labelled.questions[: arguments.limit_queries]
    with open_session(settings, out) as session, _scratch(session, arguments.folder.name) as scratch:
        _ingest(session, scratch, labelled)
        with session.as_user() as conn:
            profile = load_profile(conn, scratch.collection_id)
        profile = profile.with_changes(mode=arguments.mode, k=EVALUATION_K)
        encoder = None if profile.mode == "lexical" else session.load_question_encoder()
        metrics = evaluate(
            questions,
            lambda question: scratch.with_twins(_retrieve(session, scratch.collection_id, profile, encoder, question)),
            lambda hit: scratch.names[hit.document_id],
            lambda n: out.show(f"Asked {n:,} of {len(questions):,} questions"),
        ).to_json()
    rounded = {name: round(value, 6) for name, value in metrics.items()}
    text = table([[name, f"{value:.4f}"] for name, value in metrics.items()], ["metric", f"{len(questions)} queries"])
    out.result({"queries": len(questions), "metrics": rounded}, text)
    return 0


@contextmanager
def _scratch(session: Session, name: str) -> Iterator[Scratch]:
    with session.as_user() as conn:
        scratch = Scratch(create_collection(conn, f"Evaluation of {name[:100]} ({os.getpid()}, {uuid4().hex[:6]})"))
    try:
        yield scratch
    finally:
        session.out.show("Deleting the collection of the evaluation")
        with session.as_user(limit_s=0) as conn:
            delete_collection(conn, scratch.collection_id)


def _ingest(session: Session, scratch: Scratch, labelled: EvaluationSet) -> None:
    documents = labelled.documents
    for start in range(0, len(documents), _BATCH):
        with session.as_user() as conn:
            for number, document in enumerate(documents[start : start + _BATCH], start=start):
                _store(conn, scratch, number, document)
        session.out.show(f"Stored {min(start + _BATCH, len(documents)):,} of {len(documents):,} documents")
    _wait(session, scratch)
    _warn(session, scratch, labelled)


def _store(conn: psycopg.Connection[Any], scratch: Scratch, number: int, document: LabelledDocument) -> None:
    """One document as a plain text file: reading that keeps every character where it is."""
    data = document.text.encode()
    title = None if _begins_with_title(document) else document.title
    name = f"{number:07d}.txt"
    stored = store_document(conn, scratch.collection_id, name, io.BytesIO(data), max_bytes=len(data), title=title)
    known = stored.existing.id if stored.existing else None
    document_id = stored.document_id or known
    assert document_id is not None
    scratch.add(document_id, document.id, twin=known is not None)


def _begins_with_title(document: LabelledDocument) -> bool:
    return document.text.lstrip().casefold().startswith(document.title.strip().casefold())


def _wait(session: Session, scratch: Scratch) -> None:
    meter = RateMeter()

    def look() -> bool:
        with session.as_user() as conn:
            progress = read_progress(conn, scratch.collection_id)
        meter.feed(progress.at.timestamp(), progress.embedded_total)
        session.show(progress, meter.rate)
        return not progress.unfinished

    session.wait(look)


def _warn(session: Session, scratch: Scratch, labelled: EvaluationSet) -> None:
    """Say what would make the figures wrong: documents that failed, or whose text is not the set's."""
    with session.as_user() as conn:
        rows = list_documents(conn, scratch.collection_id)
    lengths = {document.id: len(document.text) for document in labelled.documents}
    failed = [row for row in rows if row.stage != "ready"]
    changed = [row for row in rows if row.stage == "ready" and row.char_count != lengths[scratch.names[row.id]]]
    if failed:
        session.out.say(f"{len(failed):,} documents can't be found; the first: {failed[0].error}")
    if changed:
        session.out.say(f"Reading changed {len(changed):,} texts: spans in them may be off.")


def _retrieve(
    session: Session, collection_id: UUID, profile: RetrievalProfile, encoder: Embedder | None, question: str
) -> list[Hit]:
    vector = encoder.embed_question(question) if encoder is not None else None
    return retrieve(session.as_user, collection_id, question, vector, profile)
