"""Health: what in a corpus is worth a look, and what to do about it."""

from __future__ import annotations

import streamlit as st

from pages.parts.confirmation import show_refusal
from pages.parts.empty import empty_state, no_documents, not_ready
from pages.parts.health_duplicates import SLIDER, THRESHOLD, pick_threshold, show_groups
from pages.parts.health_overview import (
    describe_check,
    latest_done,
    never_checked,
    pick_list,
    show_ended,
    show_kept,
    show_overview,
    watch_check,
)
from pages.parts.health_passages import show_lost, show_passages
from pages.parts.health_repeats import show_repeats
from pages.parts.health_words import LISTS, ListName, explain, nothing
from pages.parts.picker import page_header
from pages.parts.session import connect, require_database, require_user
from rag.corpus.progress import read_progress
from rag.health.duplicates import read_duplicates
from rag.health.health_checks import HealthCheck, health_checks, read_drift
from rag.health.health_lists import count_findings, list_lost, list_passages, list_repeats
from rag.records import Collection


def show(collection: Collection) -> None:
    """The newest check that is done, one that goes on above it, or the way to the first."""
    show_refusal()
    editable = collection.role != "viewer"
    with connect() as conn:
        checks = health_checks(conn, collection.id)
        searchable = read_progress(conn, collection.id).embedded_total
    if not searchable:
        not_ready(collection)
        return
    going = next((check for check in checks if check.unfinished), None)
    done = latest_done(checks)
    if going is not None:
        watch_check(going, editable=editable)
    elif checks and checks[0] is not done:
        show_ended(checks[0])
    if done is not None:
        show_check(collection, done, editable=editable, again=editable and going is None)
    elif going is None:
        never_checked(collection, editable=editable)


def show_check(collection: Collection, check: HealthCheck, *, editable: bool, again: bool) -> None:
    """The overview, and the list that is chosen."""
    with connect() as conn:
        duplicates = read_duplicates(conn, check.id)
        found = count_findings(conn, check.id)
        drift = read_drift(conn, check)
    threshold = float(st.session_state.get(SLIDER, THRESHOLD))
    groups = duplicates.groups(threshold)
    counts: dict[ListName, int] = {name: len(groups) if name == "duplicates" else found[name] for name in LISTS}
    show_overview(collection, check, counts, drift, again=again)
    name = pick_list(counts)
    if name != "unretrieved" or check.figures.get("runs"):
        st.markdown(explain(name, check.figures))
    if name == "duplicates":
        pick_threshold(float(check.figures["floor"]))
    if not counts[name]:
        show_nothing(name, check, threshold)
    elif name == "duplicates":
        show_groups(collection, groups, editable=editable)
    else:
        show_list(collection, check, name, counts[name], editable=editable)
    show_kept(collection, editable=editable)


def show_list(collection: Collection, check: HealthCheck, name: ListName, total: int, *, editable: bool) -> None:
    """One of the lists that ask the database only once they are looked at."""
    with connect() as conn:
        if name == "repeat":
            repeats = list_repeats(conn, check.id)
        elif name == "unretrieved":
            lost = list_lost(conn, check.id)
        elif name != "duplicates":
            passages = list_passages(conn, check.id, name)
    if name == "repeat":
        show_repeats(collection, check.id, repeats, total, editable=editable)
    elif name == "unretrieved":
        show_lost(collection, lost, editable=editable)
    elif name != "duplicates":
        show_passages(collection, name, passages, editable=editable)


def show_nothing(name: ListName, check: HealthCheck, threshold: float) -> None:
    """What was looked at in vain, or why nothing could be."""
    unasked = name == "unretrieved" and not check.figures.get("runs")
    title, text = (
        ("No question was asked yet", "Runs on the page Evaluate say which documents questions find.")
        if unasked
        else ("Nothing here", nothing(name, check.figures, threshold))
    )
    with empty_state(title, f"{text} {describe_check(check)}.", icon="check_circle", key=f"health-{name}"):
        if unasked:
            st.page_link("pages/evaluate.py", label="Go to Evaluate", icon=":material/arrow_forward:")


require_user()
require_database()
chosen = page_header("Health")
if chosen is None or not chosen.document_count:
    no_documents("health", chosen)
else:
    show(chosen)
