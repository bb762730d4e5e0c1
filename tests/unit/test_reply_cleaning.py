"""What a chat model says is made fit to pass on, a piece at a time, however the pieces are cut."""

from __future__ import annotations

import pytest

from rag.chat.provider_words import hide_key
from rag.chat.reply_cleaning import KeyFilter, RepetitionWatch, ThoughtFilter, storable

KEY = "sk-abcabcabd-0001"


def through(one: ThoughtFilter | KeyFilter, text: str, size: int) -> str:
    """``text`` fed in pieces of ``size``."""
    return "".join(one.feed(text[at : at + size]) for at in range(0, len(text), size)) + one.finish()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<think>Is 2 < 3? Yes.</think>\n\nIt is 27.", "It is 27."),
        ("\n <think></think>Yes.", "Yes."),
        ("<think>never ends", ""),
        ("<thin", "<thin"),
        ("<thinking>is shown", "<thinking>is shown"),
        ("It is <think>no</think> thought.", "It is <think>no</think> thought."),
        ("", ""),
    ],
)
def test_only_thoughts_at_the_beginning_are_left_out(said: str, shown: str, size: int) -> None:
    assert through(ThoughtFilter(), said, size) == shown


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"The key is {KEY}.", "The key is ….",),
        (f"{KEY}{KEY}", "……"),
        (f"sk-abc{KEY}", "sk-abc…"),
        ("sk-abcabcab", "sk-abcabcab"),
        ("nothing of it", "nothing of it"),
    ],
)  # fmt: skip
def test_the_key_is_left_out_however_it_is_cut(said: str, shown: str, size: int) -> None:
    assert through(KeyFilter(KEY), said, size) == shown


def test_words_that_stand_for_a_key_are_words() -> None:
    assert through(KeyFilter("ollama"), "Ask ollama.", 3) == "Ask ollama."
    assert hide_key("ollama is down", "ollama") == "ollama is down"


def test_an_end_that_is_no_key_is_passed_on_with_the_next_piece() -> None:
    one = KeyFilter(KEY)
    assert [one.feed("it is"), one.feed(" so"), one.finish()] == ["it i", "s so", ""]


def test_what_no_database_holds_is_dropped() -> None:
    assert storable("a\x00b\ud83dc😀") == "abc😀"


def test_a_page_of_the_same_is_noticed_and_a_page_of_prose_is_not() -> None:
    watch = RepetitionWatch()
    assert not any(watch.notices(f"The pump {number} weighs {number * 7} kg. ") for number in range(2000))
    said = 0
    while not watch.notices("It is so. "):
        said += 10
        assert said < 10_000
    assert said > 3000
    assert not any(RepetitionWatch().notices("a" * 100) for _ in range(30)), "too short to say"
