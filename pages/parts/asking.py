"""From a question to what a search needs: its vector, or words alone while the model still loads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from pages.parts.product import product
from pages.parts.words import plain
from rag.corpus.baselines import Baseline
from rag.errors import ModelNotReady
from rag.retrieval.profiles import RetrievalProfile
from rag.vectors.models import ModelRow


@dataclass(frozen=True)
class Encoded:
    """``vector`` is None for a search by words alone; ``waiting`` says that this is only for want of the model."""

    vector: Any
    profile: RetrievalProfile
    waiting: bool


def encode(question: str, profile: RetrievalProfile, model: ModelRow | None = None) -> Encoded:
    """The question as the profile needs it; by words while there is no model.

    ``model`` is that of the index that is searched (:func:`rag.corpus.indexes.read_searched_index`), without it the one
    that the settings name.
    """
    if profile.mode == "lexical":
        return Encoded(None, profile, waiting=False)
    encoder = product().encoder if model is None else product().encoder_for(model)
    if encoder is None:
        return Encoded(None, replace(profile, mode="lexical", threshold=None), waiting=True)
    return Encoded(encoder.embed_question(question), profile, waiting=False)


def wait_for_model(model: ModelRow | None = None) -> None:
    """Says that results are by words for now, and starts over when the model is there."""
    st.fragment(_watch_model, run_every=1, key="watch-model")(model)


def _watch_model(model: ModelRow | None) -> None:
    shared = product()
    if (shared.encoder if model is None else shared.encoder_for(model)) is not None:
        st.rerun()
    problem = shared.encoder_problem if model is None else shared.encoder_problem_for(model)
    if problem is None or isinstance(problem, ModelNotReady):
        words = "**The embedding model is still loading.** Until it is there, passages are found by their words alone."
    else:
        words = f"**Searching by words alone.** {plain(str(problem))} {plain(problem.hint)}"
    st.info(words, icon=":material/hourglass_top:")


def describe_baseline(baseline: Baseline | None) -> str:
    """What a similarity means under the collection's model, for the threshold."""
    if baseline is None:
        return "Similarity is the cosine of two embeddings: 1 says the same, 0 has nothing in common."
    return (
        f"Under {plain(baseline.model)}, passages that have nothing to do with each other score "
        f"{baseline.mean:.2f} on average, and 95 of 100 such pairs stay below {baseline.p95:.2f}. "
        "Anything under that is noise."
    )
