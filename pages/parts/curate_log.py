"""The curation log: each act in words, with undo and redo in any order, a filter, and the list as a file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts import explore_state
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.notices import notify
from pages.parts.session import connect, require_user
from pages.parts.words import ago, plain, show_error
from rag.corpus.sharing import list_people_of
from rag.curation.curation_log import Act, ActKind, list_acts, redo_act, undo_act
from rag.errors import CorpuscopeError
from rag.records import Collection

_LABELS: dict[str, tuple[ActKind, ...]] = {
    "All": (),
    "Search": ("exclude", "include"),
    "Tags": ("tag", "untag"),
    "Documents": ("trash", "move"),
}
_ICONS: dict[ActKind, str] = {
    "exclude": "visibility_off",
    "include": "visibility",
    "tag": "sell",
    "untag": "label_off",
    "trash": "delete",
    "move": "drive_file_move",
}
_MOST = 50
_PROBLEM = "curate_log_problem"
_COLUMNS = ("when", "who", "act", "note", "passages", "documents", "names", "undone", "undoing it")


def show(collection: Collection) -> None:
    """Draw the list, newest first; members see it, editors undo."""
    if problem := st.session_state.pop(_PROBLEM, None):
        show_error(problem)
    group = st.segmented_control(
        "Show", list(_LABELS), default="All", key="curate_log_kind", label_visibility="collapsed"
    )
    with connect() as conn:
        acts = list_acts(conn, collection.id, kinds=_LABELS[group or "All"], limit=_MOST + 1)
        people = {one.user_id: one.label for one in list_people_of(conn, collection.id)}
    if not acts:
        st.caption("Nothing was tagged, excluded, moved or deleted yet. Each act will be a line here, with an undo.")
        return
    me = require_user().user_id
    for act in acts[:_MOST]:
        _line(collection, act, "you" if act.created_by == me else _name(people, act.created_by))
    if len(acts) > _MOST:
        st.caption(f"The latest {_MOST} are shown; the file has all.")
    st.download_button(
        "CSV",
        handing_out(collection.id, "the curation log", lambda conn: _csv(conn, collection)),
        file_name=file_name(collection.name, "curation"),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="curate_log_csv",
    )


def _line(collection: Collection, act: Act, who: str) -> None:
    words = plain(act.words)
    text = f"~~{words}~~ :gray[undone]" if act.undone else words
    names = ", ".join(act.names[:3]) + ("…" if len(act.names) > 3 else "")
    note = f" · {act.note}" if act.note else ""
    under = plain(f"{who}, {ago(act.created_at)} · {names}{note}")
    with st.container(horizontal=True, vertical_alignment="center", key=f"curate-act-{act.id}", gap="small"):
        st.markdown(
            f":material/{_ICONS[act.kind]}: {text}  \n:small[:gray[{under}]]",
            width="stretch",
        )
        if collection.role in ("editor", "owner"):
            st.button(
                "Redo" if act.undone else "Undo",
                icon=":material/redo:" if act.undone else ":material/undo:",
                key=f"curate_{'redo' if act.undone else 'undo'}_{act.id}",
                type="tertiary",
                help="Do it again" if act.undone else act.undoing,
                on_click=_set,
                args=(act.id, act.undone),
            )


def _set(act_id: int, undone: bool) -> None:
    """Callback: undo or redo one act."""
    try:
        with connect() as conn:
            act = redo_act(conn, act_id) if undone else undo_act(conn, act_id)
    except CorpuscopeError as error:
        st.session_state[_PROBLEM] = error
        return
    explore_state.renew()
    notify(f"{'Done again' if undone else 'Undone'}: {plain(act.words)}.", icon="redo" if undone else "undo")


def _name(people: dict[UUID, str], person: UUID | None) -> str:
    return people.get(person, "somebody") if person else "somebody"


def _csv(conn: psycopg.Connection[Any], collection: Collection) -> bytes:
    people = {one.user_id: one.label for one in list_people_of(conn, collection.id)}
    rows = [
        {
            "when": act.created_at.isoformat(timespec="seconds"),
            "who": _name(people, act.created_by),
            "act": act.words,
            "note": act.note,
            "passages": act.passages,
            "documents": act.documents,
            "names": "; ".join(act.names),
            "undone": act.undone_at.isoformat(timespec="seconds") if act.undone_at else "",
            "undoing it": act.undoing,
        }
        for act in list_acts(conn, collection.id, limit=100_000)
    ]
    return to_csv(rows, _COLUMNS)
