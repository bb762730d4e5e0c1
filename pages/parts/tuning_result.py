"""What came of a search for better settings: the verdict with its figures, what it costs, and what to do with it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
import psycopg
import streamlit as st

from pages.parts.confirmation import Act, confirm
from pages.parts.downloads import file_name, handing_out
from pages.parts.lab_address import lab_query
from pages.parts.notices import notify
from pages.parts.run_words import UNITS
from pages.parts.session import connect
from pages.parts.tuning_charts import gain_chart, weight_chart
from pages.parts.tuning_trades import choose_trades
from pages.parts.tuning_words import (
    changes_words,
    explanation,
    headline,
    measure_name,
    setting_words,
    signed,
    tried_csv,
)
from pages.parts.words import count, plain, show_error
from rag.errors import CorpuscopeError
from rag.evaluation.findings import Findings
from rag.evaluation.question_sets import Question, list_questions
from rag.evaluation.tunings import Tuning, read_tuning
from rag.records import Collection
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import load_profile, save_profile, undo_default


def show_result(collection: Collection, tuning: Tuning, found: Findings, *, editable: bool) -> None:
    """All of it, the verdict first."""
    with connect() as conn:
        questions = {one.id: one for one in list_questions(conn, tuning.set_id)}
        default = load_profile(conn, collection.id)
    with st.container(border=True, key="tuning-result"):
        icon = ":material/trending_up:" if found.promised else ":material/balance:"
        st.markdown(f"#### {icon} {headline(found)}")
        st.markdown(explanation(tuning, found))
        if found.gain is not None:
            _settings(tuning, found)
        _notes(tuning, found, default)
        chosen = choose_trades(tuning, found)
        _acts(collection, tuning, found, chosen, default, questions, editable=editable)
    if found.gain is not None:
        _evidence(collection, tuning, found, questions)


def _settings(tuning: Tuning, found: Findings) -> None:
    """What would change and what that brings and costs, side by side."""
    left, right = st.columns(2, gap="large")
    with left:
        if found.candidate != found.present:
            st.markdown("**What changes**" if found.promised else "**What the most promising settings would change**")
            st.markdown("\n".join(f"- {plain(words)}" for words in changes_words(found.present, found.candidate)))
        else:
            st.markdown("**Nothing changes**")
        st.caption(f"Compared with {plain(tuning.label)}. {_cost(found)}")
    with right:
        st.plotly_chart(
            gain_chart(found), key="tuning_gain", config={"displayModeBar": False}, alt="The gain with its interval"
        )


def _cost(found: Findings) -> str:
    """``A search takes 12.1 ms (p50) in place of 9.8 ms, …``"""
    cost = found.latency
    if cost is None:
        return "It costs nothing: nothing changes."
    more = cost.candidate_p50 - cost.present_p50
    verdict = "about the same" if abs(more) < 0.1 * cost.present_p50 else f"{abs(more):.1f} ms {_slower(more)}"
    return (
        f"What it costs: a search takes {cost.candidate_p50:.1f} ms (p50; p95 {cost.candidate_p95:.1f}) in place of"
        f" {cost.present_p50:.1f} ms (p95 {cost.present_p95:.1f}): {verdict}, over"
        f" {count(cost.searches, 'search', 'searches')} each, in turn."
    )


def _slower(more: float) -> str:
    return "more" if more > 0 else "less"


def _notes(tuning: Tuning, found: Findings, default: RetrievalProfile) -> None:
    words = [f"{count(found.questions, 'question')} of this set, under {plain(found.model)}.", UNITS[found.unit]]
    if found.left_out:
        words.append(f"{count(found.left_out, 'question')} had no part: the aim can't be measured on them.")
    st.caption(" ".join(words))
    if found.promised and default not in (found.present, found.candidate):
        st.warning(
            f"These settings were compared with {plain(tuning.label)}, which isn't the default (any more)."
            " Find better settings from the default to know what they gain over it.",
            icon=":material/update:",
        )


def _acts(
    collection: Collection,
    tuning: Tuning,
    found: Findings,
    chosen: RetrievalProfile,
    default: RetrievalProfile,
    questions: dict[int, Question],
    *,
    editable: bool,
) -> None:
    if chosen == found.present and found.candidate == found.present:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="tuning-acts"):
        if chosen != found.present and editable:
            name = st.text_input("Name of the profile", "Tuned", max_chars=80, key=f"tuning_name_{tuning.id}")
            ready = bool(name.strip())
            if st.button("Save as a profile", icon=":material/save:", key="tuning_save", disabled=not ready):
                _save(collection, name, chosen)
            if st.button(
                "Make it the default", icon=":material/star:", type="primary", key="tuning_default", disabled=not ready
            ):
                confirm(_promotion(collection, name, default, chosen))
        changed = next((questions[one.question_id] for one in found.changed if one.question_id in questions), None)
        st.page_link(
            "pages/search.py",
            label="Open in the lab",
            icon=":material/science:",
            query_params=lab_query(
                collection.id,
                changed.text if changed else "",
                found.present,
                chosen if chosen != found.present else found.candidate,
            ),
            help="The question that changed most, with both settings side by side",
        )


def _save(collection: Collection, name: str, profile: RetrievalProfile) -> None:
    try:
        with connect() as conn:
            saved = save_profile(conn, collection.id, name, profile)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"Saved as {plain(saved.name)} v{saved.version}.", icon="save")
    st.rerun()


def _promotion(collection: Collection, name: str, default: RetrievalProfile, chosen: RetrievalProfile) -> Act:
    def do(conn: psycopg.Connection[Any]) -> object:
        return save_profile(conn, collection.id, name, chosen, make_default=True)

    return Act(
        title="Make it the default?",
        effects=[
            *([plain(words) for words in changes_words(default, chosen)] or ["No setting changes, only the name."]),
            f"It is saved as **{plain(name)}**. Search, chat, evaluation and the command line use it from then on.",
            "What was the default before stays, and one click brings it back.",
        ],
        verb="Make it the default",
        do=do,
        done=f"**{plain(name)}** is the default of {plain(collection.name)} now.",
        undo=lambda conn: undo_default(conn, collection.id),
        icon="star",
    )


def _evidence(collection: Collection, tuning: Tuning, found: Findings, questions: dict[int, Question]) -> None:
    """Where the figures come from: the weights, the folds, the questions that changed, and the download."""
    measure = measure_name(tuning)
    with st.expander("How sure is this?", icon=":material/query_stats:"):
        if (figure := weight_chart(found, measure)) is not None:
            st.plotly_chart(figure, key="tuning_weights", alt=f"{measure} by the weight of meaning against words")
        st.caption(
            "Each time, the questions were dealt into five parts at random. Four of them chose the settings, the fifth"
            " measured them; five times over. A setting near the present one is preferred to one that is ahead of it by"
            " less than a standard error."
        )
        _folds(found)
        if found.changed:
            st.markdown("**Questions that change most**")
            st.dataframe(
                _changed_table(found, questions), hide_index=True, key="tuning_changed", alt="Changed questions"
            )
    st.download_button(
        "CSV",
        handing_out(
            collection.id,
            "settings tried",
            lambda conn: _csv(conn, tuning.id),
            rows=len(found.tried),
        ),
        file_name=file_name(collection.name, "settings", str(tuning.id)),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="tuning_csv",
        help="Every setting that was tried, with what it scores",
    )


def _csv(conn: psycopg.Connection[Any], tuning_id: int) -> bytes:
    found = read_tuning(conn, tuning_id).findings
    return tried_csv(found) if found is not None else b""


def _folds(found: Findings) -> None:
    picks = Counter(fold.chosen for fold in found.folds)
    words = ", ".join(
        f"{times} × {plain(setting_words(found.present, found.tried[setting].profile))}"
        for setting, times in picks.most_common(4)
    )
    st.markdown(f"**Chosen in {len(found.folds)} folds:** {words}{' and others' if len(picks) > 4 else ''}.")
    rows = [
        {
            "Round": fold.repeat,
            "Part held back": fold.fold,
            "Questions": fold.questions,
            "Chosen by the others": setting_words(found.present, found.tried[fold.chosen].profile),
            "Present": round(fold.present, 4),
            "Chosen": round(fold.after, 4),
            "Gain": signed(fold.after - fold.present),
        }
        for fold in found.folds
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height=240, key="tuning_folds", alt="The folds")


def _changed_table(found: Findings, questions: dict[int, Question]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "Question": questions[one.question_id].text,
                "Present": round(one.present, 4),
                "Candidate": round(one.candidate, 4),
                "Difference": signed(one.candidate - one.present),
            }
            for one in found.changed
            if one.question_id in questions
        ]
    )
