"""Retrieval profiles: the settings of a search, shared by search, chat, evaluation and the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from rag.errors import InvalidInput

Mode = Literal["dense", "lexical", "hybrid"]
Fusion = Literal["convex", "rrf"]

MAX_K = 1000
MAX_RERANK_DEPTH = 200
MAX_NEIGHBOURS = 3
#: Characters of a reranker's name or folder.
_MAX_NAME = 500


@dataclass(frozen=True, slots=True)
class RetrievalProfile:
    """How a question finds its chunks; the fields are the keys that ``search_chunks()`` understands.

    ``threshold`` is a cosine similarity in [-1, 1], applied after the cut at ``k``. ``dense_weight`` is the share of
    the cosine in convex fusion, the rest is BM25 over its own maximum; the database lowers it in an index whose vectors
    disagree with shared words, as under a model that doesn't know the language. ``ef_search`` is how far an HNSW index
    looks: 200 measured a recall@10 of .99 on 100,000 chunks.

    ``diversity`` is 1 - lambda of maximal marginal relevance over the first 64: 0 leaves the order, 1 cares only for
    being unlike what stands above. ``rerank`` names a cross encoder (a name on the hub or a folder) that orders the
    first ``rerank_depth`` anew, before diversity. ``neighbours`` is how many chunks before and after each hit a chat
    model reads with it; they never count in the ranking. Raises :class:`InvalidInput` naming the first bad value.
    """

    mode: Mode = "hybrid"
    k: int = 10
    threshold: float | None = None
    fusion: Fusion = "convex"
    dense_weight: float = 0.6
    rrf_k: int = 60
    ef_search: int = 200
    diversity: float = 0.0
    rerank: str | None = None
    rerank_depth: int = 50
    neighbours: int = 0

    def __post_init__(self) -> None:
        _check(self.mode in get_args(Mode), f"The mode of a search is dense, lexical or hybrid, not {self.mode!r}.")
        _check(_whole(self.k, 1, MAX_K), f"A search returns between 1 and {MAX_K:,} chunks, not {self.k!r}.")
        _check(
            self.threshold is None or _number(self.threshold, -1, 1),
            f"A threshold on cosine similarity lies between -1 and 1, not {self.threshold!r}.",
        )
        _check(self.fusion in get_args(Fusion), f"The fusion of a search is convex or rrf, not {self.fusion!r}.")
        _check(
            _number(self.dense_weight, 0, 1),
            f"The weight of the dense leg lies between 0 and 1, not {self.dense_weight!r}.",
        )
        _check(
            _whole(self.rrf_k, 1, 1000),
            f"The constant of reciprocal rank fusion lies between 1 and 1,000, not {self.rrf_k!r}.",
        )
        _check(_whole(self.ef_search, 1, 1000), f"ef_search lies between 1 and 1,000, not {self.ef_search!r}.")
        _check(_number(self.diversity, 0, 1), f"Diversity lies between 0 and 1, not {self.diversity!r}.")
        _check(
            self.rerank is None or (isinstance(self.rerank, str) and 1 <= len(self.rerank) <= _MAX_NAME),
            f"A reranker is the name or the folder of a cross encoder, not {self.rerank!r}.",
        )
        _check(
            _whole(self.rerank_depth, 1, MAX_RERANK_DEPTH),
            f"Between 1 and {MAX_RERANK_DEPTH} chunks are reranked, not {self.rerank_depth!r}.",
        )
        _check(
            _whole(self.neighbours, 0, MAX_NEIGHBOURS),
            f"Between 0 and {MAX_NEIGHBOURS} neighbours are added on each side of a chunk, not {self.neighbours!r}.",
        )

    def to_json(self) -> dict[str, Any]:
        """Every setting, as ``search_chunks()`` and the table take them."""
        return {name: getattr(self, name) for name in _SETTINGS}  # asdict() copies deeply: .04 ms a search

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> RetrievalProfile:
        """The profile of these settings; what is left out takes its default. Unknown keys are refused."""
        unknown = sorted(set(settings).difference(_SETTINGS))
        _check(not unknown, f"A retrieval profile has no setting {', '.join(unknown)}.")
        return cls(**settings)

    def with_changes(self, **changes: Any) -> RetrievalProfile:
        """This profile with those settings that are not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


_SETTINGS = tuple(field.name for field in fields(RetrievalProfile))


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInput(message)


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(value: object, low: float, high: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= float(value) <= high
    )
