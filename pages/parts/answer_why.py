"""Why this answer? What it was made with, from the snapshot kept with it, beside the documents as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from uuid import UUID

import streamlit as st

from pages.parts.addresses import span_address
from pages.parts.chat_export import answer_export_button
from pages.parts.chat_view import ChatView
from pages.parts.lab_address import lab_query
from pages.parts.session import connect
from pages.parts.words import clock, count
from rag.chat.chat_records import Message, Passage
from rag.chat.passage_changes import PassageNow, compare_passages, summarise_changes
from rag.chat.snapshots import Snapshot, read_snapshot
from rag.chat.transcripts import writer
from rag.errors import InvalidInput
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import describe_changes

_NOW = {
    "same": ("As it was", ""),
    "moved": ("Elsewhere now", ""),
    "changed": ("Text changed", "cs-out"),
    "excluded": ("Left out of search now", "cs-out"),
    "deleted": ("Document gone", "cs-out"),
}


def why_panel(view: ChatView, message: Message) -> None:
    """Everything that led to the answer: question, profile, indexes, passages with their scores, time and tokens."""
    snapshot = read_snapshot(message.snapshot)
    with connect() as conn:
        now = {one.number: one for one in compare_passages(conn, message.id)}
    with st.container(border=True, key=f"why-{message.id}"):
        st.markdown("**Why this answer?**")
        st.html(_facts(_describe(view, message, snapshot)))
        if changed := summarise_changes(list(now.values())):
            st.html(f'<div class="cs-quiet">{escape(changed)}</div>')
        if message.passages:
            left_out = frozenset(snapshot.left_out if snapshot else ())
            st.html(f'<ol class="cs-passages">{_passages(message, now, left_out)}</ol>')
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            _lab_link(view, message, snapshot)
            answer_export_button(view.chat, message)


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<span>{escape(name)}</span><b>{escape(value)}</b>" for name, value in facts if value)
    return f'<div class="cs-facts cs-why-facts">{rows}</div>'


def _describe(view: ChatView, message: Message, snapshot: Snapshot | None) -> list[tuple[str, str]]:
    question = view.question_of(message)
    facts = [
        ("Asked", question.content if question else ""),
        ("Searched for", message.standalone or ""),
        ("Within", _scope(message)),
        ("Written by", "Quotes alone, without a chat model" if message.kind == "extractive" else writer(message)),
    ]
    if snapshot is None:
        return [*facts, ("Made", clock(message.phase_at))]
    return [
        *facts,
        ("Profile", _profile(view, snapshot)),
        *(("Index", f"{one.collection_name}, no. {one.index}, {one.model}") for one in snapshot.indexes),
        ("Passages", _counts(snapshot)),
        ("Tokens", _tokens(snapshot)),
        ("Time", _times(message, snapshot)),
        ("Made", clock(message.phase_at)),
    ]


def _scope(message: Message) -> str:
    if message.scope is None:
        return ""
    size = f"{count(message.scope.passages, 'passage')} of {count(message.scope.documents, 'document')}"
    return f"{message.scope.name} ({size})" if message.scope.name else size


def _profile(view: ChatView, snapshot: Snapshot) -> str:
    named = view.profiles.name_of(snapshot.profile)
    try:
        changes = describe_changes(RetrievalProfile(), RetrievalProfile.from_json(snapshot.profile))
    except (InvalidInput, TypeError):
        return named or "Settings of an earlier version"
    said = "; ".join(change.words.partition(", before ")[0] for change in changes)
    return f"{named or 'Settings that no saved profile has now'}{f' ({said})' if said else ''}"


def _counts(snapshot: Snapshot) -> str:
    words = f"{count(snapshot.found, 'passage')} found, {snapshot.kept:,} kept"
    if snapshot.left_out:
        words += f", {len(snapshot.left_out):,} left out: the model’s window was full"
    return words


def _tokens(snapshot: Snapshot) -> str:
    if snapshot.completion_tokens is None:
        return ""
    about = "" if snapshot.exact_tokens else ", estimated"
    read = f"{snapshot.prompt_tokens:,} read, " if snapshot.prompt_tokens is not None else ""
    rate = f", {snapshot.tokens_per_second:.0f} a second" if snapshot.tokens_per_second else ""
    return f"{read}{snapshot.completion_tokens:,} written{about}{rate}"


def _times(message: Message, snapshot: Snapshot) -> str:
    parts = [("search", snapshot.retrieval_seconds), ("the model’s first word", snapshot.first_token_seconds)]
    said = [f"{seconds:.2f} s to {name}" for name, seconds in parts if seconds is not None]
    return ", ".join([f"{message.seconds:.1f} s in all", *said])


def _passages(message: Message, now: Mapping[int, PassageNow], left_out: frozenset[int]) -> str:
    cited: dict[int, int] = {}
    for citation in message.citations:
        cited[citation.number] = cited.get(citation.number, 0) + 1
    ordered = sorted(message.passages, key=lambda one: one.number)
    return "".join(
        _passage(one, now.get(one.number), cited.get(one.number, 0), one.number in left_out) for one in ordered
    )


def _passage(passage: Passage, now: PassageNow | None, cited: int, left_out: bool) -> str:
    marks = [_badge(f"cited {cited} times" if cited > 1 else "cited", "cs-in") if cited else ""]
    if left_out:
        marks.append(_badge("not read: no room", "cs-out"))
    if now is not None and now.state != "same":
        marks.append(_badge(*_NOW[now.state]))
    page = f", p. {passage.page}" if passage.page else ""
    return (
        f'<li><details><summary><span class="cs-rank">{passage.number}</span>'
        f"<span><b>{escape(passage.title or passage.document)}</b>{page} {' '.join(marks)}"
        f'<small class="cs-quiet">{_scores(passage)}</small></span></summary>'
        f'<div class="cs-text cs-quote" dir="auto">{escape(passage.text)}</div>{_link(passage, now)}</details></li>'
    )


def _badge(words: str, kind: str) -> str:
    return f'<span class="cs-badge {kind}">{escape(words)}</span>'


def _scores(passage: Passage) -> str:
    scores = [("similarity", passage.similarity), ("words", passage.lexical), ("score", passage.score)]
    return " · ".join(f"{name} {value:.3f}" for name, value in scores if value is not None)


def _link(passage: Passage, now: PassageNow | None) -> str:
    if passage.document_id is None or now is None or now.state == "deleted":
        return '<p class="cs-quiet">The document is gone; this is the text as the answer had it.</p>'
    if now.start is None:
        return '<p class="cs-quiet">This is the text as the answer had it; the document says something else now.</p>'
    address = _address(passage.document_id, now.start, now.start + len(passage.text))
    return f'<a class="cs-act" target="_self" href="{address}">Open in the document</a>'


def _address(document: UUID, start: int, end: int) -> str:
    return escape(span_address(document, start, end))


def _lab_link(view: ChatView, message: Message, snapshot: Snapshot | None) -> None:
    question = view.question_of(message)
    asked = message.standalone or (question.content if question else "")
    profile: Any = None
    if snapshot is not None and snapshot.profile:
        try:
            profile = RetrievalProfile.from_json(snapshot.profile)
        except (InvalidInput, TypeError):
            profile = None
    st.page_link(
        "pages/search.py",
        label="Search for it again in the lab",
        icon=":material/science:",
        query_params=lab_query(
            view.chat.collection_id, asked, profile, scope=message.scope.id if message.scope is not None else None
        ),
    )
