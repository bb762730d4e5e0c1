"""The questions of a set as a table, a page at a time; which one is picked, is in the address."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from pages.parts.session import connect
from pages.parts.words import count
from rag.evaluation.question_sets import Origin, Question, QuestionSet, State
from rag.evaluation.questions import page_questions

PAGE_ROWS = 50
_PARAMETER = "question"
_FILTER = "questions"
_TEXT = "question_text"

ORIGINS: dict[Origin, str] = {
    "typed": "Typed in",
    "imported": "Imported",
    "thumbs": "Thumbs",
    "drafted": "Drafted",
}


@dataclass(frozen=True)
class Filter:
    """Which questions one choice of the filter keeps; ``answered`` None keeps both kinds."""

    title: str
    state: State = "accepted"
    answered: bool | None = None


#: By what the address says.
FILTERS = {
    "all": Filter("All"),
    "answered": Filter("With an answer", answered=True),
    "open": Filter("Without an answer", answered=False),
    "drafts": Filter("Drafts", "draft"),
    "rejected": Filter("Rejected", "rejected"),
}


def question_filter(chosen: QuestionSet) -> tuple[str, str]:
    """The name of the filter, and the text that has to be in the question."""
    counts = {
        "all": chosen.accepted,
        "answered": chosen.judged,
        "open": chosen.accepted - chosen.judged,
        "drafts": chosen.drafts,
        "rejected": chosen.rejected,
    }
    shown = [name for name in FILTERS if counts[name] or name == "all"]
    if st.session_state.get(_FILTER, st.query_params.get(_FILTER, "all")) not in shown:
        st.session_state[_FILTER] = "all"
    picked = st.segmented_control(
        "Show",
        shown,
        default="all" if _FILTER not in st.session_state else None,
        required=True,
        format_func=lambda name: f"{FILTERS[name].title} {counts[name]:,}",
        key=_FILTER,
        bind="query-params",
        label_visibility="collapsed",
    )
    text = st.text_input(
        "Question contains",
        key=_TEXT,
        placeholder="Filter by words",
        label_visibility="collapsed",
        icon=":material/filter_list:",
        width=220,
        type="search",
        max_chars=200,
    )
    return picked or "all", (text or "").strip()


def pick_question(chosen: QuestionSet, kept: Filter, text: str) -> int | None:
    """Draw the page of the table and return the picked question's id."""
    current = read_picked()
    key = f"question_page_{chosen.id}_{kept.title}_{text}"
    page = int(st.session_state.get(key, 0))
    with connect() as conn:
        found = page_questions(
            conn,
            chosen.id,
            state=kept.state,
            text=text,
            answered=kept.answered,
            limit=PAGE_ROWS,
            offset=page * PAGE_ROWS,
        )
    if not found.questions:
        if page and found.total:  # the last page was emptied
            st.session_state[key] = 0
            st.rerun()
        st.caption("No question of this set fits that filter.")
        return None
    _table(found.questions, current)
    _turn_pages(key, page, len(found.questions), found.total)
    return current


def read_picked() -> int | None:
    """The question that the address names."""
    said = st.query_params.get(_PARAMETER, "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None


def open_question(question_id: int | None) -> None:
    """Make it the picked one at the next run."""
    if question_id is None:
        st.query_params.pop(_PARAMETER, None)
    else:
        st.query_params[_PARAMETER] = str(question_id)


def _table(questions: Sequence[Question], current: int | None) -> None:
    ids = [question.id for question in questions]
    key = f"questions-{zlib.crc32(repr(ids).encode())}"
    st.dataframe(
        pd.DataFrame([_row(question) for question in questions]),
        key=key,
        on_select=lambda: _remember(key, ids),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(current)]}} if current in ids else None,
        hide_index=True,
        placeholder="",
        row_height=35,
        height=36 + 35 * min(len(ids), 6 if current is not None else 12),
        column_config={
            "Question": st.column_config.TextColumn(width=400),
            "Answers": st.column_config.NumberColumn(width=80, help="Passages judged as an answer"),
            "No answers": st.column_config.NumberColumn(width=95, help="Passages judged as no answer"),
            "From": st.column_config.TextColumn(width=90),
        },
        alt="Questions of the set with the number of judged passages",
    )


def _row(question: Question) -> dict[str, Any]:
    return {
        "Question": question.text,
        "Answers": question.relevant,
        "No answers": question.irrelevant or None,
        "From": ORIGINS[question.origin],
    }


def _remember(key: str, ids: Sequence[int]) -> None:
    picked = [row for row in st.session_state[key].selection.rows if row < len(ids)]
    open_question(ids[picked[0]] if picked else None)


def _turn_pages(key: str, page: int, shown: int, total: int) -> None:
    if total <= PAGE_ROWS:
        st.caption(f"{count(total, 'question')} · Select one to see and judge its passages.")
        return
    first = page * PAGE_ROWS

    def turn(to: int) -> None:
        st.session_state[key] = to

    with st.container(horizontal=True, vertical_alignment="center", key="question-pages"):
        st.caption(f"{first + 1:,}–{first + shown:,} of {count(total, 'question')}", width="content")
        st.button(
            "Earlier",
            key="questions_before",
            icon=":material/chevron_left:",
            type="tertiary",
            disabled=page == 0,
            on_click=turn,
            args=(page - 1,),
        )
        st.button(
            "Later",
            key="questions_after",
            icon=":material/chevron_right:",
            icon_position="right",
            type="tertiary",
            disabled=first + shown >= total,
            on_click=turn,
            args=(page + 1,),
        )
