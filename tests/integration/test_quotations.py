"""What became of quoted words after corrections and deletions, and the support of sentences as rows."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.chat.chat_records import Message, SentenceSupport
from rag.chat.chats import list_messages
from rag.chat.quotations import Quotation, Whereabouts, find_quotation, read_quotation
from rag.chat.support_rows import read_support, store_support
from rag.corpus.documents import delete_documents
from rag.corpus.texts import correct_text, read_text, restore_revision
from rag.curation.acts import trash_documents
from rag.errors import NotFound
from rag.store.database import Database
from tests.integration.library import LAKE, PUMP, Library, settings_for
from tests.standin_openai import Say, StandInOpenAI

QUOTE = "The warranty period of the Falcon pump is 27 months from delivery."


@pytest.fixture
def library(database: Database, alice: UUID) -> Library:
    return Library(database, alice, {"pump.txt": PUMP, "lake.txt": LAKE})


@pytest.fixture
def answer(library: Library) -> Message:
    made = library.answer(library.ask(), settings_for())
    assert made.citations[0].quote == QUOTE
    return made


def where(library: Library, answer: Message) -> Whereabouts:
    with library.database.as_user(library.user) as conn:
        return find_quotation(conn, read_quotation(conn, answer.id, 1))


def document_of(answer: Message) -> UUID:
    found = answer.passages[answer.citations[0].number - 1].document_id
    assert found is not None
    return found


def correct(library: Library, answer: Message, before: str, after: str) -> str:
    """Correct the quoted document and return its new text."""
    document = document_of(answer)
    with library.database.as_user(library.user) as conn:
        text = read_text(conn, document)
        start = text.text.index(before)
        correct_text(conn, document, text.revision, start, start + len(before), after)
        return read_text(conn, document).text


def test_words_of_an_unchanged_text_are_where_they_were(library: Library, answer: Message) -> None:
    start = PUMP.index(QUOTE)
    assert where(library, answer) == Whereabouts("same", (start, start + len(QUOTE)), 1)


def test_words_are_followed_when_text_before_them_is_corrected(library: Library, answer: Message) -> None:
    text = correct(library, answer, "Falcon pump manual", "The manual of the Falcon pump")
    now = where(library, answer)
    assert now.since == "moved"
    assert now.span is not None
    assert text[slice(*now.span)] == QUOTE
    with library.database.as_user(library.user) as conn:
        restore_revision(conn, document_of(answer), 1)
    assert where(library, answer).since == "same"


def test_a_correction_after_them_changes_nothing(library: Library, answer: Message) -> None:
    correct(library, answer, "service desk in Leeds", "service desk in York")
    assert where(library, answer).since == "same"


def test_corrected_words_are_told_with_what_is_in_their_place(library: Library, answer: Message) -> None:
    text = correct(library, answer, "27 months", "36 months")
    now = where(library, answer)
    assert now.since == "changed"
    assert now.span is not None
    assert text[slice(*now.span)] == QUOTE.replace("27", "36")


def test_removed_words_are_told(library: Library, answer: Message) -> None:
    correct(library, answer, QUOTE, "")
    assert where(library, answer) == Whereabouts("removed", None, 2)


def test_words_that_were_cut_out_and_put_in_elsewhere_are_found(library: Library, answer: Message) -> None:
    correct(library, answer, QUOTE, "")
    text = correct(library, answer, "in Leeds.", f"in Leeds. {QUOTE}")
    now = where(library, answer)
    assert (now.since, now.revision) == ("moved", 3)
    assert now.span is not None
    assert text[slice(*now.span)] == QUOTE


def test_of_a_deleted_document_what_was_read_remains(library: Library, answer: Message) -> None:
    with library.database.as_user(library.user) as conn:
        delete_documents(conn, [document_of(answer)])
        left = read_quotation(conn, answer.id, 1)
    assert where(library, answer) == Whereabouts("gone")
    assert (left.document_id, left.document, left.quote) == (None, "pump.txt", QUOTE)
    assert left.passage[left.start - left.passage_start : left.end - left.passage_start] == QUOTE


def test_a_document_in_the_trash_is_gone_until_it_comes_back(library: Library, answer: Message) -> None:
    with library.database.as_user(library.user) as conn:
        trash_documents(conn, library.collection, [document_of(answer)])
    assert where(library, answer) == Whereabouts("gone")
    passage = library.read(answer.id).passages[answer.citations[0].number - 1]
    assert (passage.revision_now, passage.text_revision) == (None, 1)


def test_a_quotation_is_read_by_whoever_sees_the_conversation(library: Library, answer: Message, bob: UUID) -> None:
    with library.database.as_user(library.user) as conn:
        assert isinstance(read_quotation(conn, answer.id, 1), Quotation)
        with pytest.raises(NotFound):
            read_quotation(conn, answer.id, 99)
    with library.database.as_user(bob) as conn, pytest.raises(NotFound):
        read_quotation(conn, answer.id, 1)


def test_passages_say_which_revision_their_document_has_now(library: Library, answer: Message) -> None:
    number = answer.citations[0].number
    assert library.read(answer.id).passages[number - 1].revision_now == 1
    correct(library, answer, "Leeds", "York")
    assert library.read(answer.id).passages[number - 1].revision_now == 2


def test_sentences_of_a_model_s_answer_are_checked_after_it(library: Library) -> None:
    with StandInOpenAI() as provider:
        provider.chat.append(
            Say(["The warranty period of the Falcon pump is 27 months [1]. It costs 900 euros in Hull [1]."])
        )
        answer = library.answer(library.ask(), settings_for(provider.base_url))
    right, wrong = answer.support
    assert (right.verdict, right.cited, right.missing) == ("supported", [1], [])
    assert (wrong.verdict, wrong.missing) == ("unsupported", ["900", "Hull"])
    assert answer.content[wrong.start : wrong.end] == "It costs 900 euros in Hull [1]."


def test_only_the_support_of_the_latest_attempt_counts(library: Library, answer: Message, bob: UUID) -> None:
    found = SentenceSupport(1, 0, 10, [1], "weak", 0.5, None, ["7"])
    with library.database.as_worker() as conn:
        store_support(conn, answer.id, answer.attempt + 1, [found])
    assert found not in library.read(answer.id).support
    with library.database.as_worker() as conn:
        store_support(conn, answer.id, answer.attempt, [found])
        store_support(conn, answer.id, answer.attempt, [found])
    assert library.read(answer.id).support == [found]
    with library.database.as_user(library.user) as conn:
        (_, seen) = list_messages(conn, answer.chat_id)
    assert seen.support == [found]
    with library.database.as_user(bob) as conn:
        assert read_support(conn, [answer.id]) == {}
    with library.database.as_worker() as conn:
        conn.execute("update public.messages set attempt = attempt + 1 where id = %s", [answer.id])
    assert library.read(answer.id).support == []
