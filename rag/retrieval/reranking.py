"""Cross encoders by name, loaded when a profile asks for one and kept for the next search."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from rag.errors import ModelNotReady, NotAllowed
from rag.settings import Settings, load_settings

#: Rerankers kept in memory at once.
_KEPT = 2


class Reranker(Protocol):
    """What reorders hits."""

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """How well each passage answers the question, in their order; higher is better, in the model's own unit."""
        ...


Rerankers = Callable[[str], Reranker]


class LoadedRerankers:
    """Rerankers by name or folder, each fetched, exported and loaded once. May be shared between threads.

    ``patience_s`` is how long a search waits for one that is being prepared, which can take minutes the first time;
    None waits to the end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        patience_s: float | None = None,
        load: Callable[[str, Path], Reranker] | None = None,
    ) -> None:
        self.settings = settings
        self.patience_s = patience_s
        self._load = load or _load
        self._lock = threading.Lock()
        self._found: dict[str, Future[Reranker]] = {}

    def __call__(self, name: str) -> Reranker:
        """That reranker.

        Raises :class:`NotAllowed` for one that the installation doesn't offer, :class:`ModelNotReady` while it is being
        prepared, :class:`ModelError` if it can't be had; the next call tries again.
        """
        if not offers_reranker(self.settings, name):
            raise NotAllowed(
                f"This installation doesn't rerank with {name!r}.",
                hint="An administrator can add it to the setting RERANK_MODELS.",
            )
        future = self._start(name)
        try:
            return future.result(self.patience_s)
        except TimeoutError as error:
            raise ModelNotReady(
                f"The reranker {name!r} is still being prepared.", hint="Search again in a moment, or without it."
            ) from error

    def _start(self, name: str) -> Future[Reranker]:
        with self._lock:
            future = self._found.pop(name, None)
            if future is None or (future.done() and future.exception() is not None):
                future = Future()
                threading.Thread(target=self._prepare, args=(name, future), name="reranker", daemon=True).start()
            self._found[name] = future  # the latest asked for comes last
            for oldest in list(self._found)[:-_KEPT]:
                del self._found[oldest]
            return future

    def _prepare(self, name: str, future: Future[Reranker]) -> None:
        try:
            future.set_result(self._load(name, self.settings.corpuscope_home))
        except Exception as error:  # noqa: BLE001 - whoever waits for the reranker gets it
            future.set_exception(error)


def offered_rerankers(settings: Settings) -> list[str]:
    """The cross encoders that RERANK_MODELS names, to choose from."""
    return [name for part in settings.rerank_models.split(",") if (name := part.strip())]


def offers_reranker(settings: Settings, name: str) -> bool:
    """Whether a profile may name this one. Where people sign in, none of them has the server load what isn't listed."""
    offered = offered_rerankers(settings)
    return name in offered or (not offered and settings.auth == "none")


@lru_cache(maxsize=1)
def shared_rerankers() -> LoadedRerankers:
    """Those of this process."""
    return LoadedRerankers(load_settings())


def _load(name: str, home: Path) -> Reranker:
    # Most searches don't rerank, and these take a while to import.
    from rag.vectors.cross_encoder import CrossEncoder
    from rag.vectors.cross_encoder_export import ensure_cross_encoder

    folder = ensure_cross_encoder(name, home)
    return CrossEncoder(folder, cache_dir=folder / "cache")
