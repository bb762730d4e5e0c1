"""Chat: asking, following an answer, citations that open their source, failed answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from rag.chat.chats import list_chats, list_messages
from rag.records import LOCAL_USER
from rag.retrieval.scopes import Piece, make_scope
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
