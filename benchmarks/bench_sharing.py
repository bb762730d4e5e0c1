"""Sharing: 100,000 chunks in 1,000 collections, for people who see 1, 10 and 100 % of these, against raw SQL.

Three people are members of 10, 100 and all collections. Each searches one of their collections, lists its documents and
lists their collections, in a transaction of their own; the superuser's SQL returns the same columns of the same rows in
one of its own, without policies. A collection of 100 chunks is searched in a millisecond, most of it fixed costs, so
the search is also compared with that of somebody who is in this one collection only. Arms take turns, so that what
else the machine does falls on all.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import Connection

from benchmarks.bench_search import _OUTPUT, _SCAN, RLS_TARGET, _compare, _race, _set_plans
from benchmarks.search_corpus import DIMENSIONS, Row, Vectors, cluster, write_texts
from rag.corpus.collections import list_collections
from rag.corpus.documents import list_documents
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search
from rag.store.bootstrap import ensure_user
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres

ROWS = 100_000
COLLECTIONS = 1_000
QUERIES = 150
DOCUMENTS = 5
SHARES = (1, 10, 100)

_COLLECTIONS = """
    select c.id, c.name, c.description, m.role, c.active_index_id,
           (select count(*)::int from documents d where d.collection_id = c.id) as document_count, c.created_at,
           c.is_public, true as is_member
    from collections c join collection_members m on m.collection_id = c.id and m.user_id = %(person)s
    order by lower(c.name), c.created_at"""
_DOCUMENTS = """
    select d.id, d.collection_id, d.name, d.title, d.media_type, d.size, d.language, d.stage, d.stage_at, d.paused,
           d.error, d.error_hint, d.error_code, d.text_revision, d.page_count, d.char_count, x.chunk_count,
           x.embedded_count, x.failed_count, d.created_at
    from documents d join collections c on c.id = d.collection_id
    join index_documents x on x.index_id = c.active_index_id and x.document_id = d.id
    where d.collection_id = %(collection)s order by d.created_at desc, d.name"""

Arm = Callable[[NDArray[Any]], list[int]]


@dataclass
class Member:
    """A person and the collections they see; the same collection is searched by all three."""

    share: int
    user: UUID
    collection: UUID
    index: int


def run(rows: int = ROWS, queries: int = QUERIES) -> list[Row]:
    """Measure on an embedded server of its own; about four minutes."""
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "home") as server,
        open_embedded(server) as database,
        psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as admin,
    ):
        register_vector(admin)
        _set_plans(admin)
        vectors, questions = cluster(rows, queries)
        fill(admin, vectors)
        measured: list[Row] = []
        alone, *members = add_members(admin)
        database.pool.wait()  # so that the app has one connection, like the raw SQL, and of one age
        with psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as raw:
            register_vector(raw)
            _set_plans(raw)
            for member in members:
                for name, arms in arms_of(raw, database, member).items():
                    measured.append(compare(name, member, arms, questions))
                measured.append(measure_policies(raw, database, member, questions))
                measured += measure_alone(database, alone, member, questions)
        return measured


def compare(name: str, member: Member, arms: dict[str, Arm], questions: Vectors) -> Row:
    times, results = _race(arms, questions)
    assert results["ours"][-1] == results["raw"][-1], f"{name}: the two arms found different rows"
    title = f"{name}, {member.share} % of {COLLECTIONS:,} collections visible, over raw SQL"
    return _compare(title, times["ours"], times["raw"], RLS_TARGET)


def fill(admin: Connection[Any], vectors: Vectors) -> None:
    """The chunks dealt out to collections, written past the triggers; words indexed as a worker would."""
    print(f"  writing {len(vectors):,} chunks into {COLLECTIONS:,} collections…", file=sys.stderr, flush=True)
    row = admin.execute("select corpuscope.register_model('local', 'one', %s, 256, '', '')", [DIMENSIONS]).fetchone()
    assert row is not None
    values = {
        "model": row[0],
        "collections": COLLECTIONS,
        "documents": DOCUMENTS,
        "chunks": len(vectors) // COLLECTIONS // DOCUMENTS,
    }
    with admin.transaction():
        admin.execute("set local session_replication_role = replica")
        for statement in _FILL:
            admin.execute(statement.encode(), values)
        places = admin.execute("select index_id, document_id, collection_id from index_documents").fetchall()
        _copy(admin, places, values, vectors)
    ids = [row[0] for row in admin.execute("select id from chunks order by id")]
    for start in range(0, len(ids), 64):
        admin.execute("select corpuscope.index_lexical(%s)", [ids[start : start + 64]])
    admin.execute("vacuum analyze")
    print("  building the vector index…", file=sys.stderr, flush=True)
    admin.execute("select corpuscope.ensure_vector_index(%(model)s)", values)
    admin.execute("vacuum analyze")


_FILL = (
    "insert into collections (name) select 'Collection ' || n from generate_series(1, %(collections)s) n",
    "insert into indexes (collection_id, model_id, chunking, state)"
    " select id, %(model)s, '{}', 'active' from collections",
    "update collections c set active_index_id = i.id from indexes i where i.collection_id = c.id",
    "insert into documents (collection_id, name, size, sha256, language, text_revision, stage)"
    " select c.id, n::text, 1, sha256(n::text::bytea), 'en', 1, 'ready'"
    " from collections c, generate_series(1, %(documents)s) n",
    "insert into index_documents select i.id, d.id, d.collection_id, 1, %(chunks)s, %(chunks)s, 0"
    " from documents d join indexes i using (collection_id)",
)


def _copy(admin: Connection[Any], places: list[Any], values: Row, vectors: Vectors) -> None:
    size = values["chunks"]
    texts = write_texts(len(places) * size)
    columns = "index_id, document_id, collection_id, ordinal, start_char, end_char, text, language"
    with admin.cursor() as cursor, cursor.copy(f"copy chunks ({columns}) from stdin".encode()) as copy:
        for n, text in enumerate(texts):
            ordinal = n % size
            copy.write_row((*places[n // size], ordinal, ordinal * 1000, ordinal * 1000 + 999, text, "en"))
    ids = [row[0] for row in admin.execute("select id from chunks order by id")]
    columns = "chunk_id, model_id, index_id, document_id, collection_id, content_hash, embedding"
    with admin.cursor() as cursor, cursor.copy(f"copy embeddings ({columns}) from stdin".encode()) as copy:
        for n, chunk in enumerate(ids):
            copy.write_row((chunk, values["model"], *places[n // size], b"", HalfVector(vectors[n]).to_text()))


def add_members(admin: Connection[Any]) -> list[Member]:
    """Somebody in one collection, and three in more; that one is everybody's, and it is what all of them search."""
    found = []
    row = admin.execute("select id, active_index_id from collections order by id limit 1").fetchone()
    assert row is not None
    for share in (0, *SHARES):
        user = UUID(int=share + 100)
        ensure_user(admin, user, f"person{share}@example.org")
        admin.execute(
            "insert into collection_members select id, %s, 'editor' from collections order by id limit %s",
            [user, COLLECTIONS * share // 100 or 1],
        )
        found.append(Member(share, user, *row))
    admin.execute("vacuum analyze collection_members")
    return found


def arms_of(admin: Connection[Any], database: Database, member: Member) -> dict[str, dict[str, Arm]]:
    """What is compared: ours as the person, and the raw SQL; each gives something that must be equal."""
    dense = RetrievalProfile(mode="dense")
    scan = _OUTPUT.format(inner=_SCAN.format(index=member.index, filter=""))

    def ours(act: Callable[[Connection[Any], Any], list[Any]]) -> Arm:
        def arm(vector: NDArray[Any]) -> list[int]:
            with database.as_user(member.user) as conn:
                return act(conn, HalfVector(vector))

        return arm

    def raw(sql: str) -> Arm:
        values = {"person": member.user, "collection": member.collection}

        def arm(vector: NDArray[Any]) -> list[int]:
            given = values | {"vector": HalfVector(vector)}
            with admin.transaction():
                return [row[0] for row in admin.execute(sql.encode(), given, prepare=True)]

        return arm

    return {
        "search": {
            "raw": raw(scan),
            "ours": ours(lambda conn, v: [h.chunk_id for h in search(conn, member.collection, "x", v, dense)]),
        },
        "list_documents": {
            "raw": raw(_DOCUMENTS),
            "ours": ours(lambda conn, _: [document.id for document in list_documents(conn, member.collection)]),
        },
        "list_collections": {
            "raw": raw(_COLLECTIONS),
            "ours": ours(lambda conn, _: [collection.id for collection in list_collections(conn)]),
        },
    }


def measure_policies(raw: Connection[Any], database: Database, member: Member, questions: Vectors) -> Row:
    """The nearest chunks of all that one may see, by a client's own SQL under the policies, as over REST.

    The superuser's SQL is the same without a filter; where the person sees 1 % it has the same collections as filter,
    since there it is the filter that costs.
    """
    query = _NEAREST.format(model=1, filter="")
    theirs = f"and e.collection_id in (select collection_id from collection_members where user_id = '{member.user}')"
    arms = {
        "raw": lambda vector: _nearest(
            raw, query if member.share > 1 else _NEAREST.format(model=1, filter=theirs), vector
        ),
        "ours": lambda vector: _nearest_as(database, member.user, query, vector),
    }
    times, results = _race(arms, questions)
    assert min(map(len, results["ours"])) == 10, "a policy cost rows"
    title = f"nearest of all that is visible, {member.share} % of {COLLECTIONS:,} collections, over raw SQL"
    return _compare(title, times["ours"], times["raw"], RLS_TARGET)


_NEAREST = """
select e.chunk_id from embeddings e where e.model_id = {model} and not e.excluded {filter}
order by e.embedding::halfvec(384) <=> %(vector)b::halfvec(384) limit 10"""


def _nearest(conn: Connection[Any], query: str, vector: NDArray[Any]) -> list[int]:
    with conn.transaction():
        return [row[0] for row in conn.execute(query.encode(), {"vector": HalfVector(vector)}, prepare=True)]


def _nearest_as(database: Database, user: UUID, query: str, vector: NDArray[Any]) -> list[int]:
    with database.as_user(user) as conn:
        return [row[0] for row in conn.execute(query.encode(), {"vector": HalfVector(vector)}, prepare=True)]


def measure_alone(database: Database, alone: Member, member: Member, questions: Vectors) -> list[Row]:
    """The same searches by somebody in many collections and by somebody in one: what sharing as such costs."""
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.permutation(text.split())[:10]) for text in write_texts(len(questions))]
    found = []
    for mode in ("dense", "hybrid"):
        profile = RetrievalProfile.from_json({"mode": mode})

        def arm(person: Member, profile: RetrievalProfile = profile) -> Arm:
            words = iter(texts * 2)

            def act(vector: NDArray[Any]) -> list[int]:
                with database.as_user(person.user) as conn:
                    hits = search(conn, person.collection, next(words), HalfVector(vector), profile)
                    return [hit.chunk_id for hit in hits]

            return act

        times, _ = _race({"many": arm(member), "one": arm(alone)}, questions)
        name = f"{mode} search, {member.share} % of {COLLECTIONS:,} collections visible, over one visible"
        found.append(_compare(name, times["many"], times["one"], RLS_TARGET))
    return found
