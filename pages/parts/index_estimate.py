"""What an index would come to, before it is built."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.parts.index_words import between
from pages.parts.session import connect
from pages.parts.words import count, duration
from rag.chunks.chunking import ChunkSettings
from rag.chunks.tokens import ModelTokens
from rag.corpus.embedding_models import KnownModel
from rag.corpus.index_estimates import Amount, Estimate, estimate_index, read_sample, share_known
from rag.corpus.progress import read_progress
from rag.records import Collection

_KEPT = "index_estimate"


def show_estimate(collection: Collection, model: KnownModel, settings: ChunkSettings, tokens: ModelTokens) -> None:
    """Chunks, tokens, time at the measured rate, and money for a hosted model at a price that the person types."""
    st.subheader("What it comes to", anchor=False)
    with st.spinner("Reading a sample of the documents…", show_time=False):
        found, known = _estimate(collection, model, settings, tokens)
    with connect() as conn:
        progress = read_progress(conn, collection.id)
        workers = progress.worker.alive
    if not found.documents:
        st.caption("No document has text yet: there is nothing to estimate.")
        return
    with st.grid(3, min_column_width=120):
        st.metric("Chunks", _short(found.chunks), border=True)
        st.metric("Tokens", _short(found.tokens), border=True)
        st.metric("Time", _time(found, model, workers, known), border=True)
    unread = progress.stages["stored"] + progress.stages["parsing"]
    st.caption(_words(found, model, workers, known, unread))
    if model.provider == "openai":
        _money(found, known)


def _estimate(
    collection: Collection, model: KnownModel, settings: ChunkSettings, tokens: ModelTokens
) -> tuple[Estimate, float]:
    """This session's latest estimate, made anew when anything that it goes by has changed."""
    with connect() as conn:
        progress = read_progress(conn, collection.id)
        key = (collection.id, model.id, settings, progress.stages["ready"], progress.embedded_total, progress.chunks)
        kept: tuple[Any, Estimate, float] | None = st.session_state.get(_KEPT)
        if kept is not None and kept[0] == key:
            return kept[1], kept[2]
        sample = read_sample(conn, collection.id)
    found = estimate_index(sample, settings, tokens)
    with connect() as conn:
        known = share_known(conn, found, model.id)
    st.session_state[_KEPT] = (key, found, known)
    return found, known


def _short(amount: Amount) -> str:
    return f"{amount.value:,.0f}" if amount.high <= amount.low else f"≈ {float(f'{amount.value:.2g}'):,.0f}"


def _time(found: Estimate, model: KnownModel, workers: int, known: float) -> str:
    seconds = found.seconds(model.chars_per_s, max(workers, 1))
    return duration(seconds.value * (1 - known)) if seconds is not None else "not known"


def _words(found: Estimate, model: KnownModel, workers: int, known: float, unread: int) -> str:
    read = "all of them" if found.exact else f"{count(found.sampled, 'document')} read"
    parts = [
        f"{count(found.documents, 'document')}, {read}: {between(found.chunks)} chunks, {between(found.tokens)} tokens."
    ]
    if not found.exact:
        parts.append("In brackets: where the truth lies in 95 of 100 cases.")
    if unread:
        parts.append(f"{count(unread, 'document')} still being read, so this will grow.")
    if known >= 0.005:
        parts.append(f"About {known:.0%} of the chunks have a vector of this model already and cost nothing.")
    if model.chars_per_s is None:
        parts.append("No rate measured yet: this model has not embedded anything here, so its time isn't known.")
    else:
        by = count(max(workers, 1), "worker")
        parts.append(f"Time: at the {model.chars_per_s:,.0f} characters a second measured here, with {by}.")
    return " ".join(parts)


def _money(found: Estimate, known: float) -> None:
    price = st.number_input(
        "Price per million tokens",
        min_value=0.0,
        value=None,
        step=0.01,
        format="%.4f",
        key="build-price",
        placeholder="As your provider's price list has it",
        help="Nothing is assumed: type the price of this model in the currency that you pay in.",
        width=280,
    )
    if price:
        cost = found.cost(price * (1 - known))
        spread = "" if found.exact else f", {cost.low:,.2f} to {cost.high:,.2f} with the sample's uncertainty"
        st.markdown(f"**About {cost.value:,.2f}** for embedding it once{spread}.")
    else:
        st.caption("Where its provider charges by the token: type the price to see what building costs.")
    st.caption("Tokens are counted with the packaged model's tokenizer, which counts more than most on English text.")
