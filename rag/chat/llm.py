"""A chat model behind any server that speaks OpenAI's chat completions, read as a stream that can't hang."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any

import openai

from rag.chat.chat_records import Usage as Usage
from rag.chat.hearing import TICK_S, Hearing
from rag.chat.prompts import Turn
from rag.chat.provider_line import Line
from rag.chat.provider_words import PassingTrouble, rejects_usage, translate
from rag.chat.reply_cleaning import KeyFilter, RepetitionWatch, ThoughtFilter, storable
from rag.errors import InvalidInput, ProviderError
from rag.settings import Settings

_CONNECT_TIMEOUT_S = 10.0
#: Waits before a request that the server did not take is sent again, each up to half as long again by chance.
_AGAIN_AFTER_S = (0.5, 1.0)
_REPEATS = "\n\n*Stopped here: the model went on repeating itself.*"


class ChatModel:
    """One model of one server. ``silence_s``: seconds without a word after which it is given up on.

    ``longest_s``: seconds after which an answer that still goes on is cut off.
    """

    def __init__(
        self, name: str, *, api_key: str, base_url: str = "", silence_s: float = 60.0, longest_s: float = 600.0
    ) -> None:
        self.name = name
        self.silence_s = silence_s
        self.longest_s = longest_s
        self._api_key = api_key
        self._base_url = base_url
        #: Old servers refuse to count tokens in a stream; then they are not asked again.
        self._counts_tokens = True

    def reply(self, turns: Sequence[Turn]) -> Reply:
        """The answer to come; nothing is asked before it is iterated."""
        return Reply(self, turns)

    def stream(self, turns: Sequence[Turn]) -> Generator[str, None, None]:
        """The words of :meth:`reply` alone. Close the iterator to hang up."""
        with self.reply(turns) as reply:
            yield from reply

    def hide_key(self) -> KeyFilter:
        """A filter for what this model says."""
        return KeyFilter(self._api_key)

    def translate(self, error: openai.APIError) -> ProviderError:
        """A foreign error in our words."""
        return translate(error, self.name, self._api_key)

    def line(self) -> Line:
        """A new line to the server."""
        timeout = openai.Timeout(self.silence_s, connect=min(_CONNECT_TIMEOUT_S, self.silence_s))
        return Line(api_key=self._api_key, base_url=self._base_url, timeout=timeout)

    def ask(self, line: Line, turns: Sequence[Turn]) -> Any:
        """The server's stream of chunks, as the client gives it."""
        asked: dict[str, Any] = {"model": self.name, "messages": list(turns), "stream": True}
        if self._counts_tokens:
            try:
                return line.client.chat.completions.create(**asked, stream_options={"include_usage": True})
            except openai.APIStatusError as error:
                if not rejects_usage(error):
                    raise
                self._counts_tokens = False
        return line.client.chat.completions.create(**asked)


class Reply:
    """One answer as it comes: text, and empty strings while there is none. Iterate it once; close it to hang up.

    Iterating raises :class:`ProviderBusy`, :class:`ProviderRefused` or another :class:`ProviderError`, perhaps after a
    part of the answer. A request that the server did not take is sent again twice, before the first word only.
    """

    def __init__(self, model: ChatModel, turns: Sequence[Turn]) -> None:
        self._model = model
        self._turns = turns
        self._hearing: Hearing | None = None
        #: Seconds from asking to the first word, as the provider gave it; None until then.
        self.first_word_s: float | None = None

    @property
    def usage(self) -> Usage:
        """What it cost, at any time: as the server says at the end of its stream, until then as estimated."""
        return Usage(0, 0, True) if self._hearing is None else self._hearing.usage

    def close(self) -> None:
        """Hang up: the connection to the provider is closed, whatever is still to come."""
        if self._hearing is not None:
            self._hearing.hang_up()

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        for wait in (*_AGAIN_AFTER_S, None):
            try:
                yield from self._listen()
                return
            except PassingTrouble:
                if wait is None or self.first_word_s is not None:
                    raise
            yield from _idle(wait * random.uniform(1, 1.5))

    def _listen(self) -> Generator[str, None, None]:
        self._hearing = hearing = Hearing(self._model, self._turns)
        thoughts, key, watch = ThoughtFilter(), self._model.hide_key(), RepetitionWatch()
        asked_at = time.monotonic()
        try:
            for word in hearing.words():
                shown = storable(key.feed(thoughts.feed(word)))
                if shown and self.first_word_s is None:
                    self.first_word_s = time.monotonic() - asked_at
                yield shown
                if shown and watch.notices(shown):
                    yield _REPEATS
                    return
            yield storable(key.feed(thoughts.finish()) + key.finish())
            yield hearing.ending
        except ProviderError:
            yield key.finish()
            raise
        finally:
            hearing.hang_up()


def _idle(seconds: float, clock: Callable[[], float] = time.monotonic) -> Generator[str, None, None]:
    until = clock() + seconds
    while (left := until - clock()) > 0:
        time.sleep(min(TICK_S, left))
        yield ""


def chat_model(settings: Settings, wanted: str | None = None) -> ChatModel:
    """The model ``wanted``, or the default; kept between answers. The only way to get one.

    Raises :class:`InvalidInput` without a chat model, or when that one may not be chosen.
    """
    if not settings.chat_model:
        raise InvalidInput("There is no chat model.", hint="Set CHAT_MODEL and restart.")
    name = wanted or settings.chat_model
    choosable = settings.choosable_models
    if choosable and name not in choosable:
        raise InvalidInput(f"The chat model “{name}” is not offered here.", hint="Choose another model.")
    return _kept(settings, name)


@lru_cache(maxsize=32)
def _kept(settings: Settings, name: str) -> ChatModel:
    return ChatModel(
        name,
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        silence_s=settings.chat_timeout_s,
        longest_s=settings.chat_longest_s,
    )
