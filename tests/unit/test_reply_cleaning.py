"""What a chat model says is made fit to pass on, a piece at a time, however the pieces are cut."""

from __future__ import annotations

import pytest

from rag.chat.provider_words import hide_key
from rag.chat.reply_cleaning import KeyFilter, ThoughtFilter, storable

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
