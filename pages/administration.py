"""Administration: people and invitations, limits, chat models, collections from outside, and what was done."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.parts.activity_log import show_all_activity
from pages.parts.all_collections import show_all_collections
from pages.parts.confirmation import show_refusal
from pages.parts.guard import is_guarded
from pages.parts.invitations import show_invitations
from pages.parts.limits_overview import show_limits
from pages.parts.model_check import show_models
from pages.parts.notices import show_notices
from pages.parts.one_person import describe_one_person
from pages.parts.people_overview import show_people
from pages.parts.session import require_database, require_user

_VIEWS: dict[str, Callable[[], None]] = {
    "People": show_people,
    "Invitations": show_invitations,
    "Limits": show_limits,
    "Models": show_models,
    "Collections": show_all_collections,
    "Activity": show_all_activity,
}


def show_views() -> None:
    """One part at a time; which, is in the address."""
    names = list(_VIEWS) if is_guarded() else ["Limits", "Models", "Collections", "Activity"]
    view = st.segmented_control(
        "View",
        names,
        default=names[0],
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    with st.container(
        key=f"administration-{view.lower()}"
    ):  # of its own for each view, so that nothing of another lingers
        _VIEWS[view]()


require_user()
require_database()
with st.container(horizontal=True, vertical_alignment="center", key="page-header"):
    st.title("Administration", anchor=False)
show_notices()
show_refusal()
if not require_user().is_administrator:
    st.error("Only administrators can do that.  \nAsk one of them, or go back.", icon=":material/block:")
    st.page_link("pages/documents.py", label="Go to Documents", icon=":material/arrow_back:")
else:
    if not is_guarded():
        describe_one_person()
    show_views()
