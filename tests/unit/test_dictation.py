"""What a chat model says for one answer, and what it costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import pytest

from rag.chat.answer_writer import AnswerWriter, Stopped
from rag.chat.chat_records import Usage
from rag.chat.dictation import Dictation
from rag.chat.llm import ChatModel
from rag.chat.prompts import Turn
from rag.chat.snapshots import Snapshot
from rag.errors import ProviderBusy, ProviderError

HISTORY = [("Which pump is the loudest?", "The Falcon [1].")]
TURNS: list[Turn] = [{"role": "user", "content": "How long?"}]


class Writer:
    """Keeps what is written; ``stop_after`` so many writes it is told to stop."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.text = ""
        self.notes: list[str] = []
        self._left = stop_after

    def write(self, text: str) -> None:
        self.add(text)
        self._left -= 1
        if self._left < 0:
            raise Stopped

    def add(self, text: str) -> None:
        self.text += text

    def note(self, detail: str) -> None:
        self.notes.append(detail)


class Reply:
    first_word_s = 0.25

    def __init__(self, pieces: Iterable[str | Exception], usage: Usage) -> None:
        self.usage = usage
        self.closed = False
        self._pieces = pieces

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed = True


class Model:
    """Gives these replies, one after the other."""

    name = "stand-in"

    def __init__(self, *scripts: Iterable[str | Exception]) -> None:
        self.replies = [Reply(script, Usage(100, 10, exact=True)) for script in scripts]
        self._next = iter(self.replies)

    def reply(self, turns: Sequence[Turn]) -> Reply:
        return next(self._next)


def dictation(model: Model, writer: Writer, **options: Any) -> Dictation:
    return Dictation(cast(ChatModel, cast(Any, model)), cast(AnswerWriter, cast(Any, writer)), **options)


def test_a_question_is_rewritten() -> None:
    model = Model(["How heavy is ", "", "the Falcon?"])
    made = dictation(model, Writer())
    assert made.rewrite("And how heavy is it?", HISTORY) == "How heavy is the Falcon?"
    assert made.used == Usage(100, 10, exact=True)
    assert model.replies[0].closed


@pytest.mark.parametrize(
    "script", [itertools.repeat(""), itertools.repeat("more and more "), [ProviderError("no")], [ProviderBusy()]]
)
def test_a_model_that_can_t_or_doesn_t_end_is_hung_up_on(script: Iterable[str | Exception]) -> None:
    model = Model(script)
    made = dictation(model, Writer(), limit_s=0.05)
    assert made.rewrite("And how heavy is it?", HISTORY) is None
    assert model.replies[0].closed
    assert made.used.total == 110, "it is paid for"


def test_a_stop_ends_rewriting_and_writing() -> None:
    for work in ("rewrite", "take"):
        model = Model(itertools.repeat("word "))
        made = dictation(model, Writer(stop_after=3))
        with pytest.raises(Stopped):
            made.rewrite("And?", HISTORY) if work == "rewrite" else made.take(TURNS, [1])
        assert model.replies[0].closed


def test_the_answer_is_written_with_the_known_numbers_only() -> None:
    writer = Writer()
    made = dictation(Model(["It is 27 ", "months [1", "][9]."]), writer)
    made.take(TURNS, [1, 2])
    assert writer.text == "It is 27 months [1]."
    assert (made.first_word_s, made.written) == (0.25, Usage(100, 10, exact=True))


def test_a_busy_model_is_asked_again_before_its_first_word_only() -> None:
    writer = Writer()
    made = dictation(Model([ProviderBusy(retry_after=0)], ["27 months."]), writer)
    made.take(TURNS, [1])
    assert writer.text == "27 months."
    assert made.used == Usage(200, 20, exact=True)
    assert writer.notes[-1] == "Asking stand-in again."
    with pytest.raises(ProviderBusy):
        dictation(Model(["27 ", ProviderBusy(retry_after=0)]), Writer()).take(TURNS, [1])


def test_what_was_written_is_said_with_its_rate_where_that_means_something() -> None:
    made = dictation(Model(), Writer())
    made.written, made.writing_s = Usage(900, 1, exact=True), 0.01
    assert made.describe() == "1 token"
    made.written, made.writing_s = Usage(900, 1200, exact=False), 4.0
    assert made.describe() == "about 1,200 tokens in 4.0 s (300 a second)"
    kept = made.complete(Snapshot({}, [], 3, 3))
    assert (kept.prompt_tokens, kept.completion_tokens, kept.exact_tokens) == (900, 1200, False)
    assert (kept.tokens_per_second, kept.first_token_seconds) == (300.0, None)
