"""The sample corpus: loaded once, loaded again without harm, and rich enough for its questions."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.corpus.documents import delete_documents, list_documents
from rag.corpus.samples import SAMPLE_NAME, SAMPLE_QUESTIONS, load_sample, read_sample_files
from rag.store.database import Database


@pytest.mark.usefixtures("corpus")
def test_loading_twice_stores_once_and_brings_back_what_was_deleted(database: Database, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        first = load_sample(conn)
        stored = list_documents(conn, first)
    assert {row.name for row in stored} == {name for name, _ in read_sample_files()}
    with database.as_user(alice) as conn:
        delete_documents(conn, [stored[0].id])
        assert load_sample(conn) == first
        assert len(list_documents(conn, first)) == len(stored)


@pytest.mark.usefixtures("corpus")
def test_a_shared_sample_that_one_may_only_read_is_left_alone(database: Database, alice: UUID, bob: UUID) -> None:
    with database.as_user(alice) as conn:
        hers = load_sample(conn)
        conn.execute("insert into public.collection_members values (%s, %s, 'viewer')", [hers, bob])
    with database.as_user(bob) as conn:
        assert load_sample(conn) != hers


def test_the_corpus_is_varied_and_valid() -> None:
    contents = dict(read_sample_files())
    assert 12 <= len(contents) <= 20
    assert {name.rsplit(".", 1)[1] for name in contents} >= {"md", "txt", "csv", "html", "eml"}
    for name, data in contents.items():
        assert data.decode("utf-8").strip(), name
    assert SAMPLE_NAME == "Sample corpus"


@pytest.mark.parametrize(
    ("question", "file", "answer"),
    [
        (SAMPLE_QUESTIONS[0], "employee-handbook.md", "28 days of paid leave"),
        (SAMPLE_QUESTIONS[1], "support-faq.md", "the sensor WR2-190 is free"),
        (SAMPLE_QUESTIONS[2], "incident-report-2026-02.md", "6,100 stations"),
        (SAMPLE_QUESTIONS[3], "heron-pro-installation-guide.md", "12 metres a second"),
        (SAMPLE_QUESTIONS[4], "field-study-humidity-drift.md", "| Oban | 6.3 | 1.2 | 11 |"),
        (SAMPLE_QUESTIONS[5], "price-list-2026.csv", "24700.00"),
        (SAMPLE_QUESTIONS[6], "kurzanleitung-wren-2.md", "bis zu drei Grad zu hoch"),
        (SAMPLE_QUESTIONS[7], "supplier-quality-agreement.txt", "1.8 litres a minute"),
    ],
)
def test_every_sample_question_has_its_answer(question: str, file: str, answer: str) -> None:
    assert question.endswith("?")
    assert answer in " ".join(dict(read_sample_files())[file].decode().split())
