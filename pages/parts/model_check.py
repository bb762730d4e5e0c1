"""Administration of chat models: which server, whether it answers, what may be spent and what was."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.parts.product import settings
from pages.parts.session import connect, require_user
from pages.parts.words import count, plain
from rag.chat.connection_check import Verdict, check_connection, describe_server
from rag.chat.models_on_offer import offered_models
from rag.chat.spending import ModelUse, list_model_use, say_money
from rag.settings import Settings

_VERDICT = "model_verdict"
_DAYS = 7


def show_models() -> None:
    """The tab."""
    used = settings()
    st.caption(
        "Answers are written by the model of one OpenAI-compatible server. Its address and key are settings of the "
        "server that Corpuscope runs on; the key is never shown, logged or stored."
    )
    with st.grid(2, min_column_width=300):
        with st.container(border=True, key="models-server", gap="small", height="stretch"):
            _server(used)
        with st.container(border=True, key="models-caps", gap="small", height="stretch"):
            st.markdown(":material/data_usage: **Spending caps**")
            facts(_caps(used))
            st.caption("Changed by the settings CHAT_TOKENS_… and CHAT_COST_…; days end at midnight UTC.")
    st.subheader("Used in the last 7 days", anchor=False)
    with connect() as conn:
        rows = list_model_use(conn, _DAYS)
    _use(rows, priced=bool(used.prices))


def model_link() -> None:
    """Which chat model answers, and for administrators the way to its test."""
    used = settings()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Chat model", anchor=False, width="content")
        if require_user().is_administrator:
            st.page_link(
                "pages/administration.py",
                label="Test it, and see what it cost",
                icon=":material/network_check:",
                query_params={"view": "Models"},
            )
    if used.chat_model:
        st.caption(f"Answers are written by {plain(used.chat_model)}.")
    else:
        st.caption("None: answers are quotes from the documents. CHAT_MODEL names one.")


def _server(used: Settings) -> None:
    st.markdown(":material/smart_toy: **Chat model**")
    facts(
        [
            ("Server", describe_server(used)),
            ("Model", used.chat_model or "none: answers are quotes"),
            ("Reads at once", f"{used.chat_context_tokens:,} tokens"),
            ("Given up on after", f"{used.chat_timeout_s:g} s of silence"),
        ]
    )
    names = offered_models(used)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = None
        if len(names) > 1:
            name = st.selectbox("Model to test", names, key="model_to_test", label_visibility="collapsed", width=240)
        if st.button("Test connection", key="test_model", icon=":material/network_check:"):
            with st.spinner("Asking it for a word…"):
                st.session_state[_VERDICT] = check_connection(used, name)
    if verdict := st.session_state.get(_VERDICT):
        show_verdict(verdict)


def show_verdict(verdict: Verdict) -> None:
    """What came of a test, in words, with what to do."""
    hint = f"  \n{plain(verdict.hint)}" if verdict.hint else ""
    show = st.success if verdict.ok else st.error
    show(f"{plain(verdict.words)}{hint}", icon=":material/check_circle:" if verdict.ok else ":material/error:")


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values in two columns."""
    lines = "".join(f"<span>{escape(name)}</span><b>{escape(value)}</b>" for name, value in rows)
    st.html(f'<div class="cs-facts">{lines}</div>')


def _caps(used: Settings) -> list[tuple[str, str]]:
    scopes = (
        ("A conversation", used.chat_tokens_per_conversation, used.chat_cost_per_conversation),
        ("A person a day", used.chat_tokens_per_day, used.chat_cost_per_day),
        ("Everybody a day", used.chat_tokens_per_day_in_all, used.chat_cost_per_day_in_all),
    )
    return [(name, _say_cap(tokens, money)) for name, tokens, money in scopes]


def _say_cap(tokens: int, money: float) -> str:
    said = [f"{tokens:,} tokens"] if tokens else []
    said += [f"{say_money(money)} in money"] if money else []
    return ", ".join(said) or "no cap"


def _use(rows: Sequence[ModelUse], *, priced: bool) -> None:
    if not rows:
        st.caption("No chat model was asked.")
        return
    tokens = sum(row.prompt_tokens + row.completion_tokens for row in rows)
    estimated = sum(row.estimated_tokens for row in rows)
    said = [count(sum(row.requests for row in rows), "answer"), f"{tokens:,} tokens"]
    said += [f"{estimated / tokens:.0%} of them estimated"] if estimated and tokens else []
    said += [f"{say_money(sum(row.cost for row in rows))} in money"] if priced else []
    st.caption(" · ".join(said))
    config = st.column_config
    columns = {
        "Day": config.DateColumn(format="D MMM", width=70),
        "Person": config.TextColumn(width=190),
        "Model": config.TextColumn(width=220),
        "Answers": config.NumberColumn(width=80),
        "Tokens read": config.NumberColumn(format="localized", width=100),
        "Tokens written": config.NumberColumn(format="localized", width=110),
    }
    if priced:
        columns["Cost"] = config.NumberColumn(format="%.4f", width=80)
    st.dataframe(
        [_row(row, priced) for row in rows], column_config=columns, hide_index=True, key="model_use", height="content"
    )


def _row(row: ModelUse, priced: bool) -> dict[str, object]:
    shown = {
        "Day": row.day,
        "Person": row.person,
        "Model": row.model,
        "Answers": row.requests,
        "Tokens read": row.prompt_tokens,
        "Tokens written": row.completion_tokens,
    }
    return shown | ({"Cost": row.cost} if priced else {})
