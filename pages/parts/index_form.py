"""Building a new index: which model, how the texts are cut, what that comes to, and how it would look."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.parts.index_estimate import show_estimate
from pages.parts.index_models import add_model_form
from pages.parts.index_preview import show_preview
from pages.parts.index_words import describe_chunking, describe_model
from pages.parts.notices import notify
from pages.parts.product import product
from pages.parts.session import connect, require_user
from pages.parts.words import plain, show_error
from rag.chunks.chunking import ChunkSettings
from rag.chunks.tokens import ModelTokens
from rag.corpus.embedding_models import KnownModel, list_models
from rag.corpus.indexes import IndexRow, build_index, list_indexes
from rag.errors import CorpuscopeError, InvalidInput, ModelError
from rag.records import Collection

#: The key of the switch, and its two sides as the address has them.
VIEW, LIST, BUILD = "view", "Indexes", "Build"
_CLOSE = "index_built"


@dataclass(frozen=True)
class Wanted:
    """What the controls say: a model, a chunking, and what counts the model's tokens; None where that isn't here."""

    model: KnownModel
    settings: ChunkSettings
    tokens: ModelTokens | None


def show_build(collection: Collection) -> None:
    """Controls on the left, what they come to on the right, and a document cut that way below."""
    with connect() as conn:
        models = list_models(conn)
        indexes = [index for index in list_indexes(conn, collection.id) if index.state != "retired"]
    active = next((index for index in indexes if index.state == "active"), None)
    left, right = st.columns([2, 3], gap="large")
    with left:
        wanted = _controls(models, active)
    with right:
        same = next((index for index in indexes if _is_same(index, wanted)), None)
        if same is not None:
            st.info(f"Index {same.id} ({same.state}) has this model and this chunking already.", icon=":material/info:")
        if wanted.tokens is not None:
            show_estimate(collection, wanted.model, wanted.settings, wanted.tokens)
        if st.button(
            "Build this index",
            type="primary",
            icon=":material/construction:",
            key="build_index",
            disabled=same is not None,
            help="Workers fill it beside the active one, which goes on answering.",
        ):
            _build(collection, wanted)
    if wanted.tokens is not None:
        show_preview(collection, wanted.settings, wanted.tokens, active)


def _controls(models: list[KnownModel], active: IndexRow | None) -> Wanted:
    st.subheader("What to build", anchor=False)
    if active is not None:
        st.caption(f"Active now: {plain(describe_model(active))}. {describe_chunking(active.chunking)}.")
    model = _pick_model(models, active)
    tokens = _tokens_of(model)
    before = _settings_of(active)
    room = max(32, min(8192, model.window))
    tokens_help = "Most tokens of a chunk's own text. Small ones are found more exactly, large ones say more."
    most = st.slider(
        "Chunk size", 16, room, min(before.max_tokens, room), 8, key=f"build-size-{model.id}", help=tokens_help
    )
    overlap = st.slider(
        "Overlap",
        0,
        most // 2,
        min(before.overlap, most // 2),
        4,
        key=f"build-overlap-{most}",
        help="Most tokens that a chunk repeats of the one before it; whole sentences or lines only.",
    )
    context = st.toggle(
        "Title and headings before each chunk",
        before.with_context,
        key="build-context",
        help="They are embedded with the text, so that a chunk is found by what it is about.",
    )
    return Wanted(model, ChunkSettings(most, overlap, context), tokens)


def _pick_model(models: list[KnownModel], active: IndexRow | None) -> KnownModel:
    by_id = {model.id: model for model in models}
    ids = list(by_id)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Model",
            ids,
            index=ids.index(active.model_id) if active is not None and active.model_id in by_id else 0,
            format_func=lambda id: _model_label(by_id[id]),
            key="build-model",
        )
        if require_user().is_administrator:
            add_model_form()
    return by_id[chosen]


def _model_label(model: KnownModel) -> str:
    hosted = " · hosted" if model.provider == "openai" else ""
    return f"{model.row.label} · {model.dimensions:,} dimensions · reads {model.window:,} tokens{hosted}"


def _tokens_of(model: KnownModel) -> ModelTokens | None:
    try:
        return product().tokens_for(model.row)
    except ModelError as error:
        st.warning(
            f"What this comes to can't be estimated here: {plain(str(error))} {plain(error.hint)}"
            " It can be built all the same where a worker has the model; if none does, the index will say so.",
            icon=":material/error:",
        )
        return None


def _settings_of(active: IndexRow | None) -> ChunkSettings:
    try:
        return ChunkSettings.from_json(active.chunking) if active is not None else ChunkSettings()
    except InvalidInput:
        return ChunkSettings()


def _is_same(index: IndexRow, wanted: Wanted) -> bool:
    try:
        return index.model_id == wanted.model.id and ChunkSettings.from_json(index.chunking) == wanted.settings
    except InvalidInput:
        return False


def _build(collection: Collection, wanted: Wanted) -> None:
    try:
        with connect() as conn:
            made = build_index(conn, collection.id, wanted.settings.to_json(), wanted.model.id)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"Index {made} is being built. The active one goes on answering.", icon="construction")
    st.session_state[_CLOSE] = True
    st.rerun()


def close_when_built() -> None:
    """Go back to the list after a build has begun; called before the switch is drawn."""
    if st.session_state.pop(_CLOSE, False):
        st.session_state[VIEW] = LIST
