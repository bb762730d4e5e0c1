"""Which sentences of an answer claim something, what they cite, and whether that backs them."""

from __future__ import annotations

import pytest

from pages.parts.support_marks import mark_support, put_marks
from rag.chat.chat_records import SentenceSupport, Verdict
from rag.chat.claims import MAX_CLAIMS, find_claims
from rag.chat.extractive import Source
from rag.chat.support import check_support, decide
from tests.integration.library import SharedWords

PUMP = Source(
    1, 0, "The Falcon pump weighs 12 kg. It is painted blue in Leeds. Its warranty lasts 4,210 hours or 27 months."
)
LAKE = Source(2, 0, "The lake is 40 metres deep. Ducks eat elm leaves in summer.")


def check(content: str, question: str = "") -> list[SentenceSupport]:
    return check_support(content, [PUMP, LAKE], SharedWords().embed_passages, question=question)


def verdicts(content: str, question: str = "") -> list[str]:
    return [found.verdict for found in check(content, question)]


@pytest.mark.parametrize(
    ("content", "claims"),
    [
        ("It weighs 12 kg [1]. It is blue.", [("It weighs 12 kg.", (1,)), ("It is blue.", ())]),
        ("It weighs 12 kg. [1][2] It is blue [3].", [("It weighs 12 kg.", (1, 2)), ("It is blue.", (3,))]),
        ("It weighs 12 kg. It is blue. [2]", [("It weighs 12 kg.", (2,)), ("It is blue.", (2,))]),
        ("It weighs 12 kg.\n\nIt is blue. [2]", [("It weighs 12 kg.", ()), ("It is blue.", (2,))]),
        ("- [1] **Weight:** 12 kg\n- it is blue [2]", [("Weight: 12 kg", (1,)), ("it is blue", (2,))]),
        ("Run `a. b [1]` at once [2].", [("Run a. b [1] at once.", (2,))]),
        ("> It is blue. [2]", [("It is blue.", (2,))]),
        ("Dr. Smith measured 3.5 m [1].", [("Dr. Smith measured 3.5 m.", (1,))]),
        ("27 months [1]", [("27 months", (1,))]),
        ("```\nIt is code [1]\n```", []),
        ("## The pump\n\nWhat is known:\n\n*Quoted from the documents word for word:*", []),
        ("I don't know more. The passages don't say what it costs.", []),
        ("Die Textstellen sagen nichts über den Preis.", []),
        ("", []),
    ],
)
def test_claims_are_found_with_the_numbers_that_they_carry(content: str, claims: list[tuple[str, object]]) -> None:
    assert [(claim.text, claim.cited) for claim in find_claims(content)] == claims


@pytest.mark.parametrize(
    "content",
    ["**A b c.** 😀 It is blue [1]. *So it is* `x. y`.", "A b c d. [1] E f g h.\n\n- **I** j k l [2]\n- m n o p"],
)
def test_a_claim_s_span_is_the_markdown_that_it_was_written_in(content: str) -> None:
    claims = find_claims(content)
    assert claims
    for claim in claims:
        shown = content[claim.start : claim.end]
        for sign in ("*", "`"):
            assert shown.count(sign) % 2 == 0, shown
        assert [word for word in claim.text.split() if word.isalpha() and word not in shown] == []


def test_a_flood_of_sentences_is_not_checked_to_its_end() -> None:
    assert len(find_claims("It is blue and large. " * 3000)) == MAX_CLAIMS


def test_what_a_cited_passage_says_is_supported() -> None:
    (found,) = check("The Falcon pump weighs 12 kg [1].")
    assert (found.verdict, found.cited, found.missing) == ("supported", [1], [])
    assert found.lexical == pytest.approx(1.0)
    assert found.similarity is not None
    assert found.similarity > 0.95


def test_the_same_words_cited_to_another_passage_are_not() -> None:
    assert verdicts("The Falcon pump weighs 12 kg [2].") == ["unsupported"]


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        ("The Falcon pump weighs 14 kg [1].", ["14"]),
        ("The Falcon pump weighs twelve kg [1].", []),
        ("Its warranty lasts 4210 hours [1].", []),
        ("Its warranty lasts about 4,200 hours [1].", []),
        ("Its warranty lasts 4,900 hours [1].", ["4900"]),
        ("The Falcon pump is painted blue in Hull [1].", ["Hull"]),
    ],
)
def test_figures_and_names_that_a_passage_does_not_have_are_told(content: str, missing: list[str]) -> None:
    (found,) = check(content)
    assert found.missing == missing
    assert (found.verdict == "supported") == (not missing)


def test_a_name_may_come_from_the_question() -> None:
    assert verdicts("It is painted blue by Osprey in Leeds [1].") == ["weak"]
    assert verdicts("It is painted blue by Osprey in Leeds [1].", "What does Osprey paint?") == ["supported"]


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        ("The lake is not 40 metres deep [1].", "weak"),
        ("The lake isn't 40 metres deep [1].", "weak"),
        ("Dogs may swim here [1].", "weak"),
        ("Dogs may not swim here [1].", "supported"),
        ("Boats cost nine euros an hour [1].", "supported"),
    ],
)
def test_a_not_that_the_passage_lacks_or_has_is_seen_in_like_sentences(content: str, verdict: str) -> None:
    lake = Source(
        1, 0, "The lake is 40 metres deep. Dogs may not swim here. Boats cost nine euros an hour, also without a guide."
    )
    (found,) = check_support(content, [lake], SharedWords().embed_passages)
    assert found.verdict == verdict


def test_a_sentence_may_take_from_two_neighbouring_ones() -> None:
    assert verdicts("The Falcon pump weighs 12 kg and is painted blue [1].") == ["supported"]


def test_a_sentence_without_a_number_is_told_apart() -> None:
    (found,) = check("The lake is 40 metres deep.")
    assert (found.verdict, found.cited) == ("uncited", [])


def test_a_number_that_no_passage_has_counts_as_none() -> None:
    assert verdicts("The lake is 40 metres deep [7].") == ["uncited"]


def test_without_vectors_words_decide() -> None:
    (right, wrong) = check_support("The lake is 40 metres deep [2]. Ducks like the opera very much [2].", [PUMP, LAKE])
    assert (right.verdict, right.similarity) == ("supported", None)
    assert wrong.verdict == "unsupported"


def test_without_sources_nothing_is_supported() -> None:
    assert [found.verdict for found in check_support("The lake is 40 metres deep [2].", [])] == ["uncited"]


def doubt(content: str, sentence: str, verdict: Verdict = "unsupported") -> str:
    start = content.index(sentence)
    found = SentenceSupport(1, start, start + len(sentence), [1], verdict, 0.1, 0.1)
    return put_marks(mark_support(content, [found]))


def test_marks_are_put_around_a_sentence() -> None:
    assert doubt("One. Two [1]. Three.", "Two [1].") == "One. :orange-background[Two [1].] Three."
    assert doubt("One. **Two** `x`.", "**Two** `x`.", "weak") == "One. :gray[**Two** `x`.]"
    assert doubt("One. Two.", "Two.", "supported") == "One. Two."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("**One. Two** three.", "Two** three."),
        ("One `x. y` z.", "One `x."),
        ("| one | two |", "one | two"),
        ("One] two.", "One] two."),
        ("One \\[x] two.", "One \\[x] two."),
        ("One.(/away) two.", "One."),
        ("One.{class=x} two.", "One."),
        ("One.\n\nTwo.", "One.\n\nTwo."),
    ],
)
def test_what_a_mark_would_part_stays_without_one(content: str, sentence: str) -> None:
    assert doubt(content, sentence) == content


def test_a_text_can_not_bring_marks_of_its_own() -> None:
    assert put_marks(mark_support("\ufdd0bad\ufdd2 \ufdd1", [])) == "\ufffdbad\ufffd \ufffd"


def test_more_likeness_never_makes_a_verdict_worse() -> None:
    order = ["unsupported", "weak", "supported"]
    for names in ([], ["Hull"]):
        ranks = [order.index(decide(0.5, step / 50, [], names)) for step in range(51)]
        assert ranks == sorted(ranks)
    assert decide(1.0, 1.0, ["14"], []) == "unsupported"
