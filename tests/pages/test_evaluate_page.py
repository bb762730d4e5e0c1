"""Evaluate, section Questions: sets are made, filled by each of the ways, looked through, judged and downloaded."""

from __future__ import annotations

from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.product import Product
from rag.corpus.sharing import share
from rag.evaluation.draft_requests import latest_request
from rag.evaluation.drafting import draft
from rag.evaluation.errand import Errand
from rag.evaluation.judged_passages import judge, list_passages
from rag.evaluation.question_sets import add_question, create_set, get_set, list_questions, list_sets
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.door import BEN, make_first, make_person
from tests.integration.library import PUMP, Library, settings_for
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.visitors import Visitors, press

PHRASE = "27 months from delivery"


@pytest.fixture
def questions(database: Database, library: Library) -> int:
    """A set with one question that is judged and one that isn't."""
    with database.as_user(LOCAL_USER) as conn:
        made = create_set(conn, library.collection, "Support")
        start = PUMP.index(PHRASE)
        judge(conn, add_question(conn, made, "How long is it?"), pump(library), start, start + len(PHRASE), 2)
        add_question(conn, made, "<b>Why</b> not?")
    return made


def pump(library: Library) -> UUID:
    found: UUID = library.value("select id from public.documents where name = 'pump.md'")
    return found


def ids(database: Database, set_id: int) -> list[int]:
    with database.as_user(LOCAL_USER) as conn:
        return [question.id for question in list_questions(conn, set_id)]


def judged(database: Database, question: int) -> list[tuple[str | None, int]]:
    with database.as_user(LOCAL_USER) as conn:
        return [(one.text if one.start is not None else None, one.grade) for one in list_passages(conn, question)]


def test_without_a_set_the_page_says_what_one_is_for(open_page: OpenPage, library: Library, database: Database) -> None:
    app = open_page("evaluate")
    assert "No questions yet" in texts(app)
    press(app, "first_set")
    with database.as_user(LOCAL_USER) as conn:
        made = create_set(conn, library.collection, "Mine")
    app = open_page("evaluate")
    assert app.selectbox(key="set_picker").value == str(made)
    assert "This set has no questions yet." in texts(app)
    assert app.query_params["set"] == str(made)


def test_a_link_names_the_set_and_the_question(
    open_page: OpenPage, library: Library, questions: int, database: Database
) -> None:
    with database.as_user(LOCAL_USER) as conn:
        create_set(conn, library.collection, "Another")
    first, second = ids(database, questions)
    app = open_page("evaluate", set=str(questions), question=str(first))
    said = texts(app)
    assert "2 questions, 1 with an answer judged" in said
    assert PHRASE in said
    assert app.dataframe[0].value["Question"].tolist() == ["How long is it?", "<b>Why</b> not?"]
    app = open_page("evaluate", set=str(questions), question=str(second))
    assert "Nothing is judged yet" in texts(app)
    assert "<b>Why" not in texts(app).replace("\\<b>", "")
    app = open_page("evaluate", set="none", question="-1")
    assert not app.error


def filtered(app: AppTest, name: str) -> list[str]:
    picked = next(one for one in app.get("button_group") if one.key == "questions")
    picked.set_value(name).run()  # type: ignore[union-attr]
    assert not app.exception
    return list(app.dataframe[0].value["Question"])


def test_questions_are_filtered(open_page: OpenPage, questions: int) -> None:
    app = open_page("evaluate", set=str(questions))
    assert filtered(app, "open") == ["<b>Why</b> not?"]
    assert filtered(app, "answered") == ["How long is it?"]
    app.text_input(key="question_text").set_value("nowhere").run()
    assert "No question of this set fits" in texts(app)


def test_a_large_set_is_turned_by_the_page(open_page: OpenPage, library: Library, database: Database) -> None:
    with database.as_user(LOCAL_USER) as conn:
        made = create_set(conn, library.collection, "Large")
        for n in range(60):
            add_question(conn, made, f"Question {n}?")
    app = open_page("evaluate", set=str(made))
    assert len(app.dataframe[0].value) == 50
    press(app, "questions_after")
    assert app.dataframe[0].value["Question"].tolist() == [f"Question {n}?" for n in range(50, 60)]
    assert "51–60 of 60 questions" in texts(app)
    assert app.button(key="questions_after").disabled


def test_a_question_is_typed_in_and_judged_by_a_passage(
    open_page: OpenPage, questions: int, database: Database
) -> None:
    app = open_page("evaluate", set=str(questions))
    app.text_area[0].set_value("How heavy is the pump?")
    next(one for one in app.button if one.label == "Add the question").click().run()
    new = ids(database, questions)[-1]
    assert app.query_params["question"] == str(new)
    app.text_input(key=f"phrase-{new}-0").set_value("the pump WEIGHS 12 kg").run()
    assert "<mark>The pump weighs 12 kg</mark>" in texts(app)
    press(app, "judge-place-0")
    assert judged(database, new) == [("The pump weighs 12 kg", 3)]
    app.text_input(key=f"phrase-{new}-1").set_value("no such words").run()
    assert "No document has these words" in texts(app)


def test_a_whole_document_is_judged_graded_and_taken_back(
    open_page: OpenPage, questions: int, library: Library, database: Database
) -> None:
    second = ids(database, questions)[1]
    app = open_page("evaluate", set=str(questions), question=str(second))
    app.selectbox(key=f"whole-{second}-0").set_value(str(pump(library))).run()
    press(app, "judge_document")
    assert judged(database, second) == [(None, 2)]
    grade = next(one for one in app.get("button_group") if str(one.key).startswith("grade-"))
    grade.set_value(0).run()  # type: ignore[union-attr]
    assert judged(database, second) == [(None, 0)]
    press(app, next(str(one.key) for one in app.button if str(one.key).startswith("take-back-")))
    assert judged(database, second) == []
    press(app, "undo")
    assert judged(database, second) == [(None, 0)]


def test_a_question_is_deleted_and_put_back(open_page: OpenPage, questions: int, database: Database) -> None:
    first = ids(database, questions)[0]
    app = open_page("evaluate", set=str(questions), question=str(first))
    press(app, "delete_question")
    assert len(ids(database, questions)) == 1
    press(app, "undo")
    (_, again) = ids(database, questions)
    assert judged(database, again) == [(PHRASE, 2)]


CSV = (
    f"question,document,phrase,grade\nHow long is it?,pump.md,{PHRASE},3\nWhat eats elm?,lake.txt,,\nWhy?,gone.txt,,\n"
)


def test_a_file_is_looked_through_before_it_is_imported(
    open_page: OpenPage, questions: int, database: Database
) -> None:
    app = open_page("evaluate", set=str(questions))
    upload(app, ("set.csv", CSV.encode()))
    said = texts(app)
    assert "**3 questions**, 1 of them in this set already" in said
    assert "**2 judgements** whose document and passage are known" in said
    assert "1 name that no document, or more than one, has: gone" in said
    assert any("no document of this collection" in str(table.value) for table in app.dataframe)
    assert len(ids(database, questions)) == 2
    button = app.button(key="import_questions")
    assert button.label == "Import 3 questions and 2 judgements"
    press(app, "import_questions")
    assert "3 questions and 2 judgements imported" in texts(app)
    first, *_, last = ids(database, questions)
    assert judged(database, first) == [(PHRASE, 3)]
    assert judged(database, last) == []
    press(app, "undo")
    assert len(ids(database, questions)) == 2


def upload(app: AppTest, *files: tuple[str, bytes]) -> None:
    app.file_uploader[0].set_value([(name, data, "text/plain") for name, data in files]).run()
    assert not app.exception, app.exception[0].message


def test_documents_of_a_corpus_are_added_when_that_is_wanted(
    open_page: OpenPage, questions: int, database: Database, library: Library
) -> None:
    app = open_page("evaluate", set=str(questions))
    upload(
        app,
        ("corpus.jsonl", b'{"_id": "d1", "title": "Otters", "text": "Otters sleep on their backs."}'),
        ("queries.jsonl", b'{"_id": "1", "text": "How do otters sleep?"}'),
        ("qrels.tsv", b"query-id\tcorpus-id\tscore\n1\td1\t1\n"),
    )
    assert "1 document of corpus.jsonl is not in this collection" in texts(app)
    assert app.button(key="import_questions").label == "Import 1 question and 0 judgements"
    app.toggle(key="import_documents").set_value(True).run()
    press(app, "import_questions")
    assert judged(database, ids(database, questions)[-1]) == [(None, 1)]
    assert library.value("select count(*) from public.documents where name = 'd1.txt'") == 1


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("queries.jsonl", b'{"_id": "1", "text": "Why?"}', "no judgements"),
        ("a.zip", b"no zip", "can't be unpacked"),
        ("a.csv", b"a,b\n1,2\n", "no question that can be imported"),
    ],
)
def test_a_file_that_is_none_says_what_is_wanted(
    open_page: OpenPage, questions: int, name: str, data: bytes, said: str
) -> None:
    app = open_page("evaluate", set=str(questions))
    upload(app, (name, data))
    assert said in texts(app)


def test_drafts_are_asked_for_looked_through_and_decided(
    open_page: OpenPage, product: Product, database: Database, library: Library, questions: int
) -> None:
    app = open_page("evaluate", set=str(questions))
    assert "There is no chat model" in texts(app)
    app.number_input(key="drafts_wanted").set_value(2)
    press(app, "draft_questions")
    with database.as_user(LOCAL_USER) as conn:
        request = latest_request(conn, questions)
    assert request is not None
    models: object = None
    draft(Errand(database, models, settings_for(), lambda: True), request.id)  # type: ignore[arg-type]
    app.run()
    drafts = [str(one.key) for one in app.button if str(one.key).startswith("accept-")]
    assert drafts, texts(app)
    area = next(one for one in app.text_input if str(one.key).startswith("draft-text-"))
    area.set_value("What do ducks really eat?").run()
    press(app, drafts[0])
    with database.as_user(LOCAL_USER) as conn:
        assert "What do ducks really eat?" in [one.text for one in list_questions(conn, questions)]
        before = get_set(conn, questions).drafts
    if before:
        press(app, "all_rejected")
        with database.as_user(LOCAL_USER) as conn:
            assert get_set(conn, questions).drafts == 0
        press(app, "undo")
    with database.as_user(LOCAL_USER) as conn:
        assert get_set(conn, questions).drafts == before


def test_sets_are_listed_by_name(database: Database, library: Library, questions: int, open_page: OpenPage) -> None:
    with database.as_user(LOCAL_USER) as conn:
        create_set(conn, library.collection, "All kinds")
        names = [one.name for one in list_sets(conn, library.collection)]
    assert open_page("evaluate").selectbox(key="set_picker").options == names == ["All kinds", "Support"]


def test_a_viewer_reads_and_changes_nothing(
    database: Database, product: Product, library: Library, questions: int, home: object
) -> None:
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    make_first(database)
    ben = make_person(database)
    first = ids(database, questions)[0]
    with database.as_user(LOCAL_USER) as conn:
        share(conn, library.collection, BEN, "viewer")
        add_question(conn, questions, "A draft?", state="draft")
    app = Visitors(database).open(
        ben, "evaluate", collection=str(library.collection), set=str(questions), question=str(first)
    )
    said = texts(app)
    assert PHRASE in said
    assert "Answers" in said  # the grade, in words
    assert not app.file_uploader
    assert {button.key for button in app.button} & {"delete_question", "draft_questions", "find_phrase"} == set()
    assert not [one for one in app.get("button_group") if str(one.key).startswith("grade-")]
    filtered(app, "drafts")
    assert not [button for button in app.button if str(button.key).startswith("accept-")]
