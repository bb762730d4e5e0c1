"""From evidence to practice: make the profile of a run the collection's default, which can be undone."""

from __future__ import annotations

import streamlit as st

from pages.parts.confirmation import Act, confirm
from pages.parts.session import connect
from pages.parts.words import plain
from rag.evaluation.runs import Run
from rag.records import Collection
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import (
    StoredProfile,
    describe_changes,
    list_versions,
    make_default,
    read_default,
    undo_default,
)


def promote(collection: Collection, run: Run, *, editable: bool) -> None:
    """The button, where the run's profile is a saved one and not the default already."""
    if not editable:
        return
    with connect() as conn:
        default = read_default(conn, collection.id)
        versions = list_versions(conn, collection.id, run.profile_name) if run.profile_name else []
    stored = next((one for one in versions if one.id == run.profile_id), None)
    with st.container(horizontal=True, vertical_alignment="center", key="compare-promote"):
        if stored is None:
            st.caption("Save these settings as a profile in the Search lab to make them the default.")
        elif default is not None and default.id == stored.id:
            st.caption(f":green[:material/check_circle:] {plain(run.label)} is the default already.")
        elif st.button(
            f"Make {plain(stored.name)} v{stored.version} the default", icon=":material/star:", key="compare_promote"
        ):
            _ask(collection, default, stored)


def _ask(collection: Collection, default: StoredProfile | None, stored: StoredProfile) -> None:
    before = default.profile if default else RetrievalProfile()
    name = f"{plain(stored.name)} v{stored.version}"
    changes = [plain(change.words) for change in describe_changes(before, stored.profile)]
    confirm(
        Act(
            f"Make {name} the default?",
            [
                "Search, chat, evaluation and the command line use it from then on, for everybody in this collection.",
                *(changes or ["No setting differs from the default of now."]),
            ],
            "Make default",
            lambda conn: make_default(conn, stored.id),
            f"{name} is the default now.",
            lambda conn: undo_default(conn, collection.id),
            icon="star",
        )
    )
