"""Drafted questions: asking for them, watching them come, and looking through them one by one or all at once."""

from __future__ import annotations

import time
from collections.abc import Mapping

import streamlit as st

from pages.parts.notices import notify, offer_undo
from pages.parts.product import product
from pages.parts.question_detail import show_passage, take_back_states
from pages.parts.session import connect
from pages.parts.words import count, duration, guarded, plain, show_error
from rag.corpus.progress import RateMeter
from rag.errors import CorpuscopeError, NotFound
from rag.evaluation.draft_requests import MOST, DraftRequest, cancel_request, latest_request, request_drafts
from rag.evaluation.judged_passages import list_passages
from rag.evaluation.question_sets import MAX_QUESTION, Question, QuestionSet, State
from rag.evaluation.questions import decide_drafts, edit_question, page_questions, set_states
from rag.records import Collection
from rag.retrieval.scopes import read_scope

_AT_ONCE = 10
_SEEN = "drafts_seen"


def draft_form(chosen: QuestionSet) -> None:
    """How many, and who writes them."""
    st.markdown(describe_writer("passages from all your documents"))
    st.caption("Each is a draft with the passage that answers it, and counts only once somebody has accepted it.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.number_input("How many", 1, MOST, 20, key="drafts_wanted", width=140)
        if st.button("Draft questions", type="primary", icon=":material/edit_note:", key="draft_questions"):
            try:
                with connect() as conn:
                    request_drafts(conn, chosen.id, int(wanted))
            except CorpuscopeError as error:
                show_error(error)
                return
            notify("The questions are being drafted.", icon="edit_note")
            st.rerun()


def describe_writer(source: str = "them") -> str:
    """Who writes the questions and of what, as Markdown: a chat model that reads ``source``, or nobody."""
    if model := product().settings.chat_model:
        return f"The chat model `{plain(model)}` reads {source} and writes a question on each."
    return (
        "There is no chat model (the setting `CHAT_MODEL`), so questions are made of headings and sentences: "
        "plainer, and in the words of their passages, which flatters search by words."
    )


def watch_drafting(chosen: QuestionSet, request: DraftRequest | None) -> None:
    """Progress while a worker drafts, and why it ended where it didn't end well."""
    if request is None:
        return
    if request.active:
        st.session_state[_SEEN] = request.id
        st.fragment(_progress, run_every=1, key="draft-progress")(chosen.id)
    elif st.session_state.pop(_SEEN, None) == request.id:
        _tell(request)
    elif request.state == "failed" and st.session_state.get("draft_problem_read") != request.id:
        with st.container(horizontal=True, vertical_alignment="center", key="draft-problem"):
            reason = plain(f"{request.reason or ''} {request.hint or ''}".strip())
            st.warning(f"No more questions were drafted: {reason}", icon=":material/error:")
            if st.button("Dismiss", key="draft_problem_dismiss", icon=":material/close:", type="tertiary"):
                st.session_state["draft_problem_read"] = request.id
                st.rerun()


@guarded
def _progress(set_id: int) -> None:
    with connect() as conn:
        request = latest_request(conn, set_id)
    if request is None or not request.active:
        st.rerun()
    meters: dict[int, RateMeter] = st.session_state.setdefault("draft_meters", {})
    meter = meters.setdefault(request.id, RateMeter())
    meter.feed(time.monotonic(), request.made)
    words = f"{request.made:,} of {count(request.wanted, 'question')} drafted"
    if (rate := meter.rate) and request.made < request.wanted:
        words += f" · {rate * 60:,.0f} a minute · {duration((request.wanted - request.made) / rate)} to go"
    elif request.state == "queued":
        words += " · waiting for a worker"
    if request.scope_id is not None:
        words += f" · {_describe_source(request.scope_id)}"
    with st.container(horizontal=True, vertical_alignment="center", key="draft-bar"):
        st.progress(min(1.0, request.made / request.wanted), text=words)
        if st.button("Stop", key="stop_drafting", icon=":material/stop:", disabled=request.cancel_requested):
            with connect() as conn:
                cancel_request(conn, request.id)
    if request.reason:
        st.caption(f":orange[{plain(request.reason)}]")


def _describe_source(scope_id: int) -> str:
    try:
        with connect() as conn:
            return f"from {read_scope(conn, scope_id).size}"
    except NotFound:  # somebody else's selection
        return "from selected passages"


def _tell(request: DraftRequest) -> None:
    if request.made:
        notify(f"{count(request.made, 'draft')} to look at.", icon="edit_note")
        st.session_state["questions"] = "drafts"
        st.rerun()


def review_drafts(collection: Collection, chosen: QuestionSet, text: str) -> None:
    """The drafts with their passages: yes, no, or in other words."""
    with connect() as conn:
        found = page_questions(conn, chosen.id, state="draft", text=text, limit=_AT_ONCE)
        passages = {question.id: list_passages(conn, question.id) for question in found.questions}
    with st.container(horizontal=True, vertical_alignment="center", key="draft-all"):
        st.caption(
            f"{count(found.total, 'draft')}. Accept the questions that people would really ask.", width="stretch"
        )
        _decide_all(chosen, "Accept all", "accepted", "check")
        _decide_all(chosen, "Reject all", "rejected", "close")
    for question in found.questions:
        with st.container(border=True, key=f"draft-{question.id}", gap="small"):
            _draft(question)
            for passage in passages[question.id]:
                show_passage(passage, editing=False)
    if found.total > len(found.questions):
        st.caption(f"{count(found.total - len(found.questions), 'more draft')} after these.")


def _decide_all(chosen: QuestionSet, label: str, state: State, icon: str) -> None:
    if st.button(label, key=f"all_{state}", icon=f":material/{icon}:"):
        with connect() as conn:
            before = decide_drafts(conn, chosen.id, state)
        _offer_back(f"{count(len(before), 'draft')} {state}.", before)


def _draft(question: Question) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"draft-row-{question.id}"):
        words = st.text_input(
            "Question",
            value=question.text,
            key=f"draft-text-{question.id}",
            max_chars=MAX_QUESTION,
            label_visibility="collapsed",
        )
        yes = st.button("Accept", key=f"accept-{question.id}", icon=":material/check:", type="primary")
        no = st.button("Reject", key=f"reject-{question.id}", icon=":material/close:")
    if yes:
        _decide(question, "accepted", (words or "").strip())
    if no:
        _decide(question, "rejected", question.text)


def _decide(question: Question, state: State, words: str) -> None:
    try:
        with connect() as conn:
            if words != question.text:
                edit_question(conn, question.id, words)
            before = set_states(conn, [question.id], state)
    except CorpuscopeError as error:
        show_error(error)
        return
    _offer_back(f"“{plain(words[:80])}” was {state}.", before)


def _offer_back(text: str, before: Mapping[int, State]) -> None:
    offer_undo(text, lambda: take_back_states(before))
    st.rerun()
