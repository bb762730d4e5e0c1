"""Follow-ups that become questions of their own."""

from __future__ import annotations

import pytest

from rag.chat.rewriting import LAST, build_rewriting, join_questions, leans_on_before, read_rewriting
from rag.retrieval.search import MAX_QUESTION

HISTORY = [("Which pump is the loudest?", "The Falcon [1].")]

FOLLOW_UPS = [
    "And how heavy is it?",
    "And elsewhere?",
    "Why?",
    "How much?",
    "What about the Heron?",
    "How about in winter?",
    "Where do they live?",
    "What does that cost?",
    "Is there more about this?",
    "Who lives there?",
    "But why not?",
    "Can you explain that?",
    "Which of those is cheaper?",
    "What is its weight?",
    "Since when?",
    "Who told him?",
    "What of the other ones, and the other one?",
    "Und wie schwer ist die Pumpe?",
    "Wer repariert ihn?",
    "Et en hiver ?",
    "Y en invierno?",
]

ALONE = [
    "How long is the Falcon pump warranty?",
    "Who invented quantum chromodynamics?",
    "Define entropy",
    "Is there a warranty on the Falcon pump?",
    "What are the rules that apply to visitors?",
    "Which documents mention Leeds?",
    "What is boundary-layer transition?",
    "Wie schwer ist die Falcon-Pumpe?",
    "Combien pèse la pompe Falcon ?",
    "ポンプの重さは？",
    "What did Ana say about the budget?",
    "warranty",
    "",
    "???",
]


@pytest.mark.parametrize("question", FOLLOW_UPS)
def test_a_follow_up_leans_on_the_question_before(question: str) -> None:
    assert leans_on_before(question)


@pytest.mark.parametrize("question", ALONE)
def test_a_question_of_its_own_leans_on_nothing(question: str) -> None:
    assert not leans_on_before(question)


def test_the_model_sees_the_latest_turns_without_their_markers_and_the_question_last() -> None:
    long = [(f"Question {n}?", f"Answer {n} [1]. " + "x" * 5000) for n in range(9)]
    rules, latest = build_rewriting("And how\nheavy is it?", long)
    assert rules["role"] == "system"
    assert latest["content"].endswith(f"{LAST}And how heavy is it?")
    assert "Question 4?" not in latest["content"]
    assert "Answer 8." in latest["content"]
    assert "[1]" not in latest["content"]
    assert len(latest["content"]) < 4000


@pytest.mark.parametrize(
    ("reply", "question"),
    [
        ("How heavy is the Falcon pump?", "How heavy is the Falcon pump?"),
        ("  Standalone question: “How heavy is the Falcon pump?”\n", "How heavy is the Falcon pump?"),
        ("**Question: How heavy is the Falcon pump?**", "How heavy is the Falcon pump?"),
    ],
)
def test_the_rewritten_question_is_read(reply: str, question: str) -> None:
    assert read_rewriting(reply, "And how heavy is it?", HISTORY) == question


@pytest.mark.parametrize(
    "reply",
    [
        "And how heavy is it?",
        "and how heavy is it",
        "",
        "…",
        "The Falcon pump weighs 12 kg.\nIt is heavy.",
        "The Falcon pump weighs 12 kg. " * 40,
    ],
)
def test_what_is_no_other_question_leaves_the_typed_one(reply: str) -> None:
    assert read_rewriting(reply, "And how heavy is it?", HISTORY) is None


def test_joined_questions_fit_a_search_and_keep_the_newer_one() -> None:
    assert join_questions("Which pump\nis it?", "And elsewhere?") == "Which pump is it? And elsewhere?"
    joined = join_questions("x" * MAX_QUESTION, "And elsewhere?")
    assert len(joined) == MAX_QUESTION
    assert joined.endswith("And elsewhere?")
