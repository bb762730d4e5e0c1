"""Asks a chat model for one word, to say in words whether it can be used, or what is in the way."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from rag.chat.models_on_offer import OPENAI_URL, fetch_models
from rag.errors import CorpuscopeError, ProviderBusy, ProviderError
from rag.settings import Settings

#: Longer than this nobody looks at a button; a model that loads for longer is said to be slow.
_LONGEST_S = 30.0
_ENOUGH_CHARS = 200
_TURNS = "Reply with the one word: ready"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``words`` say what happened, ``hint`` what to do. Seconds are None where it didn't come so far.

    ``listed`` is how many chat models the server lists, None where it has no list.
    """

    ok: bool
    words: str
    hint: str = ""
    seconds: float | None = None
    first_token_s: float | None = None
    model: str = ""
    listed: int | None = None


def describe_server(settings: Settings) -> str:
    """The server's address, which holds no secret, and whether a key goes with it."""
    key = "with a key" if settings.openai_api_key.get_secret_value() else "without a key"
    return f"{settings.openai_base_url or OPENAI_URL} ({key})"


def check_connection(settings: Settings, model: str | None = None) -> Verdict:
    """Ask ``model``, or the default, for a word. Takes up to half a minute; raises nothing of the provider's."""
    name = model or settings.chat_model
    names, trouble = _list(settings)
    listed = None if names is None else len(names)
    if not name:
        return _without_model(names, trouble)
    verdict = replace(_ask(settings, name), model=name, listed=listed)
    if verdict.ok:
        return replace(verdict, words=f"{verdict.words} {_say_listed(name, names)}")
    better = _better_address(settings) if names is None else ""
    if better:
        return replace(verdict, hint=f"A model server answers at {better}: set OPENAI_BASE_URL to that.")
    if names and name not in names:
        return replace(verdict, hint=f"{verdict.hint} The server lists {_some(names)}.".strip())
    return verdict


def _ask(settings: Settings, name: str) -> Verdict:
    from rag.chat.llm import chat_model

    began = time.monotonic()
    said = ""
    try:
        with chat_model(settings, name).reply([{"role": "user", "content": _TURNS}]) as reply:
            for piece in reply:
                said += piece
                if len(said) > _ENOUGH_CHARS:
                    break
                if time.monotonic() - began > _LONGEST_S:
                    return _slow(began, reply.first_word_s)
    except ProviderBusy as busy:
        wait = (
            "" if busy.retry_after is None else f" It wants to be left alone for {max(1, round(busy.retry_after))} s."
        )
        return Verdict(False, f"{busy} The address and the key work.{wait}", busy.hint, time.monotonic() - began)
    except CorpuscopeError as error:
        return Verdict(False, str(error), error.hint, time.monotonic() - began)
    seconds = time.monotonic() - began
    if not said.strip():
        return Verdict(False, f"{name} gave an empty answer.", "Choose another model.", seconds)
    first = reply.first_word_s
    words = f"{name} answers: first word after {first or seconds:.2f} s, done after {seconds:.2f} s."
    return Verdict(True, words + _say_counting(reply.usage.exact), "", seconds, first)


def _slow(began: float, first: float | None) -> Verdict:
    return Verdict(
        False,
        f"The chat model took longer than {_LONGEST_S:.0f} seconds for one word.",
        "A local model may still be loading: test again in a minute.",
        time.monotonic() - began,
        first,
    )


def _say_counting(exact: bool) -> str:
    return " It counts its tokens." if exact else " It doesn't count its tokens, so spending is estimated."


def _say_listed(name: str, names: list[str] | None) -> str:
    if names is None:
        return "The server has no list of models: name those that people may choose in CHAT_MODELS."
    models = "1 chat model" if len(names) == 1 else f"{len(names)} chat models"
    return f"The server lists {models}{'' if name in names else ', this one not among them'}."


def _without_model(names: list[str] | None, trouble: ProviderError | None) -> Verdict:
    if trouble is not None:
        return Verdict(False, str(trouble), trouble.hint)
    found = f"The server lists {_some(names)}. " if names else ""
    return Verdict(
        False,
        "No chat model is set, so answers are quoted from the documents.",
        f"{found}Set CHAT_MODEL and restart to have answers written by a model.",
        listed=len(names or []),
    )


def _list(settings: Settings) -> tuple[list[str] | None, ProviderError | None]:
    try:
        return fetch_models(settings), None
    except ProviderError as error:
        return None, error


def _better_address(settings: Settings) -> str:
    """The address with /v1 after it, if there is a model server there and none at the address itself."""
    base = settings.openai_base_url.rstrip("/")
    if not base or base.endswith("/v1"):
        return ""
    try:
        fetch_models(settings, f"{base}/v1", timeout_s=5.0)
    except ProviderError:
        return ""
    return f"{base}/v1"


def _some(names: list[str] | None) -> str:
    shown = ", ".join((names or [])[:5])
    more = len(names or []) - 5
    return f"{shown} and {more} more" if more > 0 else shown or "none"
