"""A document opened from a citation: corrected or deleted since, and the page of a PDF beside its text."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

from pages.parts.citations import answer_markdown
from rag.chat.chat_records import Message
from rag.corpus.documents import delete_documents
from rag.corpus.texts import correct_text
from rag.records import LOCAL_USER
from rag.store.database import Database, connect
from tests.integration.library import PUMP, Library, settings_for
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.standin_openai import Say, StandInOpenAI
from tests.unit.test_page_pictures import lines, make_pdf

QUOTE = "The warranty period of the Falcon pump is 27 months from delivery."
SAID = "The warranty period of the Falcon pump is 27 months [1]. It costs *exactly* 900 euros in Hull [1]. So it is."


@pytest.fixture
def answer(library: Library) -> Message:
    made = library.answer(library.ask(), settings_for())
    assert made.citations[0].quote == QUOTE
    return made


def document_of(answer: Message) -> UUID:
    found = answer.passages[answer.citations[0].number - 1].document_id
    assert found is not None
    return found


def open_citation(open_page: OpenPage, answer: Message, **query: str) -> AppTest:
    return open_page("document", document=str(document_of(answer)), citation=f"{answer.id}.1", **query)


def correct(database: Database, answer: Message, before: str, after: str) -> None:
    with database.as_user(LOCAL_USER) as conn:
        start = PUMP.index(before)
        correct_text(conn, document_of(answer), 1, start, start + len(before), after)


def test_a_citation_opens_its_words_wherever_they_are_now(
    open_page: OpenPage, database: Database, answer: Message
) -> None:
    app = open_citation(open_page, answer)
    assert "“The warranty period of the Falcon pump i" in texts(app)
    assert "corrected since" not in texts(app)
    correct(database, answer, "Falcon pump manual", "A longer manual of the Falcon pump")
    # The place in the address is that of the answer's time.
    app = open_citation(open_page, answer, start="22", end="88")
    assert "“The warranty period of the Falcon pump i" in texts(app)
    assert "unchanged at another place" in texts(app)


def test_what_was_read_is_shown_where_the_words_changed(
    open_page: OpenPage, database: Database, answer: Message
) -> None:
    correct(database, answer, "27 months", "36 months")
    said = texts(open_citation(open_page, answer))
    assert "it says something else here now" in said
    assert f"<mark>{QUOTE}</mark>" in said
    assert "**“The warranty period of the Falcon pump i" in said


def test_what_was_read_is_shown_of_a_deleted_document(
    open_page: OpenPage, database: Database, answer: Message, library: Library
) -> None:
    with database.as_user(LOCAL_USER) as conn:
        delete_documents(conn, [document_of(answer)])
    app = open_citation(open_page, answer)
    assert "deleted since the answer was written" in texts(app)
    assert f"<mark>{QUOTE}</mark>" in texts(app)
    assert app.title[0].value.replace("\\", "") == "pump.md"
    chat = open_page("chat", collection=str(library.collection), chat=str(answer.chat_id))
    assert f"](/document?citation={answer.id}.1)" in texts(chat)
    assert "this text is what was read of it" in texts(chat)


def test_a_citation_that_is_nobody_s_shows_the_document(open_page: OpenPage, answer: Message) -> None:
    app = open_page("document", document=str(document_of(answer)), citation="nonsense.1", start="0", end="6")
    assert "“Falcon”" in texts(app)
    app = open_page("document", document=str(document_of(answer)), citation=f"{answer.id}.77", start="0", end="6")
    assert "“Falcon”" in texts(app)


def test_the_page_of_a_pdf_stands_beside_its_text(open_page: OpenPage, database: Database, library: Library) -> None:
    text = "The Falcon pump\nweighs 12 kg.\n\nPage two."
    document = library.add("falcon.pdf", text)
    with connect(database.owner_dsn) as conn, conn.transaction():
        conn.execute(
            "update public.documents set media_type = 'application/pdf', size = 10000 where id = %s", [document]
        )
        conn.execute("update public.document_texts set page_starts = '{0,31}' where document_id = %s", [document])
        conn.execute(
            "insert into public.document_files values (%s, 0, %s)",
            [document, make_pdf(lines("The Falcon pump", "weighs 12 kg."), lines("Page two."))],
        )
    app = open_page("document", document=str(document))
    assert not app.toggle[0].value
    assert "data:image/webp" not in texts(app)
    app = open_page("document", document=str(document), start="16", end="28")
    assert 'alt="Page 1 of falcon.pdf, with the words highlighted"' in texts(app)
    app = open_page("document", document=str(document), start="31", end="35")
    assert 'alt="Page 2 of falcon.pdf, with the words highlighted"' in texts(app)
    with connect(database.owner_dsn) as conn, conn.transaction():
        conn.execute("update public.document_files set data = 'broken'::bytea where document_id = %s", [document])
    app = open_page("document", document=str(document), start="16", end="28")
    assert "damaged and can't be drawn" in texts(app)
    assert not open_page("document", document=str(document), start="0", end="3").exception


def test_sentences_that_nothing_backs_are_marked_and_counted(open_page: OpenPage, library: Library) -> None:
    with StandInOpenAI() as provider:
        provider.chat.append(Say([SAID]))
        answer = library.answer(library.ask(), settings_for(provider.base_url))
    marked = answer_markdown(answer)
    assert marked.startswith("The warranty period of the Falcon pump is 27 months [")
    assert ":orange-background[It costs *exactly* 900 euros in Hull [\\[1\\]](/document?" in marked
    assert marked.endswith(" :gray[So it is.]")
    app = open_page("chat", collection=str(library.collection), chat=str(answer.chat_id))
    said = texts(app)
    assert "not there: 900, Hull" in said
    assert "Cites nothing" in said
    assert "1 of 3 sentences backed" in [str(block.proto.popover.label) for block in popovers(app)]


def popovers(app: AppTest) -> list[Block]:
    found: list[Block] = []
    waiting: list[Any] = [app.main]
    while waiting:
        block = waiting.pop()
        if getattr(block, "type", "") == "popover":
            found.append(block)
        waiting += list(getattr(block, "children", {}).values())
    return found
