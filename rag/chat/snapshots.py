"""What an answer was made with, as it was then: kept with it, so that "why did it say that?" can be answered later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SearchedPlace:
    """A collection that was searched, under the name that it had, and the index and model that it was searched by."""

    collection: UUID
    collection_name: str
    index: int
    model: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How an answer came about; beside it are kept the passages themselves, with their scores.

    ``found`` counts the hits of all searches, ``kept`` those that were read; ``left_out`` are the numbers of passages
    that did not fit the model's window. Tokens are None where no model wrote; ``exact_tokens`` says that its server
    counted them. ``first_token_seconds`` is what the model itself took to its first word. ``cites_nothing``: the model
    cited no passage, so that the nearest ones were quoted after its words.
    """

    profile: dict[str, Any]
    indexes: list[SearchedPlace]
    found: int
    kept: int
    left_out: list[int] = field(default_factory=list)
    retrieval_seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    exact_tokens: bool | None = None
    tokens_per_second: float | None = None
    first_token_seconds: float | None = None
    cites_nothing: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the column ``messages.snapshot`` holds it."""
        return {**asdict(self), "indexes": [asdict(one) | {"collection": str(one.collection)} for one in self.indexes]}


_FIELDS = frozenset(one.name for one in fields(Snapshot))


def read_snapshot(stored: Mapping[str, Any] | None) -> Snapshot | None:
    """The column as a record; what another version knew besides is left out."""
    if stored is None:
        return None
    values = {name: value for name, value in stored.items() if name in _FIELDS}
    places = [
        SearchedPlace(UUID(one["collection"]), one["collection_name"], one["index"], one["model"])
        for one in stored.get("indexes", [])
    ]
    return Snapshot(**{"profile": {}, "found": 0, "kept": 0, **values, "indexes": places})
