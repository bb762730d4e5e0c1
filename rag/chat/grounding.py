"""What an answer is looked for in: collections with their indexes, under the settings that were asked with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from rag.chat.extractive import EmbedSentences
from rag.corpus.baselines import read_baseline
from rag.corpus.indexes import SearchedIndex, read_searched_index
from rag.errors import InvalidInput, NotFound
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import load_profile
from rag.vectors.embedders import Embedder
from rag.vectors.models import ModelInfo

#: Mean similarity of unrelated texts assumed until it has been measured; that of the packaged model.
_RANDOM_MEAN = 0.03


@dataclass(frozen=True, slots=True)
class Ground:
    """What a collection is searched with: a profile, its index's model and that model's idea of "nothing in common".

    ``scope`` is the id of the selection that is searched, None for all of it. ``trust`` is the share of the profile's
    dense weight that a search of the index uses.
    """

    collection_id: UUID
    name: str
    profile: RetrievalProfile
    index: SearchedIndex
    random_mean: float
    scope: int | None = None
    trust: float = 1.0

    def check(self, info: ModelInfo) -> None:
        """Raise :class:`InvalidInput` if this embedder's vectors mean nothing to the index."""
        model = self.index.model
        if self.profile.mode != "lexical" and (info.provider, info.name) != (model.provider, model.name):
            raise InvalidInput(
                f"The collection “{self.name}” is indexed with {model.label}, but questions are embedded with"
                f" {info.name}.",
                hint="Build a new index of the collection, or set EMBEDDING_MODEL back.",
            )


def read_grounds(
    conn: Connection[Any],
    collection_id: UUID,
    profile: dict[str, Any] | None,
    scope: int | None = None,
    others: Sequence[UUID] = (),
) -> list[Ground]:
    """The chat's own collection, then those of ``others`` that the person may see; :class:`NotFound` without access.

    ``profile`` is what was asked with, None the collection's default; all are searched under it. ``scope`` is a
    selection of the chat's own collection.
    """
    chosen = None if profile is None else RetrievalProfile.from_json(profile)
    home = _read_ground(conn, collection_id, chosen or load_profile(conn, collection_id), scope)
    if home is None:
        raise NotFound("The collection of this chat doesn't exist any more, or it isn't shared with you.")
    further = (_read_ground(conn, other, home.profile) for other in others if other != collection_id)
    return [home, *(ground for ground in further if ground is not None)]


def _read_ground(
    conn: Connection[Any], collection_id: UUID, profile: RetrievalProfile, scope: int | None = None
) -> Ground | None:
    try:
        index = read_searched_index(conn, collection_id)
    except NotFound:
        return None
    baseline = read_baseline(conn, collection_id)
    row = conn.execute(
        "select name, corpuscope.model_trust(%s) from public.collections where id = %s", [index.id, collection_id]
    ).fetchone()
    name, trust = row or ("", None)
    mean = _RANDOM_MEAN if baseline is None else baseline.mean
    return Ground(collection_id, name, profile, index, mean, scope, 1.0 if trust is None else float(trust))


def sentence_embedder(embedder: Embedder) -> EmbedSentences:
    """Embeds sentences, the rare one that is longer than the model's window by its beginning."""

    def embed(texts: list[str]) -> NDArray[np.float32]:
        prefix = embedder.info.passage_prefix
        counts = embedder.tokens.counts([prefix + text for text in texts])
        fitted = [
            text if count <= embedder.info.window else _cut(embedder, text, count)
            for text, count in zip(texts, counts, strict=True)
        ]
        return embedder.embed_passages(fitted)

    return embed


def _cut(embedder: Embedder, text: str, count: int) -> str:
    starts = embedder.tokens.starts(text)
    kept = embedder.info.window - (count - len(starts)) - 2
    return text[: int(starts[max(kept, 1)])]
