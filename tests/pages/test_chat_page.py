"""Chat: asking, following an answer, citations that open their source, failed answers."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from streamlit.testing.v1 import AppTest

from pages.parts.answer_acts import CLICKED, Click, read_click
from pages.parts.answer_votes import join_reasons
from rag.chat.branches import thread
from rag.chat.chat_records import Message
from rag.chat.chats import list_chats, list_messages, regenerate_answer
from rag.chat.votes import read_votes
from rag.evaluation.judgements import verdicts
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.scopes import Piece, make_scope
from rag.retrieval.stored_profiles import save_profile
from rag.store.database import Database
from tests.integration.library import PUMP, QUESTION, Library, settings_for
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts


@contextmanager
def worker(library: Library) -> Iterator[None]:
    """Answers whatever is asked during the block."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with library.database.as_worker() as conn:
                waiting = conn.execute("select id from public.messages where phase = 'queued'").fetchall()
            for (message,) in waiting:
                library.answer(message, settings_for())
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def chats_of(database: Database, collection: UUID) -> list[UUID]:
    with database.as_user(LOCAL_USER) as conn:
        return [chat.id for chat in list_chats(conn, collection)]


def click(app: AppTest, act: str, place: int = -1) -> None:
    """What a click on that button of the thread does: AppTest has no browser to send it."""
    pattern = rf'data-act="{act}" data-message="([^"]+)"(?: data-to="([^"]+)")?'
    message, to = re.findall(pattern, texts(app))[place]
    app.session_state[CLICKED] = read_click({"act": act, "message": message, "to": to or None})
    app.run()
    assert not app.exception, app.exception[0].message


def open_answered(open_page: OpenPage, library: Library) -> tuple[AppTest, UUID]:
    """The page of a conversation with one answer, and that answer."""
    answer = library.answer(library.ask(), settings_for())
    return open_page("chat", collection=str(library.collection), chat=str(answer.chat_id)), answer.id


def messages_of(library: Library, chat: UUID) -> list[Message]:
    with library.database.as_user(LOCAL_USER) as conn:
        return list_messages(conn, chat)


def test_a_question_begins_a_chat_and_its_answer_cites(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    app = open_page("chat")
    with worker(library):
        app.chat_input(key="question").set_value(QUESTION).run()
    assert not app.exception
    (chat,) = chats_of(database, library.collection)
    assert app.query_params["chat"] == str(chat)
    with database.as_user(LOCAL_USER) as conn:
        question, answer = list_messages(conn, chat)
    assert question.content == QUESTION
    assert answer.phase == "complete"
    first = answer.citations[0]
    said = texts(app)
    assert "27 months" in said
    document = next(p.document_id for p in answer.passages if p.number == first.number)
    citation = f"citation={answer.id}.{first.ordinal}"
    assert f"](/document?document={document}&start={first.start}&end={first.end}&{citation})" in said
    assert PUMP[first.start : first.end] == first.quote
    assert "Complete" in app.expander[0].label


def test_what_is_quoted_from_a_neighbour_is_shown_with_its_source(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    answer = library.answer(library.ask(), settings_for())
    (chat,) = chats_of(database, library.collection)
    beside = "Quoted from the text beside this passage"
    assert beside not in texts(open_page("chat", collection=str(library.collection), chat=str(chat)))
    passage = answer.passages[answer.citations[0].number - 1]
    with database.as_worker() as conn:
        conn.execute(
            "insert into public.citations (message_id, ordinal, number, start_char, end_char, quote)"
            " values (%s, 99, %s, %s, %s, 'Words of <b>a neighbour</b>.')",
            [answer.id, passage.number, passage.end, passage.end + 27],
        )
    said = texts(open_page("chat", collection=str(library.collection), chat=str(chat)))
    assert beside in said
    assert "Words of &lt;b&gt;a neighbour&lt;/b&gt;." in said


def test_a_failed_answer_says_why_and_can_be_tried_again(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    answer = library.ask()
    with database.as_worker() as conn:
        conn.execute(
            "update public.messages set phase = 'failed', error = 'The chat model did not answer.',"
            " error_hint = 'Try again in a minute.' where id = %s",
            [answer],
        )
    (chat,) = chats_of(database, library.collection)
    app = open_page("chat", collection=str(library.collection), chat=str(chat))
    assert "The chat model did not answer." in app.error[0].value
    assert "Try again in a minute." in app.error[0].value
    with worker(library):
        app.button(key=f"retry-{answer}").click().run()
    assert "27 months" in texts(app)


def test_hostile_markdown_of_an_answer_is_shown_as_text(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    answer = library.ask()
    with database.as_worker() as conn:
        conn.execute(
            "update public.messages set phase = 'complete', content = %s where id = %s",
            ["![p](https://evil.example/p.png) <script>x</script> [go](https://evil.example)", answer],
        )
    (chat,) = chats_of(database, library.collection)
    said = texts(open_page("chat", collection=str(library.collection), chat=str(chat)))
    assert "![" not in said
    assert "](https" not in said
    assert "<script" not in said.replace("\\<script", "")


def test_somebody_elses_chat_is_a_new_one(open_page: OpenPage, library: Library) -> None:
    app = open_page("chat", collection=str(library.collection), chat="00000000-0000-4000-8000-00000000dead")
    assert "Ask Library" in texts(app)


def test_a_conversation_begins_with_a_selection_and_leaves_it(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    lake = library.value("select id from public.documents where name = 'lake.txt'")
    with database.as_user(LOCAL_USER) as conn:
        scope = make_scope(conn, library.collection, None, [Piece(lake, 0, 60)])
    app = open_page("chat", collection=str(library.collection), scope=str(scope))
    assert "Only with 1 passage of 1 document" in texts(app)
    with worker(library):
        app.chat_input(key="question").set_value(QUESTION).run()
    (chat,) = chats_of(database, library.collection)
    assert "scope" not in app.query_params
    assert app.query_params["chat"] == str(chat)
    assert "Only with 1 passage of 1 document" in texts(app)
    assert "27 months" not in texts(app)
    app.button(key="leave_scope").click().run()
    assert "Only with" not in texts(app)
    with worker(library):
        app.chat_input(key="question").set_value(QUESTION).run()
    assert "27 months" in texts(app)


def test_a_selection_that_cannot_be_used_is_said_and_dropped(open_page: OpenPage, library: Library) -> None:
    for wrong in ("999", "x", "9" * 30):
        app = open_page("chat", collection=str(library.collection), scope=wrong)
        assert "the whole collection answers" in app.toast[0].value
        assert "scope" not in app.query_params
        assert "Only with" not in texts(app)


def test_a_selection_is_left_before_anything_was_asked(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    lake = library.value("select id from public.documents where name = 'lake.txt'")
    with database.as_user(LOCAL_USER) as conn:
        scope = make_scope(conn, library.collection, "Ducks", [Piece(lake, 0, 60)])
    app = open_page("chat", collection=str(library.collection), scope=str(scope))
    assert "“Ducks”" in texts(app)
    app.button(key="leave_scope").click().run()
    assert "Only with" not in texts(app)
    assert "scope" not in app.query_params


def test_an_answer_is_made_again_with_the_chosen_profile_and_flipped_through(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    with database.as_user(LOCAL_USER) as conn:
        careful = save_profile(conn, library.collection, "Careful", RetrievalProfile(k=1))
    app, first = open_answered(open_page, library)
    assert "1 / 2" not in texts(app)
    app.selectbox(key="chat_profile").set_value(str(careful.id)).run()
    assert app.query_params["profile"] == str(careful.id)
    with worker(library):
        click(app, "again")
    chat = UUID(app.query_params["chat"])
    second = messages_of(library, chat)[-1]
    assert second.profile is not None
    assert second.profile["k"] == 1
    said = texts(app)
    assert "2 / 2" in said
    assert "quotes alone · Careful v1" in said
    click(app, "flip", 0)
    assert app.query_params["at"] == str(first)
    assert "1 / 2" in texts(app)
    assert app.button(key="newest_branch").label.startswith("Newer messages")
    app.button(key="newest_branch").click().run()
    assert "at" not in app.query_params
    assert "2 / 2" in texts(app)


def test_a_question_is_edited_beside_what_it_was(open_page: OpenPage, library: Library) -> None:
    app, _ = open_answered(open_page, library)
    click(app, "edit")
    (question,) = [
        message for message in messages_of(library, UUID(app.query_params["chat"])) if message.role == "user"
    ]
    field = app.text_area(key=f"edited-{question.id}")
    assert field.value == QUESTION
    field.set_value("Who handles claims?")
    with worker(library):
        app.button(key=f"edit-send-{question.id}").click().run()
    assert not app.text_area
    said = texts(app)
    assert "Who handles claims?" in said
    assert "Leeds" in said
    assert QUESTION not in [element.value for element in app.markdown]
    click(app, "flip", 0)
    assert QUESTION in [element.value for element in app.markdown]


def test_a_question_goes_with_what_follows_it(open_page: OpenPage, library: Library) -> None:
    app, _ = open_answered(open_page, library)
    chat = UUID(app.query_params["chat"])
    question = messages_of(library, chat)[0]
    click(app, "delete")
    assert "and what follows, 1 message," in texts(app)
    app.button(key=f"keep-{question.id}").click().run()
    assert len(messages_of(library, chat)) == 2
    click(app, "delete")
    app.button(key=f"delete-{question.id}").click().run()
    assert messages_of(library, chat) == []
    assert "The question was deleted." in app.toast[0].value


def test_a_thumb_asks_why_and_offers_judgements_on_the_passages(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    app, answer = open_answered(open_page, library)
    click(app, "down")
    assert "What was wrong with it?" in texts(app)
    app.button_group(key=f"reasons-{answer}--1").set_value(["Incomplete"])
    app.text_input(key=f"reason-{answer}--1").set_value("no page number")
    app.button(key=f"reason-save-{answer}").click().run()
    with database.as_user(LOCAL_USER) as conn:
        (vote,) = read_votes(conn, [answer])
    assert (vote.vote, vote.reason) == (-1, "Incomplete: no page number")
    click(app, "good")
    with database.as_user(LOCAL_USER) as conn:
        (judged,) = verdicts(conn, library.collection, QUESTION)
    passage = messages_of(library, UUID(app.query_params["chat"]))[1].passages[0]
    assert (judged.document_id, judged.start, judged.end, judged.grade) == (
        passage.document_id, passage.start, passage.end, 2,
    )  # fmt: skip
    assert re.search(r'data-act="good"[^>]+aria-pressed="true"', texts(app))
    click(app, "good")
    click(app, "down")
    with database.as_user(LOCAL_USER) as conn:
        assert verdicts(conn, library.collection, QUESTION) == []
        assert read_votes(conn, [answer]) == []
    assert "What was wrong with it?" not in texts(app)


def test_why_an_answer_is_what_it_is_is_told_after_the_documents_changed(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    app, _ = open_answered(open_page, library)
    click(app, "why")
    said = texts(app)
    assert "Why this answer?" in said
    assert "Built-in settings" in said
    assert "Library, no. " in said
    assert "The documents still say all of this" in said
    assert re.search(r"similarity \d\.\d{3}", said)
    with database.as_worker() as conn:
        conn.execute(
            "insert into public.document_texts (document_id, revision, text)"
            " select id, 2, 'Nothing of it.' from public.documents"
        )
        conn.execute("update public.documents set text_revision = 2")
    app.run()
    assert "Text changed" in texts(app)
    assert "27 months" in texts(app)
    click(app, "why")
    assert "Text changed" not in texts(app)


def test_a_branch_begun_elsewhere_leaves_the_shown_one_alone(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    app, first = open_answered(open_page, library)
    with database.as_user(LOCAL_USER) as conn:
        again = regenerate_answer(conn, first)
    library.answer(again, settings_for())
    chat = UUID(app.query_params["chat"])
    app.query_params["at"] = str(first)
    app.run()
    with worker(library):
        app.chat_input(key="question").set_value("And its weight?").run()
    shown = thread(messages_of(library, chat))
    assert [message.role for message in shown] == ["user", "assistant", "user", "assistant"]
    assert shown[1].id == first
    assert "at" not in app.query_params


def test_clicks_that_cannot_be_meant_are_nothing() -> None:
    message = "00000000-0000-4000-8000-00000000dead"
    assert read_click({"act": "why", "message": message}) == Click("why", UUID(message))
    for wrong in (None, {}, {"act": "rm", "message": message}, {"act": "why", "message": "x"}, {"act": "why"}):
        assert read_click(wrong) is None
    assert read_click({"act": "flip", "message": message, "to": 3}) is None


def test_reasons_are_put_into_words_once() -> None:
    assert join_reasons(["Wrong", "Incomplete"], "it is 27") == "Wrong, incomplete: it is 27"
    assert join_reasons(["Wrong"], "Wrong: it is 27") == "Wrong: it is 27"
    assert join_reasons([], " ") == ""


def test_of_a_long_conversation_the_end_is_shown_and_the_rest_on_demand(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    first = library.answer(library.ask("Question number zero?"), settings_for())
    for number in range(1, 13):
        library.answer(library.ask(f"Question number {number}?", chat=first.chat_id), settings_for())
    app = open_page("chat", collection=str(library.collection), chat=str(first.chat_id))
    assert "number zero" not in texts(app)
    assert "Question number 3?" in texts(app)
    with worker(library):
        app.chat_input(key="question").set_value("Question number 13?").run()
    assert "Question number 3?" in texts(app)
    app.button(key="earlier_messages").click().run()
    assert "number zero" in texts(app)
    named = open_page("chat", collection=str(library.collection), chat=str(first.chat_id), at=str(first.id))
    assert "number zero" in texts(named)
