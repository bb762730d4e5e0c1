"""Thumbs on an answer with a reason and, from there, judgements on its passages, which evaluation then uses."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from html import escape
from typing import Any, Literal
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.answer_acts import Click, act_button
from pages.parts.chat_panels import close_panel, open_panel
from pages.parts.chat_view import ChatView
from pages.parts.session import connect
from pages.parts.words import plain, show_error
from rag.chat.chat_records import Message, Passage
from rag.chat.chats import read_answer
from rag.chat.participants import participants
from rag.chat.votes import MAX_REASON_CHARS, Vote, read_votes, vote
from rag.corpus.collections import list_collections
from rag.corpus.documents import get_document
from rag.errors import CorpuscopeError, NotFound
from rag.evaluation.judgements import Judgement, PassageSpan, judge_hit, verdicts

_REASONS = {
    1: ["Correct", "Complete", "Well sourced", "Well put"],
    -1: ["Wrong", "Incomplete", "Wrong passages", "Not in the documents", "Beside the question"],
}
#: What a thumb on a passage says, as on the hits of the Search lab.
_GRADES = {"good": 2, "bad": 0}
_EXCERPT = 240


def vote_buttons(view: ChatView, message: Message) -> str:
    """Thumb up and thumb down as HTML; where several people can press them, with how many did."""
    mine = view.vote_of_mine(message.id)
    alone = view.chat.is_owner and not view.chat.shared
    ups, downs = (0, 0) if alone else (view.votes_on(message.id, 1), view.votes_on(message.id, -1))
    return act_button(
        "up", message.id, "thumb_up", "Good answer", pressed=bool(mine and mine.vote == 1), count=ups
    ) + act_button("down", message.id, "thumb_down", "Bad answer", pressed=bool(mine and mine.vote == -1), count=downs)


def vote_by_click(click: Click) -> None:
    """A thumb: vote so and ask for the reason, or take the vote back where it is the same already."""
    value: Literal[1, -1] = 1 if click.act == "up" else -1
    with connect() as conn:
        mine = [one for one in read_votes(conn, [click.message]) if one.mine]
        same = bool(mine) and mine[0].vote == value
        vote(conn, click.message, None if same else value)
    if same:
        close_panel()
    else:
        open_panel("vote", click.message)


def vote_panel(view: ChatView, message: Message) -> None:
    """Why one voted so, what others said, and which of its passages answer the question."""
    mine = view.vote_of_mine(message.id)
    if mine is None:
        return
    with st.container(border=True, key=f"vote-panel-{message.id}"):
        _reason_form(message, mine)
        _others(view, message)
        _judge_passages(view, message)


def _reason_form(message: Message, mine: Vote) -> None:
    good = mine.vote == 1
    with st.form(f"vote-{message.id}-{mine.vote}", border=False):
        st.markdown(f"**{'What was good about it?' if good else 'What was wrong with it?'}**")
        reasons = st.pills(
            "Reasons",
            _REASONS[mine.vote],
            selection_mode="multi",
            label_visibility="collapsed",
            key=f"reasons-{message.id}-{mine.vote}",
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            words = st.text_input(
                "In your own words",
                value=mine.reason,
                max_chars=MAX_REASON_CHARS // 2,
                placeholder="In your own words",
                label_visibility="collapsed",
                key=f"reason-{message.id}-{mine.vote}",
            )
            saved = st.form_submit_button("Save", type="primary", key=f"reason-save-{message.id}")
            st.form_submit_button("Close", on_click=close_panel, key=f"reason-close-{message.id}")
    if not saved:
        return
    try:
        with connect() as conn:
            vote(conn, message.id, mine.vote, join_reasons(reasons, words))
    except CorpuscopeError as error:
        show_error(error)
        return
    st.toast("Your reason was saved.", icon=":material/check_circle:")


def join_reasons(reasons: Sequence[str], words: str) -> str:
    """``Wrong, incomplete: the manual says 27``; what the words hold already is not said twice."""
    new = [reason for reason in reasons if reason.lower() not in words.lower()]
    said = ", ".join([*new[:1], *(reason.lower() for reason in new[1:])])
    return ": ".join(part for part in (said, words.strip()) if part)


def _others(view: ChatView, message: Message) -> None:
    said = [one for one in view.votes if one.message_id == message.id and not one.mine and one.reason]
    if not said:
        return
    with connect() as conn:
        names = {one.user_id: one.name for one in participants(conn, view.chat.id)}
    for one in said:
        thumb = "up" if one.vote == 1 else "down"
        who = plain(names.get(one.user_id, "Somebody who left"))
        st.caption(f":material/thumb_{thumb}: {who}: {plain(one.reason)}")


def _judge_passages(view: ChatView, message: Message) -> None:
    question = question_for(view, message)
    with connect() as conn:
        homes = _homes(conn, _judgeable(message))
        roles = {one.id: one.role for one in list_collections(conn)}
        judged = {home: verdicts(conn, home, question) for home in set(homes.values())}
    if not homes:
        return
    st.html(
        '<div class="cs-quiet">Do its passages answer the question? Your thumbs go into the set “From thumbs”, with '
        "which <b>Evaluate</b> measures every change of settings.</div>"
    )
    rows = "".join(
        _row(message, passage, judged[home], may_judge=roles.get(home) in ("editor", "owner"))
        for passage in message.passages
        if (home := homes.get(passage.number)) is not None
    )
    st.html(f'<ul class="cs-judged">{rows}</ul>')


def _homes(conn: psycopg.Connection[Any], passages: Sequence[Passage]) -> dict[int, UUID]:
    """The collection of each passage whose document is still there, by the passage's number."""
    found = {}
    for passage in passages:
        with contextlib.suppress(NotFound):
            if passage.document_id is not None:
                found[passage.number] = get_document(conn, passage.document_id).collection_id
    return found


def question_for(view: ChatView, message: Message) -> str:
    """What the passages were found for: the question that stands alone."""
    question = view.question_of(message)
    return message.standalone or (question.content if question else "")


def _judgeable(message: Message) -> list[Passage]:
    """The cited passages, or where nothing is cited the first few that were read."""
    there = [passage for passage in message.passages if passage.document_id is not None]
    cited = {citation.number for citation in message.citations}
    return [passage for passage in there if passage.number in cited] or there[:5]


def _row(message: Message, passage: Passage, judged: Sequence[Judgement], *, may_judge: bool) -> str:
    grade = next((one.grade for one in judged if _same_place(one, passage)), None)
    refusal = "" if may_judge else "Editors of this collection can judge passages."
    number, page = str(passage.number), f", p. {passage.page}" if passage.page else ""
    text = passage.text if len(passage.text) <= _EXCERPT else f"{passage.text[:_EXCERPT]}…"
    up = act_button(
        "good", message.id, "thumb_up", "Answers the question", to=number, pressed=bool(grade), refusal=refusal
    )
    down = act_button(
        "bad", message.id, "thumb_down", "Doesn’t answer it", to=number, pressed=grade == 0, refusal=refusal
    )
    return (
        f'<li><div class="cs-head"><span class="cs-rank">{number}</span>'
        f"<b>{escape(passage.title or passage.document)}</b>{page}"
        f'<span class="cs-thumbs">{up}{down}</span></div><div class="cs-quiet" dir="auto">{escape(text)}</div></li>'
    )


def _same_place(judgement: Judgement, passage: Passage) -> bool:
    return (judgement.document_id, judgement.start, judgement.end) == (passage.document_id, passage.start, passage.end)


def judge_by_click(click: Click) -> None:
    """A thumb on a passage: record it, or take it back where it is the same already."""
    with connect() as conn:
        message = read_answer(conn, click.message)
        question = message.standalone or (read_answer(conn, message.parent_id).content if message.parent_id else "")
        passage = next((one for one in message.passages if str(one.number) == click.to), None)
        if passage is None or passage.document_id is None:
            return
        collection, grade = get_document(conn, passage.document_id).collection_id, _GRADES[click.act]
        before = [one.grade for one in verdicts(conn, collection, question) if _same_place(one, passage)]
        same = bool(before) and bool(before[0]) == bool(grade)
        span = PassageSpan(passage.document_id, passage.text_revision, passage.start, passage.end)
        judge_hit(conn, None, question, span, None if same else grade, collection)
