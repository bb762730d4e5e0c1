"""What the triggers of ``chunks`` cost: a bulk insert with them over the same without, in turns in one session.

The triggers queue the chunks for embedding, keep the counters and look after exclusions and stages. Foreign keys and
the generated content hash are in both arms.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.corpus.collections import create_collection
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres

ROWS = 5000
ROUNDS = 15
TARGET = 1.3

# Made beforehand: what is measured is the insert, not the making of the text.
_SOURCE = """
    create temporary table source as
    select x.index_id, x.document_id, x.collection_id, i as ordinal, i * 800 as start_char, i * 800 + 800 as end_char,
           'Title > Heading ' || i / 20 as context, 150 as token_count,
           (select string_agg(md5(i::text || w), ' ') from generate_series(1, 24) w) as text
    from public.index_documents x, generate_series(1, %s) i
"""
_COLUMNS = "index_id, document_id, collection_id, ordinal, start_char, end_char, context, token_count, text"
_INSERT = f"insert into public.chunks ({_COLUMNS}) select {_COLUMNS} from source order by ordinal"


def run(rounds: int = ROUNDS, rows: int = ROWS) -> dict[str, object]:
    """One row: medians of the insert with triggers over without."""
    with (
        tempfile.TemporaryDirectory(prefix="corpuscope-bench-") as folder,
        EmbeddedPostgres(Path(folder)) as server,
        open_embedded(server) as database,
    ):
        _prepare(database)
        times: dict[str, list[float]] = {"enable": [], "disable": []}
        with database.as_owner() as conn:
            conn.execute(_SOURCE, [rows])
            for number in range(rounds + 1):
                for arm in ("enable", "disable") if number % 2 else ("disable", "enable"):
                    seconds = _insert(conn, arm)
                    if number:  # the first round only warms up
                        times[arm].append(seconds)
    ratio = statistics.median(times["enable"]) / statistics.median(times["disable"])
    return {
        "name": f"insert of {rows:,} chunks with triggers over without",
        "value": round(statistics.median(times["enable"]) * 1000, 1),
        "unit": "ms",
        "ratio": round(ratio, 3),
        "target": f"<= {TARGET}",
        "ok": ratio <= TARGET,
    }


def _prepare(database: Database) -> None:
    """A document in an index, without chunks."""
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    with database.as_user(LOCAL_USER) as conn:
        collection: UUID = create_collection(conn, "Triggers")
    with database.as_owner() as conn:
        conn.execute(
            "insert into public.documents (collection_id, name, size, sha256) values (%s, 'a', 1, sha256('a'))",
            [collection],
        )
        conn.execute(
            "insert into public.index_documents (index_id, document_id, collection_id, text_revision)"
            " select c.active_index_id, d.id, c.id, 1 from public.documents d join public.collections c on true"
        )


def _insert(conn: Connection[Any], arm: str) -> float:
    """Seconds of one insert into an empty table."""
    conn.execute("truncate public.chunks cascade")
    conn.execute("truncate pgmq.q_embed")
    conn.execute("update public.index_documents set chunk_count = 0, embedded_count = 0")
    conn.execute(f"alter table public.chunks {arm} trigger user".encode())
    conn.execute("vacuum public.index_documents")
    began = time.perf_counter()
    conn.execute(_INSERT)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=1))
