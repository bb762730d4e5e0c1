"""Registering another embedding model: for administrators, since workers will fetch and run it."""

from __future__ import annotations

import streamlit as st

from pages.parts.notices import notify
from pages.parts.product import settings
from pages.parts.session import connect
from pages.parts.words import guarded, plain, show_error
from rag.corpus.embedding_models import Provider, add_model, describe_candidate
from rag.errors import CorpuscopeError

_PROVIDERS: dict[Provider, str] = {
    "local": "On this installation's machines",
    "openai": "Hosted",
    "supabase": "In the project's Edge Function",
}


def add_model_form() -> None:
    """A button that opens the form."""
    if st.button("Another model…", icon=":material/add:", key="add_model"):
        _dialog()


@st.dialog("Another model")
@guarded
def _dialog() -> None:
    offered = [provider for provider in _PROVIDERS if provider != "supabase" or settings().supabase_url]
    provider = st.radio(
        "Where it runs", offered, format_func=_PROVIDERS.__getitem__, key="model-provider", horizontal=True
    )
    if provider == "local":
        st.caption(
            "A folder with a sentence-transformers model that workers can read too, or a name on the Hugging Face hub,"
            " which is fetched now if the hub can be reached."
        )
    elif provider == "supabase":
        st.caption("gte-small, or the model of EMBEDDING_BASE_URL among the function's secrets.")
    else:
        st.caption(
            "Any model of the OpenAI-compatible server that OPENAI_BASE_URL or EMBEDDING_BASE_URL names, with the key"
            " in OPENAI_API_KEY. Texts of this collection are sent there."
        )
    with st.form("add_model_form", border=False):
        name = st.text_input("Name or folder" if provider == "local" else "Name", key="model-name", max_chars=300)
        dimensions = window = 0
        if provider != "local":
            dimensions = st.number_input(
                "Dimensions", 0, 4000, 0, help="Numbers of a vector; 0 for OpenAI's or gte-small."
            )
            window = st.number_input("Window", 0, 100_000, 0, help="Tokens that it reads; 0 for OpenAI's or gte-small.")
        submitted = st.form_submit_button("Register it", type="primary")
    if submitted:
        _register(provider, name, int(dimensions), int(window))


def _register(provider: Provider, name: str, dimensions: int, window: int) -> None:
    try:
        with st.spinner("Looking for it…"):
            info = describe_candidate(settings(), provider, name, dimensions, window)
        with connect() as conn:
            made = add_model(conn, info)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.session_state["build-model"] = made
    notify(f"{plain(info.name)} can be chosen now.")
    st.rerun()
