"""A collection with a map of it, written past the triggers: documents, chunks and points, no vectors."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from rag.corpus.collections import create_collection
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database
from rag.vectors.models import PACKAGED

CHUNKS_A_DOCUMENT = 50
LEAVES = 60

_DOCUMENTS = """
    insert into public.documents (id, collection_id, name, size, sha256, language, stage, text_revision, char_count)
    select md5(%(collection)s::text || n)::uuid, %(collection)s, 'document ' || n || '.txt', 1,
           sha256(convert_to(%(collection)s::text || n, 'UTF8')), 'en', 'ready', 1, 20000
    from generate_series(0, (%(points)s - 1) / %(each)s) n
"""
_INDEX_DOCUMENTS = """
    insert into public.index_documents
        (index_id, document_id, collection_id, text_revision, chunk_count, embedded_count)
    select %(index)s, md5(%(collection)s::text || n)::uuid, %(collection)s, 1, %(each)s, %(each)s
    from generate_series(0, (%(points)s - 1) / %(each)s) n
"""
_CHUNKS = """
    insert into public.chunks
        (index_id, document_id, collection_id, ordinal, start_char, end_char, text, token_count, language)
    select %(index)s, md5(%(collection)s::text || n / %(each)s)::uuid, %(collection)s, n %% %(each)s,
           n %% %(each)s * 400, n %% %(each)s * 400 + 390,
           'Passage ' || n || ' of topic ' || n %% %(leaves)s || ': '
               || repeat('word' || n %% 977 || ' and word' || n %% 1009 || ', ', 12), 80, 'en'
    from generate_series(0, %(points)s - 1) n
"""
_POINTS = """
    insert into public.map_points (map_id, place, chunk_id, collection_id, document_id, x, y, leaf)
    select %(map)s, n, first.id + n, %(collection)s, md5(%(collection)s::text || n / %(each)s)::uuid,
           least(65535, greatest(0, 32768 + random_normal() * 1300
               + 24000 * cos(n %% %(leaves)s) * (1 + .25 * sin(n %% %(leaves)s * 3.0)))),
           least(65535, greatest(0, 32768 + random_normal() * 1500 + 24000 * sin(n %% %(leaves)s * 1.7))),
           case when n %% %(leaves)s = %(leaves)s - 1 then -1 else n %% %(leaves)s end
    from generate_series(0, %(points)s - 1) n
    cross join (select coalesce(min(id), 1000000000) as id from public.chunks where index_id = %(index)s) first
"""


class DrawnCorpus(NamedTuple):
    """What was made; everything belongs to the local user."""

    collection: UUID
    map: int


def draw_corpus(admin: Connection[Any], database: Database, name: str, points: int, *, texts: bool) -> DrawnCorpus:
    """``admin`` may set session_replication_role, which leaves out triggers and foreign keys.

    Without ``texts`` there are points alone.
    """
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', %s, 384, 256, '', '')", [PACKAGED])
    with database.as_user(LOCAL_USER) as conn:
        collection = create_collection(conn, name)
        row = conn.execute("select active_index_id from public.collections where id = %s", [collection]).fetchone()
    assert row is not None
    admin.execute("set session_replication_role = replica")
    made = admin.execute(
        "insert into public.maps (collection_id, index_id, state, settings, points, drawn_at, finished_at)"
        " values (%s, %s, 'done', '{\"neighbours\": 15, \"min_dist\": 0.1}', %s, now(), now()) returning id",
        [collection, row[0], points],
    ).fetchone()
    assert made is not None
    values = {
        "collection": collection,
        "index": row[0],
        "map": made[0],
        "points": points,
        "each": CHUNKS_A_DOCUMENT,
        "leaves": LEAVES,
    }
    for statement in (_DOCUMENTS, _INDEX_DOCUMENTS, _CHUNKS, _POINTS) if texts else (_POINTS,):
        admin.execute(statement.encode(), values)
    admin.execute("reset session_replication_role")
    admin.execute("vacuum analyze public.map_points")
    return DrawnCorpus(collection, made[0])
