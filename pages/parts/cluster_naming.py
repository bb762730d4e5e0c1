"""What clusters are called: a name by hand in a dialog, or names that the chat model proposes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.confirmation import close_dialog, open_dialog
from pages.parts.explore_desk import Desk
from pages.parts.notices import notify, offer_undo
from pages.parts.product import product
from pages.parts.session import connect
from pages.parts.words import count, guarded, plain, show_error
from rag.errors import CorpuscopeError
from rag.mapping.cluster_rows import (
    MAX_NAME,
    Cluster,
    Naming,
    read_naming,
    rename_cluster,
    request_names,
    stop_naming,
)

_NAME = "cluster_name"
_PROBLEM = "cluster_name_problem"


def rename(map_id: int, cluster: Cluster) -> None:
    """Open the dialog that asks for a name."""
    st.session_state.pop(_PROBLEM, None)
    open_dialog("Rename this cluster", "edit", lambda: _ask(map_id, cluster))


def _ask(map_id: int, cluster: Cluster) -> None:
    st.text_input("Name", value=cluster.label, max_chars=MAX_NAME, key=_NAME)
    made_of = plain(cluster.proposed or cluster.automatic)
    st.caption(f"Without a name of its own it is called “{made_of}”. Everybody who sees this collection sees the name.")
    if problem := st.session_state.get(_PROBLEM):
        show_error(problem)
    with st.container(horizontal=True, horizontal_alignment="right"):
        if cluster.name:
            st.button("Take the name back", key="cluster_unname", on_click=_save, args=(map_id, cluster, True))
        st.button("Cancel", key="cluster_name_cancel", on_click=close_dialog)
        st.button("Save", key="cluster_name_save", type="primary", on_click=_save, args=(map_id, cluster))


def _save(map_id: int, cluster: Cluster, clear: bool = False) -> None:
    """Callback: the name is written, and the page says so with a way back."""
    name = "" if clear else " ".join(str(st.session_state.get(_NAME) or "").split())
    if name == cluster.label and not clear:
        close_dialog()
        return
    try:
        _write(map_id, cluster.number, name)
    except CorpuscopeError as problem:
        st.session_state[_PROBLEM] = problem
        return
    close_dialog()
    said = f"The cluster is called “{plain(name)}” now." if name else "The name was taken back."
    offer_undo(said, lambda: _write(map_id, cluster.number, cluster.name))


def _write(map_id: int, number: int, name: str | None) -> None:
    with connect() as conn:
        rename_cluster(conn, map_id, number, name)


def propose_names(desk: Desk, clusters: Sequence[Cluster]) -> None:
    """Ask the chat model for names, watch it at it, and say why nothing came of it."""
    with connect() as conn:
        naming = read_naming(conn, desk.map.id)
    if naming is not None and naming.active:
        st.fragment(_watch, run_every=1.0, key="cluster-naming")(desk.map.id, desk.may_edit)
        return
    if naming is not None and naming.state == "failed" and desk.may_edit:
        reason = plain(f"{naming.reason or ''} {naming.hint or ''}".strip())
        st.warning(f"No names were proposed: {reason}", icon=":material/error:")
    model = product().settings.chat_model
    if not (model and clusters and desk.may_edit):
        return
    again = naming is not None and naming.state == "done"
    if st.button(
        "Propose names again" if again else "Propose names",
        icon=":material/auto_awesome:",
        key="cluster_propose",
        type="tertiary",
        help=f"The chat model {plain(model)} reads the words of each cluster and a few of its passages and "
        "writes a name for it. Names given by hand stay.",
    ):
        _request(desk.map.id)


def _request(map_id: int) -> None:
    try:
        with connect() as conn:
            request_names(conn, map_id)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.rerun()


@guarded
def _watch(map_id: int, may_edit: bool) -> None:
    with connect() as conn:
        naming = read_naming(conn, map_id)
    if naming is None or not naming.active:
        if naming is not None and naming.state == "done":
            notify("The clusters have new names.", icon="auto_awesome")
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key="cluster-naming"):
        st.progress(min(1.0, naming.named / max(1, naming.total)), text=describe(naming))
        if may_edit and st.button("Stop", key="cluster_naming_stop", icon=":material/stop:", type="tertiary"):
            with connect() as conn:
                stop_naming(conn, map_id)
            st.rerun()


def describe(naming: Naming) -> str:
    """``Naming: 12 of 40 clusters``; while it waits, for what."""
    if naming.reason:
        return plain(naming.reason)
    if naming.state == "queued" or not naming.total:
        return "Names are asked for"
    return f"Naming: {naming.named:,} of {count(naming.total, 'cluster')}"
