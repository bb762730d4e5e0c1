"""The first half of the chain: from the uploaded file to a chunk with a vector that the person who asks may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.records import DocumentRow
from rag.retrieval.phrase_matching import Occurrence
from rag.retrieval.scopes import read_scope
from rag.retrieval.trace_phrases import read_unread
from rag.retrieval.trace_records import Advice, Finding, Place, StageName
from rag.retrieval.trace_rows import (
    ChunkFacts,
    DocumentIndex,
    list_exclusions,
    list_inside,
    read_document_index,
    read_failure,
)
from rag.retrieval.trace_subject import Subject

#: What is said of the stages that would tell whether something exists that the person may not see.
_HIDDEN = "Nothing is said of documents that you may not see."
_FIRST_STAGES: tuple[StageName, ...] = ("uploaded", "parsed", "chunked", "excluded", "embedded")


def judge_corpus(
    conn: Connection[Any],
    subject: Subject,
    chunk: ChunkFacts | None,
    mode: str,
    documents: Sequence[UUID] | None,
    scope: int | None = None,
) -> list[Finding]:
    """The stages up to the search itself; ``chunk`` is the one that is followed."""
    if subject.hidden:
        unsaid = [Finding(name, None, _HIDDEN) for name in _FIRST_STAGES]
        return [*unsaid, Finding("visible", False, "No document that you may see has this id.", {}, _ASK_OWNER)]
    findings = [_uploaded(subject), _parsed(conn, subject)]
    elsewhere = subject.document is not None and subject.document.collection_id != subject.collection.id
    if subject.document is None or elsewhere:
        reason = "It can't be said before the document is here." if elsewhere else "It can't be said without the place."
        findings += [Finding(name, None, reason) for name in ("chunked", "excluded", "embedded")]
    else:
        made = read_document_index(conn, subject.index.id, subject.document.id) if subject.index else None
        findings += [
            _chunked(subject, subject.document, made, chunk),
            _excluded(conn, subject, chunk),
            _embedded(conn, subject, made, chunk, mode),
        ]
    findings.append(_visible(subject))
    if documents is not None:
        findings.append(_filtered(subject, documents))
    if scope is not None:
        findings.append(_scoped(conn, subject, chunk, scope))
    return findings


_ASK_OWNER = (Advice("If you think that it exists, ask its owner to share its collection with you."),)


def _uploaded(subject: Subject) -> Finding:
    document = subject.document
    if document is None:
        return Finding("uploaded", None, "Which document it should be in isn't known.")
    if document.collection_id != subject.collection.id:
        words = f"“{document.name}” is in another collection; this search looks in “{subject.collection.name}”."
        advice = Advice("Search the collection that it is in, or upload it here.", place=Place("document", document.id))
        return Finding("uploaded", False, words, {"document": document.name}, (advice,))
    words = f"“{document.name}” was uploaded on {document.created_at:%d %b %Y}."
    return Finding("uploaded", True, words, {"document": document.name, "bytes": document.size})


def _parsed(conn: Connection[Any], subject: Subject) -> Finding:
    document = subject.document
    if document is not None and document.collection_id != subject.collection.id:
        return Finding("parsed", None, "It can't be said before the document is here.")
    if document is None:
        return _phrase_nowhere(conn, subject)
    if not document.text_revision:
        return _unread(document)
    figures = {"characters": document.char_count, "pages": document.page_count, "revision": document.text_revision}
    if subject.phrase is None:
        return Finding("parsed", True, f"Its text has {document.char_count or 0:,} characters.", figures)
    if subject.place is None:
        words = f"The phrase is not in the text that was read from “{document.name}”."
        advice = Advice(
            "Look at the text as it was read, and correct it: a scan, a picture or a table may have lost it.",
            place=Place("document", document.id),
        )
        return Finding("parsed", False, words, figures, (advice,))
    return Finding("parsed", True, _describe_place(subject, subject.place), figures | _place_figures(subject.place))


def _place_figures(place: Occurrence) -> dict[str, Any]:
    return {"start": place.start, "end": place.end, "likeness": place.likeness, "alike": round(place.alike, 3)}


def _describe_place(subject: Subject, place: Occurrence) -> str:
    where = f"at characters {place.start:,} to {place.end:,}"
    others = f" It is in {subject.mentions:,} documents in all." if subject.mentions > 1 else ""
    if place.likeness == "exact":
        return f"The phrase is in its text as it stands, {where}.{others}"
    if place.likeness == "spelled":
        return f"The phrase is in its text, {where}, but {_join(place.differences)} differ.{others}"
    return f"Only approximately: {place.alike:.0%} of the letters agree, {where}.{others}"


def _join(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _unread(document: DocumentRow) -> Finding:
    figures: dict[str, Any] = {"stage": document.stage, "paused": document.paused, "reason": document.error}
    here = Place("document", document.id)
    if document.stage == "failed":
        advice = Advice(document.error_hint or "Retry it, or upload it in another format.", place=here)
        return Finding(
            "parsed", False, f"It could not be read: {document.error or 'no reason is known.'}", figures, (advice,)
        )
    if document.stage == "cancelled":
        advice = Advice("Retry it on the Documents page.", place=Place("documents"))
        return Finding("parsed", False, "Reading it was cancelled.", figures, (advice,))
    if document.paused:
        advice = Advice("Resume it on the Documents page.", place=Place("documents"))
        return Finding("parsed", False, "Reading it is paused.", figures, (advice,))
    words = "It is being read." if document.stage == "parsing" else "It waits for a worker to read it."
    advice = Advice("Wait a moment; Operations shows whether a worker is at it.", place=Place("operations"))
    return Finding("parsed", False, words, figures, (advice,))


def _phrase_nowhere(conn: Connection[Any], subject: Subject) -> Finding:
    unread = read_unread(conn, subject.collection.id)
    words = "No document that you may see holds it"
    figures: dict[str, Any] = {"documents": subject.collection.document_count, "unread": unread.total}
    advice = [Advice("Look for fewer of its words, or upload the document that says it.")]
    if unread.total:
        words += f"; {unread.total:,} of {subject.collection.document_count:,} have no text yet"
        named = f", among them {_join(unread.names)}" if unread.names else ""
        parts = {"failed": unread.failed, "waiting": unread.waiting, "paused": unread.paused}
        counted = _join([f"{number:,} {name}" for name, number in parts.items() if number])
        page = Place("documents") if unread.failed or unread.paused else Place("operations")
        advice.insert(0, Advice(f"It may be in those without text: {counted}{named}.", place=page))
    return Finding("parsed", False, words + ".", figures, tuple(advice))


def _chunked(subject: Subject, document: DocumentRow, made: DocumentIndex | None, chunk: ChunkFacts | None) -> Finding:
    if subject.index is None:
        advice = Advice("Build an index.", place=Place("indexes"))
        return Finding("chunked", False, "This collection has no active index yet.", {}, (advice,))
    if not document.text_revision or (subject.phrase is not None and subject.place is None):
        return Finding("chunked", None, "It can't be said without the text.")
    figures: dict[str, Any] = {"index": subject.index.id, "chunks": made.chunk_count if made else 0}
    if made is None or not made.chunk_count:
        words = "No chunks were made of it in this index yet."
        advice = Advice("Wait for a worker; Operations shows whether one is at it.", place=Place("operations"))
        return Finding("chunked", False, words, figures, (advice,))
    if chunk is None:
        return Finding("chunked", False, *_between_chunks(subject, made, figures, document))
    if subject.split:
        return _split(subject, figures, document)
    stale = "" if made.text_revision == document.text_revision else " They are of an earlier revision of the text."
    if subject.place is None:
        followed = f"the one nearest to the question, number {chunk.ordinal + 1:,}, is followed"
        words = f"It has {made.chunk_count:,} chunks; {followed}." if made.chunk_count > 1 else "It is one chunk."
        return Finding("chunked", True, words + stale, figures | {"chunk": chunk.ordinal + 1})
    held = sorted(c.ordinal + 1 for c in subject.whole)
    words = f"{_numbered(held)} of {made.chunk_count:,} {'holds' if len(held) == 1 else 'hold'} it from end to end."
    return Finding("chunked", True, words + stale, figures | {"holding": held, "chunk": chunk.ordinal + 1})


def _numbered(ordinals: Sequence[int]) -> str:
    shown = _join([f"{number:,}" for number in ordinals[:6]])
    return f"Chunk {shown}" if len(ordinals) == 1 else f"Chunks {shown}"


def _between_chunks(
    subject: Subject, made: DocumentIndex, figures: dict[str, Any], document: DocumentRow
) -> tuple[str, dict[str, Any], tuple[Advice, ...]]:
    if made.text_revision != document.text_revision:
        words = "The text was corrected, and its chunks are not made anew yet."
        return words, figures, (Advice("Wait for a worker.", place=Place("operations")),)
    advice = Advice("Look at the chunks beside the text.", place=_at(document, subject.place))
    return "None of its chunks holds this part of the text.", figures, (advice,)


def _split(subject: Subject, figures: dict[str, Any], document: DocumentRow) -> Finding:
    assert subject.place is not None
    held = [c.ordinal + 1 for c in subject.parts]
    length = subject.place.end - subject.place.start
    shares = [round(_overlap(c, subject.place) / length, 2) for c in subject.parts]
    words = f"No chunk holds it whole: it is split across {_numbered(held).lower()}."
    advice = (
        Advice("Build an index with larger chunks or more overlap.", place=Place("indexes")),
        Advice("Read the text where it is cut.", place=_at(document, subject.place)),
    )
    return Finding("chunked", False, words, figures | {"holding": held, "shares": shares}, advice)


def _overlap(chunk: ChunkFacts, place: Occurrence) -> int:
    return min(chunk.end, place.end) - max(chunk.start, place.start)


def _at(document: DocumentRow, place: Occurrence | None) -> Place:
    return Place("document", document.id, place.start, place.end) if place else Place("document", document.id)


def _excluded(conn: Connection[Any], subject: Subject, chunk: ChunkFacts | None) -> Finding:
    if chunk is None:
        return Finding("excluded", None, "It can't be said without a chunk.")
    out = sum(c.excluded for c in subject.chunks)
    figures = {"left out": out, "of": len(subject.chunks)}
    if not chunk.excluded:
        words = f"{out:,} of its {len(subject.chunks):,} chunks are left out of search; this one isn't."
        return Finding("excluded", True, words if out else "Nothing of it is left out of search.", figures)
    marks = list_exclusions(conn, chunk.document_id, chunk.start, chunk.end)
    start, end = marks[0] if marks else (chunk.start, chunk.end)
    words = "Its chunk is left out of search by a mark on the text."
    if out > 1:
        words = f"All {out:,} of its chunks are left out of search by marks on the text."
    advice = Advice("Take the exclusion back, under Marks.", place=Place("document", chunk.document_id, start, end))
    return Finding("excluded", False, words, figures | {"mark": [start, end]}, (advice,))


def _embedded(
    conn: Connection[Any], subject: Subject, made: DocumentIndex | None, chunk: ChunkFacts | None, mode: str
) -> Finding:
    if chunk is None or subject.index is None:
        return Finding("embedded", None, "It can't be said without a chunk.")
    home = "the active index" if subject.index.active else f"index {subject.index.id}"
    figures: dict[str, Any] = {"model": subject.index.model, "index": subject.index.id}
    if made is not None:
        figures |= {"chunks": made.chunk_count, "embedded": made.embedded_count, "failed": made.failed_count}
    if chunk.embedded:
        return Finding("embedded", True, f"It has a vector of {subject.index.model} in {home}.", figures)
    failure = read_failure(conn, chunk.document_id, chunk.id)
    words = f"It has no vector of {subject.index.model} in {home} yet."
    advice = Advice("Wait for a worker; Operations shows whether one is at it.", place=Place("operations"))
    if failure:
        words = f"It could not be embedded: {failure}"
        advice = Advice("Retry it under “Failed work”.", place=Place("operations"))
    if mode == "lexical":
        return Finding("embedded", True, words + " A search by words alone needs none.", figures)
    changes = (Advice("Search by words alone meanwhile.", fix={"mode": "lexical", "threshold": None}),)
    return Finding("embedded", False, words, figures, (advice, *changes))


def _visible(subject: Subject) -> Finding:
    collection = subject.collection
    if subject.document is None:
        words = f"You may read {collection.document_count:,} documents here; nothing is said of others."
        return Finding("visible", None, words, {"role": collection.role})
    article = "a" if collection.role == "viewer" else "an"
    how = f"you are {article} {collection.role}" if collection.is_member else "it is public"
    return Finding("visible", True, f"You may read this collection: {how}.", {"role": collection.role})


def _filtered(subject: Subject, documents: Sequence[UUID]) -> Finding:
    figures = {"chosen": len(documents)}
    if subject.document is None:
        return Finding("filtered", None, f"The search is restricted to {len(documents):,} documents.", figures)
    if subject.document.id in documents:
        return Finding("filtered", True, f"It is one of the {len(documents):,} documents that are searched.", figures)
    advice = Advice("Search all documents, or choose this one too.")
    words = f"The search is restricted to {len(documents):,} other documents."
    return Finding("filtered", False, words, figures, (advice,))


def _scoped(conn: Connection[Any], subject: Subject, chunk: ChunkFacts | None, scope_id: int) -> Finding:
    scope = read_scope(conn, scope_id)
    figures = {"passages": scope.passages, "documents": scope.documents}
    if chunk is None or subject.index is None:
        return Finding("scoped", None, f"The search is kept to {scope.size}.", figures)
    inside = list_inside(conn, scope_id, subject.index.id, [c.id for c in subject.chunks])
    if chunk.id in inside:
        return Finding("scoped", True, f"It is one of the {scope.size} that are searched.", figures)
    words = f"The search is kept to {scope.size}, and this passage is none of them."
    advice = Advice("Search the whole collection, or select this passage too.")
    return Finding("scoped", False, words, figures, (advice,))
