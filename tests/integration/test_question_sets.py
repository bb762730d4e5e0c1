"""Sets of labelled questions: kept, judged, imported and exported; judgements survive corrections and re-chunking."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from rag.corpus.collections import delete_collection
from rag.corpus.documents import delete_documents
from rag.corpus.texts import correct_text, restore_revision
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.evaluation.exporting import COLUMNS, export_layout, export_rows, to_jsonl
from rag.evaluation.importing import (
    Imported,
    ImportPlan,
    add_documents,
    plan_import,
    store_import,
    undo_import,
    with_documents,
)
from rag.evaluation.judged_passages import (
    change_grade,
    find_passages,
    judge,
    list_passages,
    restore_judgement,
    take_back,
)
from rag.evaluation.judgements import THUMBS_SET, Judgement, judge_hit, read_judgements, verdicts
from rag.evaluation.question_sets import (
    add_question,
    create_set,
    delete_set,
    find_set,
    get_set,
    list_questions,
    list_sets,
    rename_set,
)
from rag.evaluation.questions import (
    decide_drafts,
    delete_questions,
    edit_question,
    page_questions,
    restore_questions,
    restore_states,
)
from rag.evaluation.set_files import read_files
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search
from rag.store.database import Database
from tests.integration.library import LAKE, PUMP, Library

EVAL = Path(__file__).parents[2].parent / "shared" / "eval"
WORDS = RetrievalProfile(mode="lexical")
PHRASE = "27 months from delivery"


@pytest.fixture
def library(database: Database, alice: UUID) -> Library:
    return Library(database, alice, {"pump.md": PUMP, "lake.txt": LAKE})


@pytest.fixture
def questions(library: Library, database: Database, alice: UUID) -> int:
    """The id of an empty set of Alice's."""
    with database.as_user(alice) as conn:
        return create_set(conn, library.collection, "Support")


def document_of(conn: Connection[Any], name: str) -> UUID:
    row = conn.execute("select id from public.documents where name = %s", [name]).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found


def take_in(conn: Connection[Any], set_id: int, *files: tuple[str, bytes]) -> tuple[ImportPlan, Imported]:
    plan = plan_import(conn, set_id, read_files(files))
    return plan, store_import(conn, set_id, plan, plan.judgements)


def test_a_set_is_made_named_and_counted(database: Database, library: Library, questions: int, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        question = add_question(conn, questions, "  How long is\nthe warranty? ")
        add_question(conn, questions, "Why?", state="draft", origin="drafted")
        judge(conn, question, document_of(conn, "pump.md"))
        rename_set(conn, questions, "Support of 2026", "What people ask")
        (found,) = list_sets(conn, library.collection)
        assert (found.name, found.accepted, found.drafts, found.judged, found.judgements) == (
            "Support of 2026",
            1,
            1,
            1,
            1,
        )
        assert find_set(conn, library.collection, "support OF 2026") == found
        assert [one.text for one in list_questions(conn, questions)] == ["How long is the warranty?"]
        with pytest.raises(NotFound):
            find_set(conn, library.collection, "Other")
        delete_set(conn, questions)
        assert list_sets(conn, library.collection) == []


def test_names_and_questions_are_there_once(database: Database, library: Library, questions: int, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        add_question(conn, questions, "How long?")
    for text in ("how  LONG?", "How long?\u00a0"):
        with pytest.raises(InvalidInput, match="in this set already"), database.as_user(alice) as conn:
            add_question(conn, questions, text)
    with pytest.raises(InvalidInput, match="of that name"), database.as_user(alice) as conn:
        create_set(conn, library.collection, "SUPPORT")
    for text in (" ", "x" * 8001):
        with pytest.raises(InvalidInput), database.as_user(alice) as conn:
            add_question(conn, questions, text)


def test_questions_come_by_the_page(database: Database, questions: int, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        ids = [add_question(conn, questions, f"Question number {n}?") for n in range(25)]
        judge(conn, ids[7], document_of(conn, "pump.md"), grade=2)
        judge(conn, ids[8], document_of(conn, "pump.md"), grade=0)
        page = page_questions(conn, questions, limit=10, offset=20)
        assert ([one.id for one in page.questions], page.total) == (ids[20:], 25)
        page = page_questions(conn, questions, text="NUMBER 1", limit=5)
        assert ([one.id for one in page.questions], page.total) == ([ids[1], *ids[10:14]], 11)
        assert [one.id for one in page_questions(conn, questions, answered=True).questions] == [ids[7]]
        assert page_questions(conn, questions, answered=False).total == 24
        assert page_questions(conn, questions, state="draft").total == 0


def test_what_is_done_with_questions_can_be_undone(database: Database, questions: int, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        pump = document_of(conn, "pump.md")
        first = add_question(conn, questions, "How long?", external_id="q1")
        judge(conn, first, pump, 3, 9, grade=3)
        judge(conn, first, pump, grade=0)
        before = read_judgements(conn, questions)[first]
        assert edit_question(conn, first, "How long is it?") == "How long?"
        removed = delete_questions(conn, [first])
        assert read_judgements(conn, questions) == {}
        (again,) = restore_questions(conn, removed)
        (question,) = list_questions(conn, questions)
        assert (question.id, question.text, question.external_id) == (again, "How long is it?", "q1")
        assert read_judgements(conn, questions)[again] == before

        drafts = [add_question(conn, questions, f"Draft {n}?", state="draft") for n in range(3)]
        states = decide_drafts(conn, questions, "accepted")
        assert sorted(states) == drafts
        assert get_set(conn, questions).accepted == 4
        restore_states(conn, states)
        assert get_set(conn, questions).drafts == 3


def test_judging_by_hand(database: Database, library: Library, questions: int, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        question = add_question(conn, questions, "How long?")
        (found,) = find_passages(conn, library.collection, "27  MONTHS\nfrom delivery")
        assert (found.document, found.text) == ("pump.md", PHRASE)
        assert PUMP[found.start : found.end] == PHRASE
        assert found.before.endswith("pump is ")
        assert find_passages(conn, library.collection, "no such words") == []
        id_ = judge(conn, question, found.document_id, found.start, found.end, 2)
        assert judge(conn, question, found.document_id, found.start, found.end, 3) == id_
        (passage,) = list_passages(conn, question)
        assert (passage.grade, passage.text, passage.document) == (3, PHRASE, "pump.md")
        change_grade(conn, id_, 1)
        taken = take_back(conn, id_)
        assert list_passages(conn, question) == []
        restore_judgement(conn, taken)
        assert list_passages(conn, question)[0].grade == 1
        with pytest.raises(NotFound):
            judge(conn, question, found.document_id, 5, 10**6)
        with pytest.raises(InvalidInput):
            judge(conn, question, found.document_id, grade=4)


def one_hit(conn: Connection[Any], library: Library) -> Hit:
    hit = search(conn, library.collection, "warranty", None, WORDS)[0]
    assert hit.document == "pump.md"
    return hit


def test_thumbs_make_their_set_and_are_taken_back(database: Database, library: Library, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        hit = one_hit(conn, library)
        question = judge_hit(conn, None, "Which warranty?", hit, 1, library.collection)
        assert judge_hit(conn, None, " which  WARRANTY? ", hit, 0, library.collection) == question
        (made,) = list_sets(conn, library.collection)
        assert (made.name, made.accepted, made.judgements) == (THUMBS_SET, 1, 1)
        assert verdicts(conn, library.collection, "which warranty?") == [
            Judgement(hit.document_id, hit.start, hit.end, 0)
        ]
        assert verdicts(conn, library.collection, "another question") == []
        judge_hit(conn, None, "Which warranty?", hit, None, library.collection)
        assert verdicts(conn, library.collection, "which warranty?") == []
        other = create_set(conn, library.collection, "Mine")
        judge_hit(conn, other, "Which warranty?", hit, 2, library.collection)
        assert get_set(conn, other).judgements == 1


def test_a_hit_of_a_text_that_was_corrected_is_not_judged(database: Database, library: Library, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        hit = one_hit(conn, library)
        correct_text(conn, hit.document_id, 1, 0, 6, "Eagle")
        with pytest.raises(InvalidInput, match="corrected"):
            judge_hit(conn, None, "Which warranty?", hit, 1, library.collection)


def test_judgements_move_with_corrections(database: Database, questions: int, alice: UUID) -> None:
    start = PUMP.index(PHRASE)
    with database.as_user(alice) as conn:
        pump = document_of(conn, "pump.md")
        question = add_question(conn, questions, "How long?")
        judge(conn, question, pump, start, start + len(PHRASE), 2)
        judge(conn, question, pump, start + 10, start + 10 + len(PHRASE), 1)  # where the first one will pass through
        judge(conn, question, pump)
        correct_text(conn, pump, 1, 0, 0, "0123456789")
        moved = {one.start: one.text for one in list_passages(conn, question)}
        assert moved[start + 10] == PHRASE
        assert start + 20 in moved
        assert {one.text_revision for one in list_passages(conn, question)} == {2}
        restore_revision(conn, pump, 1)
        assert (pump, start, start + len(PHRASE), 2) in read_judgements(conn, questions)[question]


def test_judgements_whose_text_goes_go_too_and_twins_become_one(
    database: Database, questions: int, alice: UUID
) -> None:
    with database.as_user(alice) as conn:
        pump = document_of(conn, "pump.md")
        question = add_question(conn, questions, "How long?")
        judge(conn, question, pump, 0, 6, 1)
        judge(conn, question, pump, 20, 30, 1)
        judge(conn, question, pump, 20, 32, 3)
        correct_text(conn, pump, 1, 0, 8, "")
        assert [(one.start, one.end) for one in read_judgements(conn, questions)[question]] == [(12, 22), (12, 24)]
        correct_text(conn, pump, 2, 22, 24, "")
        assert [one[1:] for one in read_judgements(conn, questions)[question]] == [(12, 22, 3)]


def test_judgements_survive_another_chunking(database: Database, library: Library, questions: int, alice: UUID) -> None:
    """They say which characters answer: a chunk of any index overlaps them or doesn't."""
    start = PUMP.index(PHRASE)
    with database.as_user(alice) as conn:
        pump = document_of(conn, "pump.md")
        judge(conn, add_question(conn, questions, "How long?"), pump, start, start + len(PHRASE), 3)
        before = read_judgements(conn, questions)
    with database.as_owner() as conn:
        conn.execute("delete from public.chunks where document_id = %s", [pump])
        conn.execute(
            """
            insert into public.chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text)
            select c.active_index_id, %s, c.id, n, n * 40, n * 40 + 40, substr(%s, n * 40 + 1, 40)
            from public.collections c, generate_series(0, 4) n
            """,
            [pump, PUMP],
        )
        chunks = conn.execute(
            "select start_char, end_char from public.chunks where document_id = %s", [pump]
        ).fetchall()
    with database.as_user(alice) as conn:
        assert read_judgements(conn, questions) == before
    ((_, first, last, _),) = next(iter(before.values()))
    relevant = [PUMP[a:b] for a, b in sorted(chunks) if a < last and first < b]
    assert PHRASE in "".join(relevant)
    assert len(relevant) < len(chunks)


def test_a_document_takes_its_judgements_with_it(database: Database, questions: int, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        pump = document_of(conn, "pump.md")
        judge(conn, add_question(conn, questions, "How long?"), pump)
        delete_documents(conn, [pump])
        assert read_judgements(conn, questions) == {}
        assert get_set(conn, questions).accepted == 1


TABLE = f"""question,document,phrase,start,end,grade
How long is the warranty?,pump.md,{PHRASE},,,3
How long is the warranty?,Lake,,,,0
What do ducks eat?,LAKE.TXT,,0,8,2
What do ducks eat?,otter.txt,,,,2
What do ducks eat?,lake.txt,elm trees,,,2
What do ducks eat?,lake.txt,,5,9999,2
Why?,,,,,
"""


def test_a_table_is_imported_with_a_plan_first(database: Database, questions: int, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        plan = plan_import(conn, questions, read_files([("set.csv", TABLE.encode())]))
        assert (len(plan.read.questions), len(plan.judgements), plan.known) == (3, 3, 0)
        assert plan.matched == {
            "pump.md": "pump.md",
            "Lake": "lake.txt",
            "LAKE.TXT": "lake.txt",
            "lake.txt": "lake.txt",
        }
        assert plan.unknown == ["otter.txt"]
        assert [problem.line for problem in plan.problems] == [5, 6, 7]
        assert list_questions(conn, questions) == []  # nothing is written by a plan

        imported = store_import(conn, questions, plan, plan.judgements)
        assert (len(imported.new_questions), len(imported.new_judgements)) == (3, 3)
        asked = {one.text: one for one in list_questions(conn, questions)}
        (passage, lake) = list_passages(conn, asked["How long is the warranty?"].id)
        assert (passage.text, passage.grade, passage.origin) == (PHRASE, 3, "imported")
        assert (lake.document, lake.start, lake.grade) == ("lake.txt", None, 0)
        assert list_passages(conn, asked["What do ducks eat?"].id)[0].text == LAKE[:8]

        plan, again = take_in(conn, questions, ("set.csv", TABLE.replace(",,3\n", ",,1\n").encode()))
        assert (plan.known, again.new_questions, again.new_judgements, again.judgements) == (3, [], [], 3)
        assert list_passages(conn, asked["How long is the warranty?"].id)[0].grade == 1
        undo_import(conn, again)
        assert len(list_questions(conn, questions)) == 3
        undo_import(conn, imported)
        assert list_questions(conn, questions) == []


def test_documents_of_the_same_name_are_told_apart_by_id(
    database: Database, library: Library, questions: int, alice: UUID
) -> None:
    other = library.add("PUMP.md", "Another pump.")
    with database.as_user(alice) as conn:
        plan = plan_import(
            conn, questions, read_files([("a.csv", f"question,document\nWhy?,pump.md\nWhy?,{other}\n".encode())])
        )
    assert [one.document for one in plan.judgements] == [other]
    assert "2 documents are called" in plan.problems[0].text


def test_what_was_corrected_between_plan_and_import_is_left_out(
    database: Database, questions: int, alice: UUID
) -> None:
    with database.as_user(alice) as conn:
        plan = plan_import(conn, questions, read_files([("set.csv", TABLE.encode())]))
        correct_text(conn, document_of(conn, "pump.md"), 1, 0, 0, "New: ")
        assert store_import(conn, questions, plan, plan.judgements).judgements == 2


CORPUS = [
    {"id": "d1", "title": "Pump", "text": PUMP},
    {"id": "d2", "title": "", "text": "A third text,\r\nof otters."},
    {"id": "d3", "title": "Twin", "text": "A third text,\nof otters."},
]


def layout(**more: str) -> list[tuple[str, bytes]]:
    files = {
        "corpus.jsonl": "\n".join(map(json.dumps, CORPUS)),
        "queries.jsonl": '{"_id": "1", "text": "How long?"}',
        "qrels.tsv": "1\td1\t1\n1\td2\t2\n1\td3\t1\n",
        "spans.jsonl": json.dumps({"query_id": "1", "doc_id": "d2", "start": 15, "end": 24, "text": "of otters"}),
    }
    return [(name, text.encode()) for name, text in (files | more).items()]


def test_documents_that_are_missing_come_with_the_set(
    database: Database, library: Library, questions: int, alice: UUID
) -> None:
    with database.as_user(alice) as conn:
        plan = plan_import(conn, questions, read_files(layout()))
    assert plan.matched == {"d1": "pump.md"}  # by its text
    assert [document.id for document in plan.missing] == ["d2", "d3"]
    assert (len(plan.judgements), len(plan.waiting), plan.problems) == (1, 2, [])
    steps: list[int] = []
    made = add_documents(
        lambda: database.as_user(alice), library.collection, plan, max_bytes=2**20, on_progress=steps.append
    )
    assert steps == [2]
    assert made["d2"] == made["d3"]  # the same characters
    with database.as_user(alice) as conn:
        store_import(conn, questions, plan, with_documents(plan, made))
        (question,) = list_questions(conn, questions)
        judged = set(read_judgements(conn, questions)[question.id])
    assert judged == {
        Judgement(document_of_user(database, alice, "pump.md"), None, None, 1),
        Judgement(made["d2"], 14, 23, 2),
        Judgement(made["d2"], None, None, 1),
    }
    with database.as_worker() as conn:  # what the ingest job does
        conn.execute(
            "insert into public.document_texts (document_id, revision, text) values (%s, 1, %s)",
            [made["d2"], "A third text,\nof otters."],
        )
    with database.as_user(alice) as conn:
        assert "of otters" in [one.text for one in list_passages(conn, question.id)]
        again = plan_import(conn, questions, read_files(layout()))
    assert (again.missing, again.waiting, again.known) == ([], [], 1)


def document_of_user(database: Database, user: UUID, name: str) -> UUID:
    with database.as_user(user) as conn:
        return document_of(conn, name)


def judged_texts(conn: Connection[Any], set_id: int) -> dict[str, list[tuple[str, str, int]]]:
    return {
        question.text: sorted(
            (one.document, (one.text or "") if one.start is not None else "", one.grade)
            for one in list_passages(conn, question.id)
        )
        for question in list_questions(conn, set_id)
    }


@pytest.mark.parametrize("form", ["csv", "jsonl", "zip"])
def test_what_is_exported_comes_back_the_same(
    database: Database, library: Library, questions: int, alice: UUID, form: str
) -> None:
    from pages.parts.downloads import to_csv

    with database.as_user(alice) as conn:
        take_in(conn, questions, ("set.csv", TABLE.encode()))
        pump = document_of(conn, "pump.md")
        formula = add_question(conn, questions, "=cmd|'/c calc'!A1", external_id="@id")
        judge(conn, formula, pump, grade=2)
        judge(conn, formula, pump, 3, 30, grade=0)
        before = judged_texts(conn, questions)
        rows = export_rows(conn, questions)
        if form == "zip":
            file = ("set.zip", export_layout(conn, questions))
            with zipfile.ZipFile(io.BytesIO(file[1])) as archive:
                assert sorted(archive.namelist()) == ["corpus.jsonl", "qrels.tsv", "queries.jsonl", "spans.jsonl"]
        elif form == "csv":
            file = ("set.csv", to_csv(rows, COLUMNS))
            assert b"\n'@id,'=cmd" in file[1].replace(b"\r", b"")
        else:
            file = ("set.jsonl", to_jsonl(rows))
        other = create_set(conn, library.collection, "Again")
        plan, _ = take_in(conn, other, file)
        assert plan.problems == []
        assert judged_texts(conn, other) == before
        named = {one.text: one.external_id for one in list_questions(conn, other)}
        assert named["=cmd|'/c calc'!A1"] == "@id"


def test_viewers_read_and_strangers_see_nothing(
    database: Database, library: Library, questions: int, alice: UUID, bob: UUID
) -> None:
    with database.as_user(alice) as conn:
        question = add_question(conn, questions, "How long?")
        id_ = judge(conn, question, document_of(conn, "pump.md"))
        hit = one_hit(conn, library)
    with database.as_user(bob) as conn:
        assert list_sets(conn, library.collection) == []
        assert verdicts(conn, library.collection, "How long?") == []
        with pytest.raises(NotFound):
            get_set(conn, questions)
        with pytest.raises(NotFound):
            add_question(conn, questions, "Mine?")
    with database.as_user(alice) as conn:
        conn.execute(
            "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
            [library.collection, bob],
        )
    refused: list[Any] = [
        lambda conn: create_set(conn, library.collection, "Bob's"),
        lambda conn: rename_set(conn, questions, "Bob's"),
        lambda conn: delete_set(conn, questions),
        lambda conn: add_question(conn, questions, "Mine?"),
        lambda conn: edit_question(conn, question, "Mine?"),
        lambda conn: delete_questions(conn, [question]),
        lambda conn: judge(conn, question, hit.document_id, 0, 5),
        lambda conn: change_grade(conn, id_, 0),
        lambda conn: judge_hit(conn, None, "How long?", hit, 1, library.collection),
        lambda conn: take_in(conn, questions, ("set.csv", TABLE.encode())),
    ]
    for act in refused:
        with pytest.raises(NotAllowed), database.as_user(bob) as conn:
            act(conn)
    with database.as_user(bob) as conn:
        assert [one.relevant for one in list_questions(conn, questions)] == [1]
        assert len(export_rows(conn, questions)) == 1


@pytest.mark.skipif(not EVAL.exists(), reason="the shared evaluation files are not beside this checkout")
def test_the_shared_set_with_passages_is_imported_whole(
    database: Database, library: Library, questions: int, alice: UUID
) -> None:
    files = [(path.name, path.read_bytes()) for path in sorted((EVAL / "chunking_eval").iterdir())]
    with database.as_user(alice) as conn:
        plan = plan_import(conn, questions, read_files(files))
    made = add_documents(lambda: database.as_user(alice), library.collection, plan, max_bytes=2**20)
    with database.as_user(alice) as conn:
        stored = store_import(conn, questions, plan, with_documents(plan, made))
        found = get_set(conn, questions)
    assert (len(stored.new_questions), found.judged, plan.problems) == (220, 220, [])
    assert stored.judgements == found.judgements == len({(one.question, one.start, one.end) for one in plan.waiting})


def test_a_new_version_takes_over_what_was_judged(
    database: Database, library: Library, questions: int, alice: UUID
) -> None:
    start = PUMP.index(PHRASE)
    gone = PUMP.index("The pump weighs")
    with database.as_user(alice) as conn:
        pump = document_of(conn, "pump.md")
        question = add_question(conn, questions, "How long?")
        judge(conn, question, pump, start, start + len(PHRASE), 3)
        judge(conn, question, pump, gone, gone + 20, 1)
        judge(conn, question, pump, grade=2)
    newer = library.add("pump.md", "Second edition.\n" + PUMP.replace("The pump weighs 12 kg.", ""))
    with database.as_owner() as conn:
        conn.execute("update public.documents set replaces = %s, stage = 'embedding' where id = %s", [pump, newer])
        conn.execute("select corpuscope.settle_documents(array [%s::uuid])", [newer])
        assert conn.execute("select from public.documents where id = %s", [pump]).fetchone() is None
    with database.as_user(alice) as conn:
        assert sorted(read_judgements(conn, questions)[question], key=lambda one: one.grade) == [
            Judgement(newer, None, None, 2),
            Judgement(newer, start + 16, start + 16 + len(PHRASE), 3),
        ]
        assert [one.text for one in list_passages(conn, question) if one.start is not None] == [PHRASE]


def test_a_collection_goes_with_versions_that_wait(
    database: Database, library: Library, questions: int, alice: UUID
) -> None:
    with database.as_user(alice) as conn:
        pump = document_of(conn, "pump.md")
        judge(conn, add_question(conn, questions, "How long?"), pump)
    newer = library.add("pump.md", "Second edition.")
    with database.as_owner() as conn:
        conn.execute("update public.documents set replaces = %s where id = %s", [pump, newer])
    with database.as_user(alice) as conn:
        delete_collection(conn, library.collection)
        assert conn.execute("select count(*) from public.judgements").fetchone() == (0,)
