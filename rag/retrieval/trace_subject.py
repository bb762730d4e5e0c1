"""What an explanation is about: a document, or the places of a phrase, with the chunks that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.corpus.collections import get_collection
from rag.corpus.documents import get_document
from rag.errors import NotFound
from rag.records import Collection, DocumentRow
from rag.retrieval.phrase_matching import Occurrence
from rag.retrieval.trace_phrases import find_documents, find_in_document
from rag.retrieval.trace_rows import ChunkFacts, IndexFacts, list_chunk_facts, read_index


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked for, as far as it was found: a document, a place in it, and the chunks that hold that place.

    ``whole`` are the chunks that hold the phrase from end to end, or all of a document's; ``parts`` those that hold a
    piece of a phrase which none holds whole. ``mentions`` counts the documents with the phrase.
    """

    collection: Collection
    index: IndexFacts | None
    document: DocumentRow | None = None
    phrase: str | None = None
    place: Occurrence | None = None
    whole: list[ChunkFacts] = field(default_factory=list)
    parts: list[ChunkFacts] = field(default_factory=list)
    mentions: int = 0
    hidden: bool = False

    @property
    def chunks(self) -> list[ChunkFacts]:
        return self.whole or self.parts

    @property
    def split(self) -> bool:
        return bool(self.parts) and not self.whole


def find_subject(
    conn: Connection[Any], collection_id: UUID, index_id: int | None, document_id: UUID | None, phrase: str | None
) -> list[Subject]:
    """All that could be meant, one for each place of a phrase; one without a document where there is none.

    Raises :class:`NotFound` for a collection or an index that the person can't see.
    """
    collection = get_collection(conn, collection_id)
    index = read_index(conn, collection_id, index_id)
    nobody = Subject(collection, index, phrase=phrase)
    if document_id is not None:
        try:
            document = get_document(conn, document_id)
        except NotFound:
            return [Subject(collection, index, phrase=phrase, hidden=True)]
        if phrase is None or document.collection_id != collection_id:
            return [_of_document(conn, nobody, document)]
        places = find_in_document(conn, document_id, phrase)
        found = _of_places(conn, nobody, [(document_id, places)])
        return found or [Subject(collection, index, document, phrase)]
    assert phrase is not None, "a document or a phrase is looked for"
    held = find_documents(conn, collection_id, phrase, index.id if index else None)
    return _of_places(conn, nobody, held) or [nobody]


def _of_document(conn: Connection[Any], base: Subject, document: DocumentRow) -> Subject:
    chunks = list_chunk_facts(conn, base.index.id, [document.id]) if base.index else []
    return Subject(base.collection, base.index, document, base.phrase, None, chunks)


def _of_places(conn: Connection[Any], base: Subject, held: Sequence[tuple[UUID, list[Occurrence]]]) -> list[Subject]:
    documents = [document for document, places in held if places]
    chunks: dict[UUID, list[ChunkFacts]] = {}
    for chunk in list_chunk_facts(conn, base.index.id, documents) if base.index else []:
        chunks.setdefault(chunk.document_id, []).append(chunk)
    found = []
    for document_id, places in held:
        if not places:
            continue
        document = get_document(conn, document_id)
        for place in places:
            near = [c for c in chunks.get(document_id, []) if c.start < place.end and c.end > place.start]
            whole = [c for c in near if c.start <= place.start and c.end >= place.end]
            found.append(
                Subject(base.collection, base.index, document, base.phrase, place, whole, near, len(documents))
            )
    return found
