"""Embeddings from the Edge Function ``embed`` of the Supabase project, with the model that it embeds the queue with."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from rag.chunks.tokens import TokenCounter
from rag.errors import ProviderBusy, ProviderError, ProviderRefused
from rag.vectors.hosted_embedder import CONNECT_TIMEOUT_S, OpenAIEmbedder, retry_after
from rag.vectors.models import ModelInfo

Vectors = npt.NDArray[np.float32]

PATH = "/functions/v1/embed"


class EdgeFunctionEmbedder(OpenAIEmbedder):
    """The function's model. ``key``: the project's secret key, or what EMBED_SECRET is among the function's secrets."""

    # What supabase/functions/embed takes at once; gte-small reads one text after the other there.
    max_texts = 64
    max_tokens = 20_000

    def __init__(self, info: ModelInfo, tokens: TokenCounter, url: str, key: str, *, timeout_s: float = 60.0) -> None:
        self.info = info
        self.tokens = tokens
        self._address = url.rstrip("/") + PATH
        self._headers = {"Authorization": f"Bearer {key}", "apikey": key}
        self._timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)

    def _embed(self, texts: list[str]) -> Vectors:
        try:
            answer = httpx.post(self._address, json={"texts": texts}, headers=self._headers, timeout=self._timeout)
        except httpx.TimeoutException as error:
            raise ProviderBusy(
                "The Edge Function embed did not answer in time; the work is tried again later."
            ) from error
        except httpx.HTTPError as error:
            raise ProviderBusy("The Edge Function embed can't be reached; the work is tried again later.") from error
        if answer.status_code != httpx.codes.OK:
            raise _translate(answer)
        try:
            rows = list(enumerate(answer.json()["vectors"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ProviderError("The Edge Function embed's answer can't be read.") from error
        return self._checked(rows, len(texts))


def _translate(answer: httpx.Response) -> ProviderError:
    status, said = answer.status_code, _said(answer)
    if status == httpx.codes.UNPROCESSABLE_ENTITY or status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return ProviderRefused(said)
    if status in (401, 403):
        return ProviderError("The Edge Function embed did not accept the key.", hint="Check SUPABASE_SECRET_KEY.")
    if status == httpx.codes.NOT_FOUND:
        return ProviderError(
            "The project has no Edge Function embed.", hint="Deploy it: supabase functions deploy embed."
        )
    if status == httpx.codes.TOO_MANY_REQUESTS or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED):
        wait = retry_after(None, answer.headers.get("retry-after"))
        return ProviderBusy(f"The Edge Function embed is busy: {said}", retry_after=wait)
    return ProviderError(said, hint="docs/supabase.md has the function's secrets.")


def _said(answer: httpx.Response) -> str:
    try:
        body: Any = answer.json()
        return str(body["message"])[:300]
    except (ValueError, TypeError, KeyError):
        return f"status {answer.status_code}"
