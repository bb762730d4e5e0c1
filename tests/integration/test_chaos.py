"""A person changes everything while two workers work: at the end all is as if it had been done quietly."""

from __future__ import annotations

import random
import time
from uuid import UUID

import pytest

from rag.corpus.texts import correct_text
from rag.errors import CorpuscopeError
from rag.settings import load_settings
from rag.store.database import Database
from rag.work.jobs import Backoff
from tests.integration.workshop import Workshop, prose, wait_for

pytestmark = pytest.mark.drill

SECONDS = 10.0

ACTS = {
    "edit": "update public.chunks set text = 'Edited at ' || clock_timestamp() || ' ' || id where id % 17 = {n} % 17",
    "same": "update public.chunks set text = text where id % 5 = {n} % 5",
    "drop": "delete from public.chunks where id % 53 = {n} % 53",
    "label": "select public.set_document_language('{document}', case when random() < 0.5 then 'en' else 'de' end)",
    "pause": "select public.pause_documents(array ['{document}']::uuid[])",
    "resume": "select public.resume_documents(array ['{document}']::uuid[])",
    "cancel": "select public.cancel_documents(array ['{document}']::uuid[])",
    "retry": "select public.retry_documents(array ['{document}']::uuid[])",
    "exclude": (
        "insert into public.span_marks (document_id, collection_id, start_char, end_char, kind)"
        " select id, collection_id, 10 * {n}, 10 * {n} + 400, 'exclusion' from public.documents where id = '{document}'"
    ),
    "include": "delete from public.span_marks where document_id = '{document}'",
    "delete": "delete from public.documents where id = '{document}' and random() < 0.2",
    "build": "select public.build_index('{collection}', '{{\"max_tokens\": 64}}') where random() < 0.2",
}


def meddle(shop: Workshop, seed: int) -> list[str]:
    """Act at random for a while; returns the errors met."""
    print(f"{seed=}")
    errors: list[str] = []
    chance = random.Random(seed)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        documents: list[UUID] = [id for (id,) in shop.rows("select id from public.documents order by id")]
        act = chance.choice([*ACTS, "correct", "store"])
        document = chance.choice(documents)
        try:
            if act == "store":
                shop.store(f"{seed}-{time.monotonic_ns()}.txt", prose(10, seed=chance.randrange(10**6)))
            elif act == "correct":
                revision = shop.value("select text_revision from public.documents where id = %s", document)
                with shop.database.as_user(shop.user) as conn:
                    correct_text(conn, document, revision, 0, 0, f"New {chance.random()}.\n\n")
            else:
                values = {"n": chance.randrange(100), "document": document, "collection": shop.collection}
                shop.run(ACTS[act].format(**values))
        except (CorpuscopeError, IndexError) as error:
            errors.append(f"{act}: {error!r} {error.__cause__!r}")
    return errors


def test_nothing_is_lost_stale_or_stuck(database: Database, alice: UUID) -> None:
    shop = Workshop(database, load_settings(None), alice)
    for n in range(8):
        shop.store(f"{n}.txt", prose(40, seed=n))
    quick = Backoff(first_s=0.1, growth=1.2)
    with shop.working(backoff=quick), shop.working(backoff=quick):
        errors = meddle(shop, seed=random.randrange(1000))
        shop.run("select public.resume_documents(array(select id from public.documents))")
        shop.run("select public.retry_documents(array(select id from public.documents))")
        wait_for(shop.is_finished, 120)
    # A refusal in words is fine; one person alone deadlocks with nobody, if the workers wait for no lock.
    assert not [error for error in errors if "DatabaseError" in error]
    assert {stage for (stage,) in shop.rows("select stage from public.documents")} <= {"ready"}
    shop.check_vectors()
    assert shop.rows("select * from public.failed_jobs") == []
    assert [row for row in shop.rows("select public.index_is_complete(id) from public.indexes") if not row[0]] == []
    excluded = "select count(*) from public.chunks c join public.embeddings e on e.chunk_id = c.id"
    assert shop.value(f"{excluded} where e.excluded <> c.excluded") == 0
