"""Questions that are drafted: of sentences and headings, and what is made of a chat model's reply."""

from __future__ import annotations

import pytest

from rag.evaluation.drafting import read_reply
from rag.evaluation.phrasing import phrase_question

PASSAGE = "Falcon pump manual.\n\nThe warranty period of the Falcon pump is 27 months from delivery. Keep it dry."
SENTENCE = "The warranty period of the Falcon pump is 27 months from delivery."


def test_a_statement_becomes_a_question_about_its_subject() -> None:
    phrased = phrase_question(PASSAGE, document="pump.md", headings=["Warranty"], language="en")
    assert phrased is not None
    assert phrased.question == "What is the warranty period of the Falcon pump?"
    assert PASSAGE[phrased.start : phrased.end] == SENTENCE
    assert phrased.grade == 3


def test_else_the_heading_is_asked_for_and_all_of_the_passage_answers() -> None:
    text = "Keep the pump away from water when you open it, and wear your gloves at all times."
    phrased = phrase_question(text, document="Pump manual", headings=["Pumps", "2.1 Working safely"], language="en")
    assert phrased is not None
    assert phrased.question == "What does Pump manual say about Working safely?"
    assert (phrased.start, phrased.end, phrased.grade) == (0, len(text), 2)


def test_in_other_languages_a_telling_word_is_left_out() -> None:
    text = "Die Gewährleistung der Pumpe beträgt 27 Monate ab dem Tag der Lieferung."
    phrased = phrase_question(text, document="pumpe.md", headings=["Garantie"], language="de")
    assert phrased is not None
    assert phrased.question == "Die … der Pumpe beträgt 27 Monate ab dem Tag der Lieferung."


@pytest.mark.parametrize("text", ["", "12 34 56", "Short.", "| a | b |\n| - | - |"])
def test_where_nothing_can_be_asked_nothing_is(text: str) -> None:
    assert phrase_question(text, document="a.md", headings=[], language="en") is None


@pytest.mark.parametrize(
    "sentence",
    [
        "The traveller decides within this policy and is free to need anything that helps.",
        "It is known that the pump weighs about twelve kilograms when it is filled with oil.",
        "The new hall will have a solar roof of 310 kilowatts and is paid for by the state.",
    ],
)
def test_what_has_no_plain_subject_is_not_turned_into_what_is(sentence: str) -> None:
    phrased = phrase_question(sentence, document="a.md", headings=["The new hall"], language="en")
    assert phrased is not None
    assert phrased.question == "What does a.md say about The new hall?"


def test_a_reply_is_read_and_its_quote_is_looked_up() -> None:
    reply = 'Here you are:\n```json\n{"question": " How long is\\nthe warranty? ", "quote": "27 MONTHS from"}\n```'
    phrased = read_reply(reply, PASSAGE)
    assert phrased is not None
    assert (phrased.question, PASSAGE[phrased.start : phrased.end], phrased.grade) == (
        "How long is the warranty?",
        "27 months from",
        3,
    )
    phrased = read_reply('{"question": "How long is the warranty?", "quote": "99 years"}', PASSAGE)
    assert phrased is not None
    assert (phrased.start, phrased.end, phrased.grade) == (0, len(PASSAGE), 2)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "How long?",
        "{",
        '{"question": 5}',
        '{"question": "?"}',
        '["question"]',
        '{"question": "' + "x" * 500 + '"}',
        "[" * 9999,
    ],
)
def test_a_reply_that_is_no_question_is_none(reply: str) -> None:
    assert read_reply(reply, PASSAGE) is None
