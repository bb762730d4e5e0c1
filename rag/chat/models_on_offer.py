"""Which chat models the server offers: asked beside whoever wants to know, and remembered.

Also the app's pages ask here, so nothing of this needs the client library, whose import takes a second.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from rag.errors import ProviderError
from rag.settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
#: How long a list is good, and how long a failure to get one.
_FRESH_S, _SORE_S = 300.0, 30.0
_MOST_BYTES, _MOST_NAMES, _LONGEST_NAME = 4_000_000, 500, 200
#: What servers list beside chat models, told by the names that they give them.
_NO_CHAT = re.compile(
    r"embed|whisper|tts|dall-e|image|imagen|veo|sora|moderation|transcribe|audio|realtime|rerank|davinci|babbage"
    r"|\baqa\b|clip|bge-|minilm",
    re.IGNORECASE,
)


def offered_models(settings: Settings) -> list[str]:
    """Names that may be chosen now, the default first; none without a chat model. Never waits.

    What the server lists is asked for in a thread, so the first call knows the default only, and later ones more.
    """
    if not settings.chat_model:
        return []
    return settings.choosable_models or _with_default(settings, _shelf(settings).names())


def read_offer(settings: Settings) -> list[str]:
    """The same for whoever can wait: the server is asked now. Raises :class:`ProviderError`."""
    listed = fetch_models(settings)
    _shelf(settings).put(listed)
    return settings.choosable_models or _with_default(settings, listed)


def _with_default(settings: Settings, listed: list[str]) -> list[str]:
    return list(dict.fromkeys([settings.chat_model, *listed])) if settings.chat_model else listed


def fetch_models(settings: Settings, base_url: str | None = None, timeout_s: float = 10.0) -> list[str]:
    """The chat models that the server lists, by name. Raises :class:`ProviderError` in words."""
    import httpx2

    url = models_url(settings.openai_base_url if base_url is None else base_url)
    key = settings.openai_api_key.get_secret_value()
    until = time.monotonic() + timeout_s
    try:
        with httpx2.stream("GET", url, headers=_headers(key), timeout=timeout_s) as response:
            body = _read(response.iter_bytes(), until)
            status, kind = response.status_code, response.headers.get("content-type", "")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ProviderError(
            "The chat model's server can't be reached.", hint="Check OPENAI_BASE_URL and that the server runs."
        ) from error
    if status in (401, 403):
        raise ProviderError("The chat model's server did not accept the key.", hint="Check OPENAI_API_KEY.")
    if status != 200:
        raise ProviderError(
            f"The chat model's server has no list of models (status {status}).",
            hint="Check OPENAI_BASE_URL; for most servers it ends in /v1.",
        )
    return read_names(body, kind)


def models_url(base_url: str) -> str:
    """Where the server at ``base_url`` lists its models."""
    return f"{(base_url or OPENAI_URL).rstrip('/')}/models"


def _headers(key: str) -> dict[str, str]:
    if not key:
        return {}
    # Anthropic's own list wants the key under its own name; other servers don't mind.
    return {"Authorization": f"Bearer {key}", "x-api-key": key, "anthropic-version": "2023-06-01"}


def _read(pieces: Any, until: float) -> bytes:
    body = b""
    for piece in pieces:
        body += piece
        if len(body) > _MOST_BYTES or time.monotonic() > until:
            raise ProviderError(
                "The chat model's server sends a list of models without end.", hint="Name them in CHAT_MODELS."
            )
    return body


def read_names(body: bytes, content_type: str = "") -> list[str]:
    """The names of chat models in a server's list, sorted; what can't be a chat model's name is left out."""
    try:
        said = json.loads(body)
        entries = said["data"] if isinstance(said, Mapping) else said
        found = {str(entry["id"]).removeprefix("models/") for entry in entries if isinstance(entry["id"], str)}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = "a web page" if "html" in content_type else "no list of models"
        raise ProviderError(
            f"What answers at OPENAI_BASE_URL is {what}.",
            hint="Check OPENAI_BASE_URL; for most servers it ends in /v1.",
        ) from error
    usable = [name for name in found if 0 < len(name) <= _LONGEST_NAME and name.isprintable()]
    return sorted((name for name in usable if not _NO_CHAT.search(name)), key=str.lower)[:_MOST_NAMES]


class Shelf:
    """The names that a server listed last, renewed in a thread when they are asked for and old."""

    def __init__(self, fetch: Callable[[], list[str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._good_until = float("-inf")
        self._asking = False

    def names(self) -> list[str]:
        """What is known now."""
        with self._lock:
            if self._clock() >= self._good_until and not self._asking:
                self._asking = True
                threading.Thread(target=self._renew, daemon=True, name="chat models").start()
            return list(self._names)

    def put(self, names: list[str]) -> None:
        """Remember what somebody else asked for."""
        with self._lock:
            self._names, self._good_until = list(names), self._clock() + _FRESH_S

    def _renew(self) -> None:
        try:
            self.put(self._fetch())
        except ProviderError:
            # Whoever wants to know why tests the connection; here the names of before stay.
            with self._lock:
                self._good_until = self._clock() + _SORE_S
        finally:
            self._asking = False


_shelves: dict[tuple[str, str], Shelf] = {}
_shelves_lock = threading.Lock()


def _shelf(settings: Settings) -> Shelf:
    """One for each server and key, for the life of the process. Nothing of a person's is in it."""
    place = settings.openai_base_url, settings.openai_api_key.get_secret_value()
    with _shelves_lock:
        return _shelves.setdefault(place, Shelf(lambda: fetch_models(settings)))
