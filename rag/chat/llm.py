"""A chat model behind any server that speaks OpenAI's chat completions, read as a stream that can't hang."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any

import openai

from rag.chat.prompts import Turn
from rag.errors import ProviderBusy, ProviderError, ProviderRefused
from rag.vectors.hosted_embedder import retry_after

_CONNECT_TIMEOUT_S = 10.0
#: How often a silent stream gives its reader a chance to look around.
_TICK_S = 0.1
_ENDINGS = {
    "length": "\n\n*The model stopped here: its answer reached the length limit.*",
    "content_filter": "\n\n*The model's provider stopped the answer here.*",
}


class ChatModel:
    """``silence_s``: seconds without a word after which the model is given up on. Nothing is retried here."""

    def __init__(self, name: str, *, api_key: str, base_url: str = "", silence_s: float = 60.0) -> None:
        self.name = name
        self._silence_s = silence_s
        self._client = openai.OpenAI(
            api_key=api_key or "none",
            base_url=base_url or None,
            max_retries=0,
            timeout=openai.Timeout(silence_s, connect=min(_CONNECT_TIMEOUT_S, silence_s)),
        )

    def stream(self, turns: Sequence[Turn]) -> Generator[str, None, None]:
        """Yield the answer as it comes, and empty strings while it doesn't.

        :class:`ProviderBusy`, :class:`ProviderRefused` or another :class:`ProviderError`, perhaps after a part of
        the answer. Close the iterator to hang up.
        """
        words: queue.SimpleQueue[str | ProviderError | None] = queue.SimpleQueue()
        hung_up = threading.Event()
        reader = threading.Thread(target=self._read, args=(turns, words, hung_up), daemon=True, name="chat model")
        reader.start()
        heard_at = time.monotonic()
        try:
            while True:
                try:
                    word = words.get(timeout=_TICK_S)
                except queue.Empty:
                    if time.monotonic() - heard_at > self._silence_s:
                        raise self._silent() from None
                    if not reader.is_alive() and words.empty():
                        raise _broken_off() from None
                    yield ""
                    continue
                if word is None:
                    return
                if isinstance(word, ProviderError):
                    raise word
                heard_at = time.monotonic()
                yield word
        finally:
            hung_up.set()

    def _read(
        self,
        turns: Sequence[Turn],
        words: queue.SimpleQueue[str | ProviderError | None],
        hung_up: threading.Event,
    ) -> None:
        """Put the answer into ``words``: text, then None at its proper end or the error that ended it."""
        ending = None
        try:
            messages: Any = list(turns)
            with self._client.chat.completions.create(model=self.name, messages=messages, stream=True) as chunks:
                for chunk in chunks:
                    if hung_up.is_set():
                        return
                    text, reason = _content(chunk)
                    words.put(text)
                    ending = reason or ending
        except openai.APITimeoutError:
            words.put(self._silent())
        except openai.APIError as error:
            words.put(_translate(error, self.name))
        except (ValueError, TypeError, AttributeError, LookupError):
            words.put(_unreadable())
        else:
            words.put(_ENDINGS.get(ending, "") if ending else _broken_off())
            words.put(None)

    def _silent(self) -> ProviderError:
        return ProviderError(
            f"The chat model said nothing for {self._silence_s:g} seconds.",
            hint="Try again, or raise CHAT_TIMEOUT_S for a slow model.",
        )


def _content(chunk: Any) -> tuple[str, str | None]:
    """Text and finish reason of a chunk; servers also send chunks without choices, or with thoughts only."""
    if not chunk.choices:
        return "", None
    choice = chunk.choices[0]
    text = choice.delta.content if choice.delta is not None else ""
    if text is not None and not isinstance(text, str):
        raise TypeError
    return text or "", choice.finish_reason


def _translate(error: openai.APIError, model: str) -> ProviderError:
    if isinstance(error, openai.APIConnectionError):
        return ProviderError(
            "The connection to the chat model failed or broke off.",
            hint="Check OPENAI_BASE_URL and that the server runs, then try again.",
        )
    if not isinstance(error, openai.APIStatusError):
        return ProviderError(f"The chat model stopped with an error: {_said(error)}", hint="Try again in a moment.")
    status = error.status_code
    if error.code == "insufficient_quota":
        return ProviderRefused("The quota of the chat model's key is used up.", hint="Check the provider's billing.")
    if status in (429, 503, 529):
        headers = error.response.headers
        wait = retry_after(headers.get("retry-after-ms"), headers.get("retry-after"))
        return ProviderBusy("The chat model is busy.", retry_after=wait, hint="Try again in a few minutes.")
    if status in (401, 403):
        return ProviderError("The chat model's server did not accept the key.", hint="Check OPENAI_API_KEY.")
    if status == 404:
        return ProviderError(
            f"The server has no chat model named “{model}”.", hint="Check CHAT_MODEL and OPENAI_BASE_URL."
        )
    if status in (400, 413, 422):
        return ProviderRefused(
            f"The chat model refused the question: {_said(error)}",
            hint="If it says that the context is too long, lower CHAT_CONTEXT_TOKENS.",
        )
    return ProviderError(f"The chat model's server failed (status {status}).", hint="Try again in a moment.")


def _said(error: openai.APIError) -> str:
    return " ".join(str(error.message).split())[:300]


def _broken_off() -> ProviderError:
    return ProviderError("The chat model's answer broke off.", hint="Try again.")


def _unreadable() -> ProviderError:
    return ProviderError(
        "The chat model's answer can't be read.", hint="Check that OPENAI_BASE_URL is an OpenAI-compatible server."
    )
