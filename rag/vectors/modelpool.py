"""The models that indexes use, each loaded once in a process and shared by its threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, TypeVar

from rag.chunks.tokens import TokenCounter
from rag.settings import Settings
from rag.vectors.embedders import Embedder, Vectors
from rag.vectors.models import ModelInfo, describe_model, settings_for
from rag.vectors.models import ModelRow as ModelRow

T = TypeVar("T")

Load = Callable[[Settings], T]


class ModelPool:
    """Gives the embedder or the tokenizer of a model; loads it on first use. Raises what the loaders raise."""

    def __init__(self, settings: Settings, load_embedder: Load[Embedder], load_tokens: Load[TokenCounter]) -> None:
        self._settings = settings
        self._embedders = _Shelf(load_embedder)
        self._tokens = _Shelf(load_tokens)

    @cached_property
    def default(self) -> ModelInfo:
        """What the settings name."""
        return describe_model(self._settings)

    def default_embedder(self) -> Embedder:
        """The embedder that the settings name; waits while it loads."""
        return self._embedders.get((self.default.provider, self.default.name), self._settings)

    def embedder(self, model: ModelRow) -> Embedder:
        """The embedder of an index's model, for its passages; waits while it loads."""
        return self.question_embedder(model)

    def question_embedder(self, model: ModelRow) -> Embedder:
        """The same, for questions to it and what answers them."""
        return self._embedders.get((model.provider, model.name), self._settings_for(model))

    def tokens(self, model: ModelRow) -> TokenCounter:
        """The tokenizer of an index's model; quick, whether or not the model itself is loaded."""
        return self._tokens.get((model.provider, model.name), self._settings_for(model))

    def _settings_for(self, model: ModelRow) -> Settings:
        if (model.provider, model.name) == (self.default.provider, self.default.name):
            return self._settings
        return settings_for(self._settings, model)


class _Shelf(Generic[T]):
    """Things by model; two threads that want the same one load it once."""

    def __init__(self, load: Load[T]) -> None:
        self._load = load
        self._loaded: dict[tuple[str, str], T] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str], settings: Settings) -> T:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._loaded:
                self._loaded[key] = self._load(settings)
            return self._loaded[key]


class WaitingEmbedder:
    """The default embedder for whoever can't wait until it is loaded: only its use does."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool

    @property
    def info(self) -> ModelInfo:
        """Known before the model is loaded."""
        return self._pool.default

    @property
    def tokens(self) -> TokenCounter:
        """See :class:`rag.vectors.embedders.Embedder`."""
        return self._pool.default_embedder().tokens

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """See :class:`rag.vectors.embedders.Embedder`."""
        return self._pool.default_embedder().embed_passages(texts)

    def embed_question(self, text: str) -> Vectors:
        """See :class:`rag.vectors.embedders.Embedder`."""
        return self._pool.default_embedder().embed_question(text)
