"""Taking a point of a curve over into a profile: what changes is shown first, and a new version is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from pages.parts.confirmation import Act, confirm
from pages.parts.words import plain
from rag.evaluation.runs import Run
from rag.records import Collection
from rag.retrieval.stored_profiles import describe_changes, save_profile

_UNNAMED = "From a curve"


def apply_point(
    collection: Collection, run: Run, changes: Mapping[str, Any], *, key: str, label: str, quiet: bool = False
) -> None:
    """A button that asks, then saves the run's settings with ``changes`` as the profile's next version."""
    if st.button(label, icon=":material/check:", key=key, type="tertiary" if quiet else "secondary"):
        _ask(collection, run, changes)


def _ask(collection: Collection, run: Run, changes: Mapping[str, Any]) -> None:
    name = run.profile_name or _UNNAMED
    changed = replace(run.profile, **changes)
    confirm(
        Act(
            f"Save a new version of {plain(name)}?",
            [
                *[plain(change.words) for change in describe_changes(run.profile, changed)],
                f"The other settings are those of run #{run.id}.",
                "The default stays what it is: run this version, compare, and make it the default if it is better.",
            ],
            "Save version",
            lambda conn: save_profile(conn, collection.id, name, changed),
            f"A new version of {plain(name)} was saved.",
            icon="save",
        )
    )
