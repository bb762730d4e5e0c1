"""The lexical index: what is written, kept in step, swept, and how it scores."""

from __future__ import annotations

import math
import threading
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from rag.errors import NotAllowed
from rag.store.database import Database
from tests.integration.searchable import active_index, add_document, index_chunks

TEXTS = [
    "The boundary layer separates from the upper surface of the wing.",
    "Cats and dogs play in the garden behind the house.",
    "Heat transfer in a laminar boundary layer with slip flow at the wall.",
    "The garden has a boundary of old stone walls and hedges.",
]


def candidates(conn: Connection[Any], collection: UUID, question: str, **options: Any) -> list[tuple[Any, ...]]:
    """(chunk, score, rank, matched) by rank."""
    names = "".join(f", {name} => %({name})s" for name in options)
    query = f"select * from corpuscope.lexical_candidates(%(index)s, %(question)s{names}) order by rank"
    values = {"index": active_index(conn, collection), "question": question, **options}
    return conn.execute(query.encode(), values).fetchall()


def ask(database: Database, user: UUID, collection: UUID, question: str, **options: Any) -> list[int]:
    with database.as_user(user) as conn:
        return [row[0] for row in candidates(conn, collection, question, **options) if row[2] is not None]


def counts(database: Database) -> dict[str, int]:
    """Postings as they are, beside what the counters say of them."""
    with database.as_owner() as conn:
        row = conn.execute(
            "select (select count(*) from corpuscope.postings), (select sum(chunks) from corpuscope.lexeme_counts),"
            " (select count(*) from corpuscope.chunk_terms), (select sum(chunks) from corpuscope.lexical_totals),"
            " (select sum(length) from corpuscope.chunk_terms), (select sum(length) from corpuscope.lexical_totals)"
        ).fetchone()
    assert row is not None
    names = ("postings", "counted", "chunks", "counted chunks", "length", "counted length")
    return {name: int(value or 0) for name, value in zip(names, row, strict=True)}


def is_consistent(found: dict[str, int]) -> bool:
    return (found["postings"], found["chunks"], found["length"]) == (
        found["counted"],
        found["counted chunks"],
        found["counted length"],
    )


def bm25(question: list[str], documents: list[list[str]]) -> list[float]:
    """Robertson's formula with Lucene's idf, k1 = 1.5, b = 0.75."""
    average = sum(map(len, documents)) / len(documents)
    scores = []
    for words in documents:
        score = 0.0
        for word in question:
            df = sum(word in other for other in documents)
            idf = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
            tf = words.count(word)
            score += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * len(words) / average))
        scores.append(score)
    return scores


def test_scores_are_those_of_bm25(database: Database, corpus: UUID, alice: UUID) -> None:
    stems = [
        "boundari layer separ upper surfac wing",
        "cat dog play garden behind hous",
        "heat transfer laminar boundari layer slip flow wall",
        "garden boundari old stone wall hedg",
    ]
    expected = bm25(["boundari", "layer", "garden"], [line.split() for line in stems])
    _, ids = add_document(database, corpus, TEXTS)
    with database.as_user(alice) as conn:
        rows = candidates(conn, corpus, "Boundaries of layers, in gardens?")
    assert {row[0]: row[1] for row in rows} == pytest.approx(dict(zip(ids, expected, strict=True)), abs=1e-5)
    assert [row[2] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0][3]) == {"boundari", "layer"}


def test_neighbours_of_short_chunks_lift_them(database: Database, corpus: UUID, alice: UUID) -> None:
    """Both chunks with "alpha" are alike, but one stands beside "beta"."""
    filler = [f"filler{n} nothing{n}" for n in range(150)]
    _, ids = add_document(database, corpus, [*filler, "alpha here", *filler, "alpha here", "beta there", "end"])
    first, second = ids[150], ids[301]
    assert ask(database, alice, corpus, "alpha beta")[:2] in ([second, ids[302]], [ids[302], second])
    assert ask(database, alice, corpus, "alpha") in ([first, second], [second, first])


def test_indexing_twice_changes_nothing(database: Database, corpus: UUID) -> None:
    _, ids = add_document(database, corpus, TEXTS)
    before = counts(database)
    assert before["postings"] == 26
    assert is_consistent(before)
    assert index_chunks(database, ids) == 0
    assert counts(database) == before


def test_a_changed_chunk_is_found_by_its_new_words_only(database: Database, corpus: UUID, alice: UUID) -> None:
    _, ids = add_document(database, corpus, TEXTS)
    with database.as_user(alice) as conn:
        conn.execute("update chunks set text = 'Submarine propellers' where id = %s", [ids[1]])
    assert index_chunks(database, ids) == 1
    assert ask(database, alice, corpus, "submarines") == [ids[1]]
    assert ask(database, alice, corpus, "dogs") == []
    assert is_consistent(counts(database))


def test_a_changed_language_changes_the_stems(database: Database, corpus: UUID, alice: UUID) -> None:
    document, ids = add_document(database, corpus, ["Die Häuser stehen am Fluss."], language=None)
    assert ask(database, alice, corpus, "Haus") == []
    with database.as_user(alice) as conn:
        conn.execute("select set_document_language(%s, 'de')", [document])
    assert index_chunks(database, ids) == 1
    assert ask(database, alice, corpus, "Haus") == ids


def test_deleted_chunks_are_not_found_and_then_swept(database: Database, corpus: UUID, alice: UUID) -> None:
    gone, _ = add_document(database, corpus, TEXTS)
    _, kept = add_document(database, corpus, ["A wing in a garden."], name="b.txt")
    with database.as_user(alice) as conn:
        conn.execute("delete from documents where id = %s", [gone])
    assert ask(database, alice, corpus, "wing garden") == kept
    assert counts(database)["chunks"] == 5
    steps = sweep(database, 3)
    assert steps == [3, 1]
    after = counts(database)
    assert (after["chunks"], after["postings"]) == (1, 2)
    assert is_consistent(after)


def test_a_deleted_collection_leaves_nothing(database: Database, corpus: UUID, alice: UUID) -> None:
    add_document(database, corpus, TEXTS * 20)
    with database.as_user(alice) as conn:
        conn.execute("delete from collections where id = %s", [corpus])
    assert len(sweep(database, 2)) > 1
    assert set(counts(database).values()) == {0}
    with database.as_owner() as conn:
        assert conn.execute("select count(*) from corpuscope.lexical_garbage").fetchone() == (0,)


def sweep(database: Database, size: int) -> list[int]:
    """Steps of the sweep until nothing is left."""
    steps: list[int] = []
    while not steps or steps[-1]:
        with database.as_worker() as conn:
            row = conn.execute("select corpuscope.sweep_lexical(%s)", [size]).fetchone()
        assert row is not None
        steps.append(row[0])
    return steps[:-1]


def test_workers_at_the_same_chunks_index_each_once(database: Database, corpus: UUID) -> None:
    _, ids = add_document(database, corpus, [f"{text} Number {n}." for n in range(50) for text in TEXTS], index=False)
    done: list[int] = []

    def work(order: int) -> None:
        for start in range(0, len(ids), 20):
            done.append(index_chunks(database, ids[start : start + 20][::order]))

    threads = [threading.Thread(target=work, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == len(ids)
    found = counts(database)
    assert found["chunks"] == len(ids)
    assert is_consistent(found)


def test_excluded_chunks_and_other_documents_never_shorten_the_result(
    database: Database, corpus: UUID, alice: UUID
) -> None:
    first, ids = add_document(database, corpus, [f"wing {n}" for n in range(400)])
    second, others = add_document(database, corpus, [f"wing number {n} of a long list" for n in range(300)], name="b")
    assert len(ask(database, alice, corpus, "wing", documents=[second])) == 200
    assert set(ask(database, alice, corpus, "wing", documents=[second])) <= set(others)
    with database.as_user(alice) as conn:
        conn.execute(
            "insert into span_marks (document_id, collection_id, start_char, end_char, kind)"
            " values (%s, %s, 0, 100000, 'exclusion')",
            [first, corpus],
        )
    found = ask(database, alice, corpus, "wing")
    assert len(found) == 200
    assert not set(found) & set(ids)


def test_a_question_of_common_words_alone_finds_something(database: Database, corpus: UUID, alice: UUID) -> None:
    texts = [f"{'wing ' * (1 + n % 3)} {'tail' if n % 2 else 'body'}" for n in range(9000)]
    add_document(database, corpus, texts)
    found = ask(database, alice, corpus, "wing tail body")
    assert len(found) == 200


def test_frequent_words_of_a_question_still_count(database: Database, corpus: UUID, alice: UUID) -> None:
    """Candidates come from the rare word; among them the common word decides."""
    texts = [f"alpha {'rare' if n % 100 == 0 else 'filler'} {'common' if n % 200 else 'padding'}" for n in range(9000)]
    _, ids = add_document(database, corpus, texts)
    best = ask(database, alice, corpus, "rare common")[:45]
    assert set(best) == {ids[n] for n in range(0, 9000, 100) if n % 200}


def test_only_those_who_may_view_the_index_may_ask(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    add_document(database, corpus, TEXTS)
    with database.as_owner() as conn:
        home = active_index(conn, corpus)
    with pytest.raises(NotAllowed), database.as_user(bob) as conn:
        conn.execute("select * from corpuscope.lexical_candidates(%s, 'garden')", [home])
    for table in ("lexemes", "postings", "chunk_terms", "lexeme_counts", "lexical_totals", "lexical_garbage"):
        with pytest.raises(NotAllowed), database.as_user(alice) as conn:
            conn.execute(f"select from corpuscope.{table}".encode())


def test_other_chunks_are_scored_without_a_rank(database: Database, corpus: UUID, alice: UUID) -> None:
    _, ids = add_document(database, corpus, TEXTS)
    with database.as_user(alice) as conn:
        rows = candidates(conn, corpus, "garden boundary", depth=1, also=[ids[0], ids[3]])
    assert [(row[0], row[2]) for row in rows] == [(ids[3], 1), (ids[0], None)]
    assert rows[1][1] == pytest.approx(math.log(1 + 1.5 / 3.5) / (1 + 0.375 + 1.125 * 6 / 6.5), abs=1e-5)


def test_no_word_in_many_chosen_chunks_finds_nothing(database: Database, corpus: UUID, alice: UUID) -> None:
    """More than 2,000 chunks are not read one by one: their candidates come from the words, and here none do."""
    many, _ = add_document(database, corpus, [f"Stone {n}." for n in range(2001)], name="many.txt")
    add_document(database, corpus, TEXTS, name="few.txt")
    assert ask(database, alice, corpus, "garden", documents=[many]) == []
    assert len(ask(database, alice, corpus, "garden stone", documents=[many], depth=5)) == 5


def test_equal_chunks_are_ranked_in_order(database: Database, corpus: UUID, alice: UUID) -> None:
    """Whatever order their words are looked up in: the sums agree to the last bit."""
    words = ["layer", "boundary", "laminar", "wing", "slip", "heat", "flow", "transfer", "surface"]
    _, ids = add_document(database, corpus, [" ".join(words)] * 40 + TEXTS)
    assert ask(database, alice, corpus, " ".join(words[::-1]))[:40] == ids[:40]
