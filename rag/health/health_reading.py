"""What a health check reads of an index, as the person who asked for it: what they don't see is not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import namedtuple_row

#: Runs of the collection that are looked at, the newest ones.
MOST_RUNS = 20
_FETCHED = 2000

_UNRETRIEVED = """
    with counted as materialized (
        select r.id, (r.profile ->> 'k')::int as k, (r.profile ->> 'threshold')::real as threshold, r.started_at
        from public.evaluation_runs r
        where r.collection_id = %(collection)s and r.state = 'done' order by r.id desc limit %(most)s
    ), found as materialized (
        select h.hit ->> 'd' as document, min(h.rank) as best,
               bool_or(h.rank <= c.k and (
                   c.threshold is null or h.hit ->> 'sim' is null or (h.hit ->> 'sim')::real >= c.threshold
               )) as returned
        from counted c
        join public.evaluation_results e on e.run_id = c.id
        cross join lateral jsonb_array_elements(e.hits) with ordinality as h (hit, rank)
        group by 1
    )
    select d.id, f.best::int
    from public.index_documents x
    join public.documents d on d.id = x.document_id
    left join found f on f.document = d.id::text
    where x.index_id = %(index)s and x.chunk_count > 0 and coalesce(f.returned, false) = false
      and d.created_at < (select max(c.started_at) from counted c)
    order by d.created_at, d.id
"""


class ChunkText(NamedTuple):
    """One passage of the index."""

    id: int
    document_id: UUID
    start: int
    end: int
    tokens: int
    text: str


class Asked(NamedTuple):
    """What was asked of the corpus so far: runs, and questions each counted once."""

    runs: int
    questions: int


def read_chunks(conn: Connection[Any], index_id: int) -> Iterator[ChunkText]:
    """Every passage of the index in the order of the documents, excluded ones too: they may come back."""
    with conn.cursor(name="health_chunks", row_factory=namedtuple_row) as cursor:
        cursor.itersize = _FETCHED
        cursor.execute(
            "select id, document_id, start_char, end_char, token_count, text from public.chunks"
            " where index_id = %s order by document_id, ordinal, id",
            [index_id],
        )
        for row in cursor:
            yield ChunkText(*row)


def read_texts(conn: Connection[Any], chunk_ids: Sequence[int]) -> dict[int, str]:
    """The texts of some passages."""
    rows = conn.execute("select id, text from public.chunks where id = any (%s)", [list(chunk_ids)])
    return {row[0]: row[1] for row in rows}


def read_documents(conn: Connection[Any], index_id: int) -> Iterator[tuple[UUID, int, str]]:
    """Document, revision and text of all that the index holds."""
    with conn.cursor(name="health_documents") as cursor:
        cursor.itersize = 20
        cursor.execute(
            "select x.document_id, t.revision, t.text from public.index_documents x"
            " join public.documents d on d.id = x.document_id"
            " join public.document_texts t on t.document_id = x.document_id and t.revision = x.text_revision"
            " where x.index_id = %s order by d.created_at, d.id",
            [index_id],
        )
        yield from cursor


def read_vectors(conn: Connection[Any], index_id: int) -> Iterator[tuple[list[int], NDArray[np.float16]]]:
    """(chunks [n], vectors [n, d]) some at a time."""
    with conn.cursor(name="health_vectors", binary=True) as cursor:
        cursor.execute(
            "select chunk_id, embedding from public.embeddings where index_id = %s order by document_id, chunk_id",
            [index_id],
        )
        while rows := cursor.fetchmany(_FETCHED):
            yield [row[0] for row in rows], np.stack([row[1].to_numpy() for row in rows]).astype(np.float16)


def read_asked(conn: Connection[Any], collection_id: UUID) -> Asked:
    """The runs that :func:`read_unretrieved` looks at."""
    row = conn.execute(
        "select count(distinct r.id), count(distinct e.question_id) from ("
        " select id from public.evaluation_runs where collection_id = %s and state = 'done' order by id desc limit %s"
        ") r join public.evaluation_results e on e.run_id = r.id",
        [collection_id, MOST_RUNS],
    ).fetchone()
    assert row is not None
    return Asked(*row)


def read_unretrieved(conn: Connection[Any], collection_id: UUID, index_id: int) -> list[tuple[UUID, int | None]]:
    """Documents that no question of a run was answered with: none of their passages was among the k returned.

    With the best rank that one had all the same, within what runs keep. Newer documents than the last run are left out.
    """
    values = {"collection": collection_id, "index": index_id, "most": MOST_RUNS}
    return [(row[0], row[1]) for row in conn.execute(_UNRETRIEVED, values)]


def read_content_state(conn: Connection[Any], index_id: int) -> dict[str, Any]:
    """What the index holds now, whatever is excluded from it."""
    row = conn.execute("select corpuscope.content_state(%s)", [index_id]).fetchone()
    return dict(row[0]) if row else {}
