"""One request to a chat model: a thread that reads the answer, and the words that it has read."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import openai

from rag.chat.chat_records import Usage
from rag.chat.prompts import Turn, count_tokens
from rag.chat.provider_words import broken_off, silent, unreadable
from rag.errors import ProviderError

if TYPE_CHECKING:
    from rag.chat.llm import ChatModel

#: How often a silent stream gives whoever listens a chance to look around.
TICK_S = 0.1
#: Pieces that are read ahead of whoever listens; a flood waits at its own end.
_AHEAD = 500
_ENDINGS = {
    "length": "\n\n*The model stopped here: its answer reached the length limit.*",
    "content_filter": "\n\n*The model's provider stopped the answer here.*",
}


class Hearing:
    """Asks ``model`` once; :meth:`hang_up` closes the connection from any thread."""

    def __init__(self, model: ChatModel, turns: Sequence[Turn]) -> None:
        #: What is to be said below the answer, once it has ended.
        self.ending = ""
        self._model = model
        self._turns = turns
        self._billable = True
        self._told: Usage | None = None
        self._said_bytes = 0
        self._heard = False
        self._queue: queue.SimpleQueue[str | ProviderError | None] = queue.SimpleQueue()
        self._hung_up = threading.Event()
        self._line = model.line()
        self._thread = threading.Thread(target=self._read, daemon=True, name="chat model")

    @property
    def usage(self) -> Usage:
        """What it cost so far: as the server says, else as estimated; nothing where it did not take the request."""
        if not self._billable:
            return Usage(0, 0, True)
        if self._told is not None:
            return self._told
        asked = sum(count_tokens(turn["content"]) for turn in self._turns)
        return Usage(asked, -(-self._said_bytes // 3), False)

    def hang_up(self) -> None:
        """Close the connection, whatever the thread waits for."""
        if not self._hung_up.is_set():
            self._hung_up.set()
            self._line.cut()

    def words(self) -> Generator[str, None, None]:
        """What is said, and an empty string at least each :data:`TICK_S`; to be iterated once."""
        self._thread.start()
        heard_at = began = time.monotonic()
        while time.monotonic() - began < self._model.longest_s:
            try:
                word = self._queue.get(timeout=TICK_S)
            except queue.Empty:
                if time.monotonic() - heard_at > self._model.silence_s:
                    raise silent(self._model.silence_s) from None
                if not self._thread.is_alive() and self._queue.empty():
                    raise broken_off() from None
                yield ""
                continue
            if word is None:
                return
            if isinstance(word, ProviderError):
                raise word
            heard_at = time.monotonic()
            yield word
        self.ending = f"\n\n*Stopped here: the model was still writing after {_duration(self._model.longest_s)}.*"

    def _read(self) -> None:
        """Fill the queue: text, then None at the answer's proper end or the error that ended it."""
        try:
            self._queue.put(self._follow())
        except openai.APITimeoutError as error:
            self._queue.put(self._model.translate(error) if _never_connected(error) else silent(self._model.silence_s))
        except openai.APIError as error:
            # Who is hung up on while thinking has thought, and will say so on the bill.
            if not self._hung_up.is_set() and not self._heard:
                self._billable = False
            self._queue.put(self._model.translate(error))
        except (ValueError, TypeError, AttributeError, LookupError):
            self._queue.put(unreadable())
        finally:
            self._line.close()

    def _follow(self) -> ProviderError | None:
        reason = None
        with self._model.ask(self._line, self._turns) as chunks:
            for chunk in chunks:
                if self._hung_up.is_set():
                    return None
                self._heard = True
                text, ended = self._take(chunk)
                reason = ended or reason
                self._queue.put(text)
                self._wait_for_listener()
            if not self._heard:
                return unreadable(chunks.response.headers.get("content-type"))
        if reason is None:
            return broken_off()
        self.ending = _ENDINGS.get(reason, "")
        return None

    def _wait_for_listener(self) -> None:
        while self._queue.qsize() > _AHEAD and not self._hung_up.wait(TICK_S / 10):
            pass

    def _take(self, chunk: Any) -> tuple[str, str | None]:
        """Text and finish reason; servers also send chunks without choices, with thoughts or with counts only."""
        self._told = _counted(getattr(chunk, "usage", None)) or self._told
        if not chunk.choices:
            return "", None
        choice = chunk.choices[0]
        text = choice.delta.content if choice.delta is not None else ""
        if text is not None and not isinstance(text, str):
            raise TypeError
        thought = getattr(choice.delta, "reasoning_content", None) or getattr(choice.delta, "reasoning", None)
        for said in (text, thought):
            self._said_bytes += len(said.encode("utf-8", "replace")) if isinstance(said, str) else 0
        return text or "", choice.finish_reason


def _counted(usage: Any) -> Usage | None:
    """What a chunk says that was used, if that makes sense."""
    if usage is None:
        return None
    read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    sensible = isinstance(read, int) and isinstance(written, int) and read >= 0 and written >= 0 and read + written > 0
    return Usage(min(read, 10**9), min(written, 10**9), True) if sensible else None


def _never_connected(error: openai.APITimeoutError) -> bool:
    return "Connect" in type(error.__cause__).__name__


def _duration(seconds: float) -> str:
    return f"{seconds:g} seconds" if seconds < 120 else f"{seconds / 60:g} minutes"
