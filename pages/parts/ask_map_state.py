"""How the map's Ask panel asks: what it reads of the collection, and its controls beside the look that they stand for.

The controls have keys of their own: those of the Search lab belong to another page, and one page's leftovers would look
like the other's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import streamlit as st

from pages.parts.lab_address import Side
from pages.parts.lab_desk import BUILT_IN
from pages.parts.lab_state import SETTINGS, keep
from pages.parts.product import product
from rag.corpus.baselines import Baseline, read_baseline
from rag.corpus.indexes import SearchedIndex, read_searched_index
from rag.errors import NotFound
from rag.mapping.asking import place_question
from rag.mapping.maps import CorpusMap
from rag.mapping.remembered_scores import RememberedScores
from rag.records import Collection
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import StoredProfile, list_profiles, list_versions, read_default

QUESTION = "ask_question"
_SCORES = "ask_scores"
#: What stands in a control for no threshold and no reranker.
_EMPTY: dict[str, Any] = {"threshold": 0.0, "rerank": ""}


@dataclass(frozen=True)
class AskDesk:
    """What the panel reads once a run. ``index`` is that of the map, None once it was retired."""

    collection: Collection
    map: CorpusMap
    index: SearchedIndex | None
    stored: Sequence[StoredProfile]
    default: StoredProfile | None
    baseline: Baseline | None

    @property
    def other_index(self) -> int | None:
        """The map's index where it isn't the one that everybody searches."""
        return None if self.map.index_id == self.collection.active_index_id else self.map.index_id

    def find(self, side: Side) -> StoredProfile | None:
        """The saved profile that a side begins with; None is what the product comes with."""
        if side.profile is None:
            return self.default
        named = [one for one in self.stored if one.name == side.profile]
        return next((one for one in named if side.version in (None, one.version)), None)

    def begun(self, side: Side) -> RetrievalProfile:
        """The settings that the changes of a side are counted from."""
        stored = self.find(side)
        return stored.profile if stored else BUILT_IN


def open_ask_desk(conn: psycopg.Connection[Any], collection: Collection, map_: CorpusMap, side: Side) -> AskDesk:
    """Read it: of each profile the newest version, and the one that ``side`` names."""
    stored, default = list_profiles(conn, collection.id), read_default(conn, collection.id)
    known = {(one.name, one.version) for one in stored}
    if side.profile is not None and side.version is not None and (side.profile, side.version) not in known:
        versions = list_versions(conn, collection.id, side.profile)
        stored += [one for one in versions if one.version == side.version]
    try:
        index = read_searched_index(conn, collection.id, map_.index_id)
    except NotFound:
        index = None
    return AskDesk(collection, map_, index, stored, default, read_baseline(conn, collection.id, map_.index_id))


def key_of(setting: str) -> str:
    """The key of the control of a setting."""
    return f"ask_{setting}"


def show_in_controls(profile: RetrievalProfile) -> None:
    """Set every control to what this profile says; before they are drawn."""
    for name, value in profile.to_json().items():
        st.session_state[key_of(name)] = _EMPTY.get(name) if value is None else value
    st.session_state[key_of("threshold")] = max(0.0, profile.threshold or 0.0)


def read_controls(begun: RetrievalProfile) -> RetrievalProfile:
    """The settings that the controls show; ``begun`` is what they began with."""
    values = {name: st.session_state.get(key_of(name), getattr(begun, name)) for name in SETTINGS}
    if not values["threshold"]:
        # A threshold of 0 or below keeps nearly everything: the slider shows it like none, and nobody moved it.
        values["threshold"] = begun.threshold if begun.threshold is not None and begun.threshold <= 0 else None
    values["rerank"] = values["rerank"] or None
    return RetrievalProfile.from_json(values)


def side_of(stored: StoredProfile | None, profile: RetrievalProfile) -> Side:
    """These settings as an address has them: a saved profile, and what is changed of it."""
    begun = (stored.profile if stored else BUILT_IN).to_json()
    changes = {name: value for name, value in profile.to_json().items() if value != begun[name]}
    return Side(stored.name if stored else None, stored.version if stored else None, changes)


def embed(question: str, index: SearchedIndex) -> Any:
    """The question's vector under the model of the index, computed once a session; None while there is no model."""
    encoder = product().encoder_for(index.model)
    if encoder is None:
        return None
    key = ("vector", question, index.model.provider, index.model.name)
    return keep(key, lambda: encoder.embed_question(question))


def star_of(conn: psycopg.Connection[Any], map_: CorpusMap, question: str, vector: Any) -> tuple[float, float] | None:
    """Where the question lies on the map, looked up once for each version of it."""
    if vector is None:
        return None
    return keep(("star", map_.id, map_.version, question), lambda: place_question(conn, map_.id, vector))


def scores() -> RememberedScores:
    """Rerankers that read nothing twice in this session."""
    found: RememberedScores = st.session_state.setdefault(_SCORES, RememberedScores())
    return found
