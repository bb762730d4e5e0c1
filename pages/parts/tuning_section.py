"""The section Better settings of the Evaluate page: start a search for them, watch it, and see what came of it."""

from __future__ import annotations

import streamlit as st

from pages.parts.confirmation import Act, confirm, show_refusal
from pages.parts.empty import empty_state
from pages.parts.live_work import Work, watch
from pages.parts.question_picker import may_edit
from pages.parts.session import connect
from pages.parts.tuning_result import show_result
from pages.parts.tuning_start import start_form
from pages.parts.tuning_words import measure_name, tuning_option
from pages.parts.words import plain
from rag.evaluation.question_sets import QuestionSet
from rag.evaluation.tunings import UNFINISHED, Tuning, cancel_tuning, delete_tuning, list_tunings
from rag.records import Collection


def show(collection: Collection, evaluation_set: QuestionSet) -> None:
    """Everything about better settings by this set."""
    show_refusal()
    with connect() as conn:
        tunings = list_tunings(conn, evaluation_set.id)
    editable = may_edit(collection)
    if editable:
        start_form(collection, evaluation_set)
    watch(_LIVE, evaluation_set.id, tunings, may_edit=editable)
    ended = {one.id: one for one in tunings if one.state not in UNFINISHED}
    if not tunings:
        with empty_state(
            "No better settings were looked for yet",
            "Weights, ways of fusing and diversity are tried on this set's questions. What is suggested is measured on"
            " questions that had no part in choosing it, and where these can't tell, it says so.",
            icon="tune",
            key="no-tunings",
        ):
            if not editable:
                st.caption("Editors of this collection can look for better settings.")
    elif ended:
        _pick(collection, ended, editable=editable)


def _pick(collection: Collection, ended: dict[int, Tuning], *, editable: bool) -> None:
    if st.session_state.get("tuning_chosen") not in ended:
        st.session_state.pop("tuning_chosen", None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = ended[
            st.selectbox(
                "Result", list(ended), format_func=lambda id: tuning_option(ended[id]), key="tuning_chosen", width=560
            )
        ]
        if editable and st.button("Delete", icon=":material/delete:", type="tertiary", key="tuning_delete"):
            confirm(
                Act(
                    title="Delete this result?",
                    effects=["Its figures are gone. Profiles that were saved from it stay."],
                    verb="Delete it",
                    do=lambda conn: delete_tuning(conn, chosen.id),
                    done="The result is deleted.",
                    icon="delete",
                )
            )
    if (found := chosen.findings) is not None:
        show_result(collection, chosen, found, editable=editable)
        return
    why = f"{plain(chosen.reason or '')} {plain(chosen.hint or '')}".strip()
    said = "This search for better settings " + ("failed." if chosen.state == "failed" else "was cancelled.")
    st.warning(f"{said} {why}".strip(), icon=":material/error:")


_LIVE = Work(
    "tuning",
    read=list_tunings,
    cancel=cancel_tuning,
    name=lambda one: f"**#{one.id}** {plain(measure_name(one))}, from {plain(one.label)}",
    asking="searched for",
    ending="choosing, and measuring what it costs",
)
