"""Takes down what a chat model says for one answer: a rewritten question, the answer as it comes, and their cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace

from rag.chat.answer_writer import AnswerWriter, Stopped
from rag.chat.citing import AnswerFilter
from rag.chat.llm import ChatModel, Usage
from rag.chat.patience import Patience
from rag.chat.prompts import Turn
from rag.chat.rewriting import LIMIT_S, build_rewriting, read_rewriting
from rag.chat.snapshots import Snapshot
from rag.errors import ProviderBusy, ProviderError

#: Nobody reads further: a model that doesn't stop is stopped here.
MAX_ANSWER_CHARS = 40_000
_MAX_REWRITTEN = 8000

_TOO_LONG = f"\n\n*Stopped here: the answer grew beyond {MAX_ANSWER_CHARS:,} characters.*"

log = logging.getLogger(__name__)


class Dictation:
    """``used`` is what the model has read and written so far, over all that it was asked for this answer.

    ``limit_s`` is what it gets for rewriting a question.
    """

    def __init__(self, model: ChatModel, writer: AnswerWriter, limit_s: float = LIMIT_S) -> None:
        self.model = model
        self._limit_s = limit_s
        self.used = Usage(0, 0, exact=True)
        #: Whether that was counted against the caps.
        self.settled = False
        #: Of the answer alone: its own tokens, and seconds to its first word and from there to its last.
        self.written = Usage(0, 0, exact=True)
        self.first_word_s: float | None = None
        self.writing_s = 0.0
        self._writer = writer
        self._patience = Patience(writer)

    def rewrite(self, question: str, history: Sequence[tuple[str, str]]) -> str | None:
        """The question so that it stands alone; None where it does, or where the model can't say in time."""
        said = ""
        until = time.monotonic() + self._limit_s
        reply = self.model.reply(build_rewriting(question, history))
        try:
            for piece in reply:
                self._writer.write("")
                said += piece
                if time.monotonic() > until or len(said) > _MAX_REWRITTEN:
                    log.info("The chat model took too long to rewrite a question.")
                    return None
        except ProviderError as error:
            log.info("A question could not be rewritten: %s", error)
            return None
        finally:
            reply.close()
            self.used = _sum(self.used, reply.usage)
        return read_rewriting(said, question, history)

    def take(self, turns: Sequence[Turn], numbers: Sequence[int]) -> None:
        """Write the model's answer as it comes; what it cites besides ``numbers`` is dropped before anybody sees it."""
        answer = AnswerFilter(numbers)
        try:
            with closing(self._listen(turns)) as pieces:
                for piece in pieces:
                    self._writer.write(answer.feed(piece[:MAX_ANSWER_CHARS]))
                    if len(self._writer.text) > MAX_ANSWER_CHARS:
                        self._writer.add(answer.finish() + _TOO_LONG)
                        return
        except (ProviderError, Stopped):
            self._writer.add(answer.finish())
            raise
        self._writer.add(answer.finish())

    def describe(self) -> str:
        """How much was written, and how fast: ``210 tokens in 3.2 s (66 a second)``."""
        tokens = self.written.completion_tokens
        said = f"{'' if self.written.exact else 'about '}{tokens:,} token{'' if tokens == 1 else 's'}"
        rate = self._rate()
        return said if rate is None else f"{said} in {self.writing_s:.1f} s ({rate:.0f} a second)"

    def complete(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what the answer's own words cost and how long they took."""
        rate = self._rate()
        return replace(
            snapshot,
            prompt_tokens=self.written.prompt_tokens,
            completion_tokens=self.written.completion_tokens,
            exact_tokens=self.written.exact,
            tokens_per_second=None if rate is None else round(rate, 1),
            first_token_seconds=None if self.first_word_s is None else round(self.first_word_s, 3),
        )

    def _rate(self) -> float | None:
        """Tokens a second from the first word on; None where that was too short to say."""
        return self.written.completion_tokens / self.writing_s if self.writing_s >= 0.05 else None

    def _listen(self, turns: Sequence[Turn]) -> Generator[str, None, None]:
        """The model's words; a model that is busy before its first word is asked again."""
        while True:
            try:
                yield from self._hear(turns)
            except ProviderBusy as busy:
                if self._writer.text:
                    raise
                self._patience.sit_out(busy)
                self._writer.note(f"Asking {self.model.name} again.")
            else:
                return

    def _hear(self, turns: Sequence[Turn]) -> Generator[str, None, None]:
        reply = self.model.reply(turns)
        heard: float | None = None
        try:
            for piece in reply:
                heard = time.monotonic() if piece and heard is None else heard
                yield piece
        finally:
            reply.close()
            self.first_word_s = reply.first_word_s
            self.writing_s = 0.0 if heard is None else time.monotonic() - heard
            self.written = reply.usage
            self.used = _sum(self.used, reply.usage)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        exact=one.exact and other.exact,
    )
