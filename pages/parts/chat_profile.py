"""The retrieval profile and the chat model of the next question, above where it is typed; the address keeps both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.parts.lab_address import lab_query
from pages.parts.session import connect
from rag.records import Collection
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import StoredProfile, describe_changes, list_profiles, read_default

#: Parameter of the address: the id of the saved profile that is asked with; without it the collection's default is.
PROFILE = "profile"
_WIDGET = "chat_profile"


@dataclass(frozen=True)
class Choice:
    """What the next answer is made with. ``profile`` None: the collection's default, ``model`` None: the settings'."""

    profile: StoredProfile | None = None
    model: str | None = None

    def settings(self) -> dict[str, Any] | None:
        """The profile as a question carries it."""
        return None if self.profile is None else self.profile.profile.to_json()


@dataclass(frozen=True)
class Profiles:
    """Of a collection: the newest version of each, the default (None: built-in settings), and the chosen one."""

    stored: Sequence[StoredProfile]
    default: StoredProfile | None
    chosen: StoredProfile | None

    def name_of(self, settings: dict[str, Any] | None) -> str:
        """What settings are called: a saved profile's name if they are its, else empty."""
        if settings is None:
            return ""
        known = [one for one in (self.default, *self.stored) if one is not None]
        same = (one for one in known if one.profile.to_json() == settings)
        found = next(same, None)
        if found is not None:
            return label(found)
        return label(None) if settings == RetrievalProfile().to_json() else ""


def label(stored: StoredProfile | None) -> str:
    """What a profile is called in one line."""
    return "Built-in settings" if stored is None else f"{stored.name} v{stored.version}"


def read_profiles(collection: Collection) -> Profiles:
    """Those of the collection, and the one that the address names if it has that."""
    with connect() as conn:
        stored, default = list_profiles(conn, collection.id), read_default(conn, collection.id)
    wanted = st.query_params.get(PROFILE)
    chosen = next((one for one in stored if str(one.id) == wanted), None)
    return Profiles(stored, default, None if chosen is None or chosen.is_default else chosen)


def profile_picker(profiles: Profiles) -> None:
    """The profile in use, to be changed."""
    others = {str(one.id): one for one in profiles.stored if not one.is_default}
    st.session_state[_WIDGET] = "" if profiles.chosen is None else str(profiles.chosen.id)
    st.selectbox(
        "Retrieval profile",
        ["", *others],
        format_func=lambda key: label(others[key]) if key else f"{label(profiles.default)} (default)",
        key=_WIDGET,
        on_change=_choose,
        icon=":material/tune:",
        label_visibility="collapsed",
        width=230,
    )


def lab_link(collection: Collection, profiles: Profiles) -> None:
    """The way to the lab, where settings can be tried out."""
    st.page_link(
        "pages/search.py",
        label="Tune",
        icon=":material/science:",
        help=_explain(profiles),
        query_params=lab_query(collection.id, "", profiles.chosen.name if profiles.chosen else None),
    )


def _choose() -> None:
    wanted = st.session_state[_WIDGET]
    if wanted:
        st.query_params[PROFILE] = wanted
    else:
        st.query_params.pop(PROFILE, None)


def _explain(profiles: Profiles) -> str:
    used = profiles.chosen or profiles.default
    changes = describe_changes(RetrievalProfile(), used.profile) if used else []
    said = "; ".join(change.words.partition(", before ")[0] for change in changes) or "as built in"
    return f"Answers are made from what this profile finds ({said}). The Search lab shows what that is, and changes it."
