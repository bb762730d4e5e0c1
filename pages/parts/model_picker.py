"""Which chat model writes the next answer, picked from what the server offers; the address keeps it."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from pages.parts.product import settings
from pages.parts.session import connect
from rag.chat.models_on_offer import offered_models
from rag.chat.spending import Cap, read_caps, say_amount

#: Parameter of the address: the name of the model; without it the settings' is asked.
MODEL = "model"
_WIDGET = "chat_model"
#: From this share of a cap on it is said how much is left.
_NEARLY = 0.8
_WHOSE = {"conversation": "this conversation", "person": "you today", "everybody": "everybody today"}


def chosen_model() -> str | None:
    """The name that the address holds, if it may be chosen; None for the default."""
    wanted = st.query_params.get(MODEL)
    used = settings()
    if not wanted or not used.chat_model or wanted == used.chat_model or not wanted.isprintable():
        return None
    # Until the server's list is here nobody knows better: the worker asks, and says so where there is no such model.
    known = used.choosable_models
    return wanted[:200] if not known or wanted in known else None


def model_picker() -> None:
    """Nothing where there is nothing to choose."""
    default, wanted = settings().chat_model, chosen_model()
    offered = offered_models(settings())
    names = offered if wanted is None or wanted in offered else [*offered, wanted]
    if len(names) < 2:
        return
    st.session_state[_WIDGET] = wanted or default
    st.selectbox(
        "Chat model",
        names,
        format_func=lambda name: f"{name} (default)" if name == default else name,
        key=_WIDGET,
        on_change=_choose,
        icon=":material/smart_toy:",
        label_visibility="collapsed",
        width=230,
    )


def _choose() -> None:
    wanted = st.session_state[_WIDGET]
    if wanted and wanted != settings().chat_model:
        st.query_params[MODEL] = wanted
    else:
        st.query_params.pop(MODEL, None)


def spending_note(chat_id: UUID | None) -> None:
    """How much the chat model may still cost here, once it is nearly all."""
    if not settings().chat_model:
        return
    with connect() as conn:
        caps = read_caps(conn, settings(), chat_id)
    if caps and (words := describe_cap(caps[0])):
        st.caption(f":material/data_usage: {words}", width="content")


def describe_cap(cap: Cap) -> str:
    """``The chat model is used up for this conversation (…)``; empty while there is plenty left."""
    if cap.is_reached:
        return f"The chat model is used up for {_WHOSE[cap.scope]} ({say_amount(cap)})."
    if cap.used >= _NEARLY * cap.allowed:
        return f"{say_amount(cap).capitalize()} of the chat model used by {_WHOSE[cap.scope]}."
    return ""
