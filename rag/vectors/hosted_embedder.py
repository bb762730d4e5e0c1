"""Embeddings from OpenAI or any server that speaks its protocol. The queue retries; this client does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import openai

from rag.chunks.tokens import TokenCounter
from rag.errors import ProviderBusy, ProviderError, ProviderRefused, TextTooLong
from rag.vectors.embedders import averaged, question_parts
from rag.vectors.models import ModelInfo

Vectors = npt.NDArray[np.float32]

#: One request holds so many texts and tokens at most (OpenAI allows 2,048 and 300,000).
MAX_TEXTS = 128
MAX_TOKENS = 100_000
CONNECT_TIMEOUT_S = 5.0


class OpenAIEmbedder:
    """A hosted model. ``ask_dimensions``: name the vectors' size in requests, for models that can shorten theirs."""

    max_texts = MAX_TEXTS
    max_tokens = MAX_TOKENS

    def __init__(
        self,
        info: ModelInfo,
        tokens: TokenCounter,
        *,
        api_key: str,
        base_url: str = "",
        ask_dimensions: bool = False,
        timeout_s: float = 60.0,
    ) -> None:
        self.info = info
        self.tokens = tokens
        self._asked: dict[str, Any] = {"dimensions": info.dimensions} if ask_dimensions else {}
        self._client = openai.OpenAI(
            api_key=api_key or "none",
            base_url=base_url or None,
            max_retries=0,
            timeout=openai.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        )

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """See :class:`rag.vectors.embedders.Embedder`."""
        found = [self._embed(batch) for batch in self._batches([self.info.passage_prefix + text for text in texts])]
        return np.concatenate(found) if found else np.zeros((0, self.info.dimensions), np.float32)

    def embed_question(self, text: str) -> Vectors:
        """See :class:`rag.vectors.embedders.Embedder`."""
        return averaged(self._embed(question_parts(text, self.info, self.tokens)))

    def _batches(self, texts: list[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        room = self.max_tokens
        for text, count in zip(texts, self.tokens.counts(texts), strict=True):
            if count > self.info.window:
                raise TextTooLong(f"This text has about {count} tokens; the model reads {self.info.window}.")
            if batch and (count > room or len(batch) == self.max_texts):
                yield batch
                batch, room = [], self.max_tokens
            batch.append(text)
            room -= count
        if batch:
            yield batch

    def _embed(self, texts: list[str]) -> Vectors:
        try:
            answer = self._client.embeddings.create(
                model=self.info.name, input=texts, encoding_format="float", **self._asked
            )
            rows = [(item.index, item.embedding) for item in answer.data]
        except openai.APIError as error:
            raise translate(error) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise ProviderError("The embedding server's answer can't be read.") from error
        return self._checked(rows, len(texts))

    def _checked(self, rows: list[tuple[int, list[float]]], expected: int) -> Vectors:
        """The answer as unit vectors in the order of the request, or an error: never a vector for another text."""
        try:
            found = np.array([vector for _, vector in sorted(rows, key=lambda row: row[0])], np.float64)
        except (ValueError, TypeError) as error:
            raise ProviderError("The embedding server's answer can't be read.") from error
        if sorted(index for index, _ in rows) != list(range(expected)):
            raise ProviderError(f"The embedding server answered {len(rows)} vectors to {expected} texts.")
        if found.ndim != 2 or found.shape[1] != self.info.dimensions:
            raise ProviderError(
                f"The embedding server's vectors have {found.shape[-1]} numbers instead of {self.info.dimensions}.",
                hint="Set EMBEDDING_DIMENSIONS to what the model gives.",
            )
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or (lengths < 1e-9).any():
            raise ProviderError("The embedding server answered with vectors that mean nothing.")
        return np.asarray(found / lengths, np.float32)


def translate(error: openai.APIError) -> ProviderError:
    """The provider's error in our words: busy (try later), refused (never try this input again), or wrong."""
    if isinstance(error, openai.APITimeoutError):
        return ProviderBusy("The embedding server did not answer in time; the work is tried again later.")
    if isinstance(error, openai.APIConnectionError):
        return ProviderBusy("The embedding server can't be reached; the work is tried again later.")
    if not isinstance(error, openai.APIStatusError):
        return ProviderError("The embedding server's answer can't be read.")
    status = error.status_code
    if status in (408, 409, 429) or status >= 500:
        wait = retry_after(error.response.headers.get("retry-after-ms"), error.response.headers.get("retry-after"))
        return ProviderBusy(
            f"The embedding server is busy (status {status}); the work is tried again later.", retry_after=wait
        )
    if status in (400, 413, 422):
        return ProviderRefused(f"The embedding server refused this text: {_said(error)}")
    if status in (401, 403):
        return ProviderError("The embedding server did not accept the key.", hint="Check OPENAI_API_KEY.")
    return ProviderError(
        f"The embedding server answered with status {status}: {_said(error)}",
        hint="Check EMBEDDING_MODEL, EMBEDDING_BASE_URL and OPENAI_BASE_URL.",
    )


def retry_after(milliseconds: str | None, seconds_or_date: str | None) -> float | None:
    """Seconds that the provider wishes to be left alone, from its headers; None if it doesn't say."""
    for value, unit in ((milliseconds, 1000.0), (seconds_or_date, 1.0)):
        try:
            wait = float(value or "")
        except ValueError:
            continue
        if 0 <= wait < float("inf"):
            return wait / unit
    try:
        date = parsedate_to_datetime(seconds_or_date or "")
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _said(error: openai.APIStatusError) -> str:
    return " ".join(str(error.message).split())[:300]
