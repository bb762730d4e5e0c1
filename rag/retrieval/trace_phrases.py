"""Which documents of a collection hold a phrase, and which have no text to look in; ``conn`` is of who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.retrieval.phrase_matching import Occurrence, find_phrase, pattern_of

#: Characters of a collection up to which every text is looked at for a phrase: some three seconds.
_SCAN_LIMIT = 300_000_000
#: Documents that are looked at more closely: those that hold the phrase, or those with most of its words.
_DOCUMENTS = 20
_NEAR_DOCUMENTS = 10


@dataclass(frozen=True, slots=True)
class Unread:
    """Documents of a collection whose text nobody has read yet, or could."""

    failed: int
    waiting: int
    paused: int
    names: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.failed + self.waiting + self.paused


def find_in_document(conn: Connection[Any], document_id: UUID, phrase: str) -> list[Occurrence]:
    """Where the phrase stands in the document's current text."""
    row = conn.execute(
        "select t.text from public.documents d join public.document_texts t"
        " on t.document_id = d.id and t.revision = d.text_revision where d.id = %s",
        [document_id],
    ).fetchone()
    return find_phrase(row[0], phrase) if row else []


def find_documents(
    conn: Connection[Any], collection_id: UUID, phrase: str, index_id: int | None
) -> list[tuple[UUID, list[Occurrence]]]:
    """Documents of the collection that hold the phrase; where none does, the one that nearly does. At most 20.

    Every text is looked at as long as they come to less than 300 million characters together. The lexical index tells
    the rest: what is written in other forms, and what is nearly the phrase.
    """
    found = [(document, find_in_document(conn, document, phrase)) for document in _scan(conn, collection_id, phrase)]
    held = [(document, places) for document, places in found if _holds(places)]
    if held or index_id is None:
        return held
    near = [(document, find_in_document(conn, document, phrase)) for document in _by_words(conn, index_id, phrase)]
    held = [(document, places) for document, places in near if _holds(places)]
    best = sorted((one for one in near if one[1]), key=lambda one: -one[1][0].alike)
    return held or best[:1]


def _holds(places: Sequence[Occurrence]) -> bool:
    return any(place.likeness != "approximate" for place in places)


def _scan(conn: Connection[Any], collection_id: UUID, phrase: str) -> list[UUID]:
    size = conn.execute(
        "select coalesce(sum(char_count), 0) from public.documents where collection_id = %s", [collection_id]
    ).fetchone()
    if size is None or size[0] > _SCAN_LIMIT:
        return []
    rows = conn.execute(
        "select d.id from public.documents d join public.document_texts t"
        " on t.document_id = d.id and t.revision = d.text_revision"
        " where d.collection_id = %s and t.text ~* %s order by d.created_at, d.id limit %s",
        [collection_id, pattern_of(phrase), _DOCUMENTS],
    )
    return [row[0] for row in rows]


def _by_words(conn: Connection[Any], index_id: int, phrase: str) -> list[UUID]:
    rows = conn.execute(
        "select c.document_id from corpuscope.lexical_candidates(%s, %s, null, 50) l"
        " join public.chunks c on c.id = l.chunk_id group by 1 order by min(l.rank) limit %s",
        [index_id, phrase, _NEAR_DOCUMENTS],
    )
    return [row[0] for row in rows]


def read_unread(conn: Connection[Any], collection_id: UUID) -> Unread:
    """How many documents have no text, and the names of the first that failed."""
    with conn.cursor(row_factory=class_row(Unread)) as cursor:
        found = cursor.execute(
            """
            select count(*) filter (where stage in ('failed', 'cancelled'))::int as failed,
                   count(*) filter (where paused and stage not in ('failed', 'cancelled'))::int as paused,
                   count(*) filter (where not paused and stage not in ('failed', 'cancelled'))::int as waiting,
                   coalesce((array_agg(name order by name) filter (where stage in ('failed', 'cancelled')))[:5], '{}')
                       as names
            from public.documents where collection_id = %s and text_revision = 0
            """,
            [collection_id],
        ).fetchone()
    assert found is not None
    return found
