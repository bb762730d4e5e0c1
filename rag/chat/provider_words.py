"""What goes wrong at a chat model's server, in words for whoever waits for the answer, and without the key."""

from __future__ import annotations

from typing import Any

import openai

from rag.errors import ProviderBusy, ProviderError, ProviderRefused
from rag.vectors.hosted_embedder import retry_after

_LONGEST_QUOTE = 300
_HIDDEN = "[the key]"
SHORTEST_KEY = 10


class PassingTrouble(ProviderError):
    """The model provider did not take the request; trying again at once may help."""


def translate(error: openai.APIError, model: str, key: str) -> ProviderError:
    """The provider's error in our words; ``key`` never gets into them, even where a server repeats it."""
    if isinstance(error, openai.APITimeoutError):
        return PassingTrouble("The chat model's server did not answer in time.", hint="Try again in a moment.")
    if isinstance(error, openai.APIConnectionError):
        return PassingTrouble(
            "The connection to the chat model failed or broke off.",
            hint="Check OPENAI_BASE_URL and that the server runs, then try again.",
        )
    said = _said(error, key)
    if not isinstance(error, openai.APIStatusError):
        return ProviderError(f"The chat model stopped with an error: {said}", hint="Try again in a moment.")
    if error.code == "insufficient_quota":
        return ProviderRefused("The quota of the chat model's key is used up.", hint="Check the provider's billing.")
    return _of_status(error, said, model)


def _of_status(error: openai.APIStatusError, said: str, model: str) -> ProviderError:
    status = error.status_code
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
            f"The chat model refused the question: {said}",
            hint="If it says that the context is too long, lower CHAT_CONTEXT_TOKENS.",
        )
    if 300 <= status < 400:
        return ProviderError(
            "The chat model's server sends requests elsewhere, which is not followed.",
            hint="Set OPENAI_BASE_URL to the address that it names.",
        )
    kind = PassingTrouble if status in (408, 500, 502, 504) else ProviderError
    return kind(f"The chat model's server failed (status {status}).", hint="Try again in a moment.")


def hide_key(text: str, key: str) -> str:
    """``text`` without the key; what is shorter than :data:`SHORTEST_KEY` is a word that no server checks."""
    return text.replace(key, _HIDDEN) if len(key) >= SHORTEST_KEY else text


def _said(error: openai.APIError, key: str) -> str:
    return hide_key(" ".join(str(error.message).split()), key)[:_LONGEST_QUOTE]


def rejects_usage(error: openai.APIError) -> bool:
    """Whether a server refused the request only because it was asked to count tokens in the stream."""
    said = str(error.message)
    return (
        isinstance(error, openai.APIStatusError)
        and error.status_code in (400, 422)
        and ("stream_options" in said or "include_usage" in said)
    )


def broken_off() -> ProviderError:
    """The stream ended before its end."""
    return ProviderError("The chat model's answer broke off.", hint="Try again.")


def unreadable(content_type: Any = "") -> ProviderError:
    """What came is not a stream of a chat completion."""
    hint = "Check that OPENAI_BASE_URL is an OpenAI-compatible server; for most of them it ends in /v1."
    if "html" in str(content_type):
        return ProviderError("What answers at OPENAI_BASE_URL is a web page, not a chat model.", hint=hint)
    return ProviderError("The chat model's answer can't be read.", hint=hint)


def silent(seconds: float) -> ProviderError:
    """Nothing came for so long that it is given up on."""
    return ProviderError(
        f"The chat model said nothing for {seconds:g} seconds.",
        hint="Try again, or raise CHAT_TIMEOUT_S for a slow model.",
    )
