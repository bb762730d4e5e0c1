"""What the database says of one chunk's way through a search; ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from pgvector import HalfVector
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.errors import InvalidInput, NotFound
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import Vector


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """The index that is searched, the active one or the one that was chosen."""

    id: int
    state: str
    model: str
    active: bool


@dataclass(frozen=True, slots=True)
class DocumentIndex:
    """How far one document has come in that index."""

    text_revision: int
    chunk_count: int
    embedded_count: int
    failed_count: int


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """A chunk without its text."""

    id: int
    document_id: UUID
    ordinal: int
    start: int
    end: int
    excluded: bool
    embedded: bool


@dataclass(frozen=True, slots=True)
class DenseFacts:
    """Ranks by vector. ``leg_rank`` is None where the dense leg, ``depth`` deep, didn't pass the chunk on."""

    similarity: float | None
    exact_rank: int | None
    compared: int | None
    leg_rank: int | None
    depth: int
    by_graph: bool


@dataclass(frozen=True, slots=True)
class LexicalFacts:
    """BM25 of the chunk: ``rank`` is None outside of the leg's best ``depth``; ``would_rank`` is by score alone."""

    score: float | None
    rank: int | None
    would_rank: int | None
    best: float | None
    found: int
    depth: int


@dataclass(frozen=True, slots=True)
class Term:
    """One word of the question; ``chunks`` is None where no chunk has it, ``in_chunk`` while that isn't known."""

    word: str
    forms: list[str]
    dropped: bool
    chunks: int | None
    weight: float | None
    in_chunk: bool | None


def read_index(conn: Connection[Any], collection_id: UUID, index_id: int | None) -> IndexFacts | None:
    """The chosen index, or the active one; None when there is no active one. :class:`NotFound` for a strange id."""
    with conn.cursor(row_factory=class_row(IndexFacts)) as cursor:
        found = cursor.execute(
            """
            select i.id, i.state, m.name as model, i.id = c.active_index_id as active
            from public.collections c
            join public.indexes i on i.collection_id = c.id and i.id = coalesce(%s, c.active_index_id)
            join public.embedding_models m on m.id = i.model_id
            where c.id = %s
            """,
            [index_id, collection_id],
        ).fetchone()
    if found is None and index_id is not None:
        raise NotFound(f"This collection has no index {index_id}.")
    return found


def read_document_index(conn: Connection[Any], index_id: int, document_id: UUID) -> DocumentIndex | None:
    """None while nothing was made of the document in that index."""
    with conn.cursor(row_factory=class_row(DocumentIndex)) as cursor:
        return cursor.execute(
            "select text_revision, chunk_count, embedded_count, failed_count from public.index_documents"
            " where index_id = %s and document_id = %s",
            [index_id, document_id],
        ).fetchone()


def list_chunk_facts(conn: Connection[Any], index_id: int, documents: Sequence[UUID]) -> list[ChunkFacts]:
    """All chunks of these documents in the index, in text order."""
    with conn.cursor(row_factory=class_row(ChunkFacts)) as cursor:
        return cursor.execute(
            """
            select c.id, c.document_id, c.ordinal, c.start_char as start, c.end_char as "end", c.excluded,
                   exists (select from public.embeddings e where e.chunk_id = c.id) as embedded
            from public.chunks c where c.index_id = %s and c.document_id = any (%s) order by c.document_id, c.ordinal
            """,
            [index_id, list(documents)],
        ).fetchall()


def read_chunk_text(conn: Connection[Any], chunk_id: int) -> str:
    row = conn.execute("select text from public.chunks where id = %s", [chunk_id]).fetchone()
    return row[0] if row else ""


def list_exclusions(conn: Connection[Any], document_id: UUID, start: int, end: int) -> list[tuple[int, int]]:
    """Excluded spans of the document that touch these characters."""
    return conn.execute(
        "select start_char, end_char from public.span_marks where document_id = %s and kind = 'exclusion'"
        " and start_char < %s and end_char > %s order by 1",
        [document_id, end, start],
    ).fetchall()


def list_inside(conn: Connection[Any], scope: int, index_id: int, chunks: Sequence[int]) -> set[int]:
    """Those of the chunks of an index that are in a scope."""
    rows = conn.execute(
        "select c from unnest(%s::bigint[]) as c where c in (select public.scope_members(%s, %s))",
        [list(chunks), scope, index_id],
    )
    return {row[0] for row in rows}


def read_failure(conn: Connection[Any], document_id: UUID, chunk_id: int | None) -> str | None:
    """Why work on the document, or on this chunk of it, was given up on; None when it wasn't."""
    row = conn.execute(
        "select reason, hint from public.failed_jobs where document_id = %s and (chunk_id is null or chunk_id = %s)"
        " order by chunk_id is null, failed_at desc limit 1",
        [document_id, chunk_id],
    ).fetchone()
    return " ".join(part for part in row if part) if row else None


def list_similarities(conn: Connection[Any], chunks: Sequence[int], vector: Vector) -> dict[int, float]:
    """Cosine similarity to the question of those of the chunks that have a vector of as many dimensions."""
    half = _half(vector)
    rows = conn.execute(
        "select e.chunk_id, (1 - (e.embedding operator(extensions.<=>) %b::extensions.halfvec))::real"
        " from public.embeddings e where e.chunk_id = any (%s) and extensions.vector_dims(e.embedding) = %s",
        [half, list(chunks), half.dimensions()],
    )
    return dict(rows.fetchall())


def nearest_hit(conn: Connection[Any], chunk_id: int, hits: Sequence[int]) -> tuple[int, float] | None:
    """Of these chunks the one most similar to this, and how similar; None without vectors."""
    row = conn.execute(
        "select o.chunk_id, (1 - (o.embedding operator(extensions.<=>) e.embedding))::real"
        " from public.embeddings e join public.embeddings o on o.model_id = e.model_id"
        " where e.chunk_id = %s and o.chunk_id = any (%s) and o.chunk_id <> e.chunk_id order by 2 desc, 1 limit 1",
        [chunk_id, list(hits)],
    ).fetchone()
    return (row[0], row[1]) if row else None


def trace_dense(
    conn: Connection[Any],
    index_id: int,
    vector: Vector,
    profile: RetrievalProfile,
    documents: Sequence[UUID] | None,
    chunk_id: int,
    scope: int | None = None,
) -> DenseFacts:
    """Where the chunk stands by its vector; raises :class:`InvalidInput` for the vector of another model."""
    with conn.cursor(row_factory=class_row(DenseFacts)) as cursor:
        try:
            found = cursor.execute(
                "select * from corpuscope.trace_dense(%s, %b::extensions.halfvec, %s, %s, %s, %s)",
                [index_id, _half(vector), Jsonb(profile.to_json()), _list(documents), chunk_id, scope],
            ).fetchone()
        except psycopg.errors.NoDataFound as error:
            raise NotFound(error.diag.message_primary) from error
        except psycopg.errors.RaiseException as error:
            raise InvalidInput(error.diag.message_primary) from error
    assert found is not None
    return found


def trace_lexical(
    conn: Connection[Any],
    index_id: int,
    question: str,
    documents: Sequence[UUID] | None,
    depth: int,
    chunk_id: int,
    scope: int | None = None,
) -> LexicalFacts:
    """What the lexical leg, ``depth`` deep, says of the chunk; the function is the one that the search uses."""
    with conn.cursor(row_factory=class_row(LexicalFacts)) as cursor:
        found = cursor.execute(
            """
            with leg as materialized (
                select * from corpuscope.lexical_candidates(
                    %(index)s, %(question)s, %(documents)s, %(depth)s, %(also)s, %(scope)s
                )
            )
            select l.score, l.rank,
                   case when l.score > 0 then (
                       select 1 + count(*) from leg o where o.rank is not null and o.score > l.score
                   ) end as would_rank,
                   (select max(o.score) from leg o where o.rank <= 200) as best,
                   (select count(*) from leg o where o.rank is not null) as found, %(depth)s::int as depth
            from (select) one left join leg l on l.chunk_id = %(chunk)s
            """,
            {
                "index": index_id,
                "question": question,
                "documents": _list(documents),
                "depth": depth,
                "also": [chunk_id],
                "chunk": chunk_id,
                "scope": scope,
            },
        ).fetchone()
    assert found is not None
    return found


def trace_terms(conn: Connection[Any], index_id: int, question: str, chunk_id: int) -> list[Term]:
    """The words of the question as the lexical leg takes them, in the question's order."""
    with conn.cursor(row_factory=class_row(Term)) as cursor:
        # Another language of the index may keep a word that the chunk's own leaves out as too common.
        terms = cursor.execute(
            """
            select t.word, t.forms, t.chunks, t.weight, t.in_chunk,
                   t.dropped or (t.chunks is null and not exists (select from corpuscope.analyze_text(t.word, (
                       select c.language from public.chunks c where c.id = %(chunk)s
                   )))) as dropped
            from corpuscope.trace_terms(%(index)s, %(question)s, %(chunk)s) t
            """,
            {"index": index_id, "question": question, "chunk": chunk_id},
        ).fetchall()
    asked = question.casefold()
    return sorted(terms, key=lambda term: (asked.find(term.word) % (len(asked) + 1), term.word))


def read_trust(conn: Connection[Any], index_id: int) -> float:
    """The share of its weight that the cosine has in this index."""
    row = conn.execute("select corpuscope.model_trust(%s)", [index_id]).fetchone()
    return 1.0 if row is None or row[0] is None else float(row[0])


def _list(documents: Sequence[UUID] | None) -> list[UUID] | None:
    return None if documents is None else list(documents)


def _half(vector: Vector) -> HalfVector:
    return vector if isinstance(vector, HalfVector) else HalfVector(np.asarray(vector, np.float32))
