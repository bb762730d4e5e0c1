"""Which set of questions the Evaluate page is about: kept in the address; made, renamed and deleted here."""

from __future__ import annotations

import streamlit as st

from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import count, guarded, plain, show_error
from rag.errors import CorpuscopeError
from rag.evaluation.question_sets import QuestionSet, create_set, delete_set, get_set, list_sets, rename_set
from rag.records import Collection

_WIDGET = "set_picker"
_MAX_NAME = 80


def pick_set(collection: Collection) -> QuestionSet | None:
    """The picker and what can be done with sets; None where the collection has none."""
    with connect() as conn:
        sets = {str(one.id): one for one in list_sets(conn, collection.id)}
    if not sets:
        st.query_params.pop("set", None)
        return None
    wanted = (st.query_params.get("set"), st.session_state.get(_remembered(collection)))
    current = next((key for key in wanted if key in sets), next(iter(sets)))
    st.session_state[_WIDGET] = current
    with st.container(horizontal=True, vertical_alignment="center", key="set-row"):
        st.selectbox(
            "Set of questions",
            list(sets),
            format_func=lambda key: sets[key].name if key in sets else "",
            key=_WIDGET,
            on_change=_remember,
            label_visibility="collapsed",
            width=300,
            icon=":material/checklist:",
        )
        if may_edit(collection):
            _menu(collection, sets[current])
        st.caption(describe_set(sets[current]), width="content")
    st.session_state[_remembered(collection)] = current
    st.query_params["set"] = current
    return sets[current]


def may_edit(collection: Collection) -> bool:
    """Whether the session's person may change questions of this collection."""
    return collection.role in ("editor", "owner")


def describe_set(one: QuestionSet) -> str:
    """How many questions it has, how many of them are judged, and what waits."""
    words = f"{count(one.accepted, 'question')}, {one.judged:,} with an answer judged"
    if one.drafts:
        words += f" · {count(one.drafts, 'draft')} to look at"
    return words


def _remembered(collection: Collection) -> str:
    return f"chosen_set_{collection.id}"


def _remember() -> None:
    st.query_params["set"] = st.session_state[_WIDGET]


def open_set(set_id: int) -> None:
    """Make it the page's set and start over."""
    st.query_params["set"] = str(set_id)
    st.rerun()


def _menu(collection: Collection, chosen: QuestionSet) -> None:
    icons = {"New set": "add", "Rename": "edit", "Delete": "delete"}
    picked = st.menu_button(
        "Set",
        list(icons),
        format_func=lambda action: f":material/{icons[action]}: {action}",
        help=f"Rename or delete {plain(chosen.name)}, or make another set",
        key="set_menu",
    )
    if picked == "New set":
        new_set_dialog(collection)
    elif picked == "Rename":
        _rename_dialog(chosen)
    elif picked == "Delete":
        _delete_dialog(chosen)


@st.dialog("New set of questions")
@guarded
def new_set_dialog(collection: Collection) -> None:
    with st.form("new_set", border=False):
        name = st.text_input("Name", max_chars=_MAX_NAME, placeholder="Support questions")
        description = st.text_input("What it asks about", max_chars=500, placeholder="Optional")
        submitted = st.form_submit_button("Make the set", type="primary")
    if not submitted:
        return
    try:
        with connect() as conn:
            made = create_set(conn, collection.id, name, description)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"{plain(name)} is ready for questions.")
    open_set(made)


@st.dialog("Rename set")
@guarded
def _rename_dialog(chosen: QuestionSet) -> None:
    with st.form("rename_set", border=False):
        name = st.text_input("Name", value=chosen.name, max_chars=_MAX_NAME)
        description = st.text_input("What it asks about", value=chosen.description, max_chars=500)
        submitted = st.form_submit_button("Rename", type="primary")
    if not submitted:
        return
    try:
        with connect() as conn:
            rename_set(conn, chosen.id, name, description)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"Renamed to {plain(name)}.")
    st.rerun()


@st.dialog("Delete set")
@guarded
def _delete_dialog(chosen: QuestionSet) -> None:
    with connect() as conn:
        now = get_set(conn, chosen.id)
    questions = now.accepted + now.drafts + now.rejected
    st.markdown(f"**{plain(now.name)}** goes for good, and with it:")
    st.markdown(f"- {count(questions, 'question')} with all judgements\n- every run that was made on them")
    st.caption("Download the set first if you may need it again. This can't be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="keep_set"):
            st.rerun()
        delete = st.button("Delete for good", key="delete_set", type="primary", icon=":material/delete:")
    if not delete:
        return
    with connect() as conn:
        delete_set(conn, chosen.id)
    st.query_params.pop("set", None)
    notify(f"{plain(now.name)} was deleted.", icon="delete")
    st.rerun()
