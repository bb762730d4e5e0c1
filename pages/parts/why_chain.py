"""An explanation as a list from top to bottom: what was passed, where it was lost, and what would come then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby
from typing import Any

import streamlit as st

from pages.parts.addresses import span_query
from pages.parts.guests import is_guest
from pages.parts.highlights import Span, cut_around, mark_spans
from pages.parts.shell import ROOT
from pages.parts.words import plain
from rag.retrieval.trace_records import Advice, Explanation, Outcome, Place, Stage, Target
from rag.retrieval.trace_words import describe_figures

#: Changes the profile by these settings.
OnFix = Callable[[dict[str, Any]], None]

_SIGNS: dict[Outcome, tuple[str, str]] = {
    "passed": ("✓", "passed"),
    "lost": ("✕", "lost here"),
    "would_pass": ("✓", "would then pass"),
    "would_lose": ("✕", "would then be lost"),
    "unknown": ("?", "can't be said"),
}
_PAGES: dict[str, tuple[str, str, str]] = {
    "document": ("pages/document.py", "Open the document", ":material/article:"),
    "documents": ("pages/documents.py", "Go to Documents", ":material/description:"),
    "operations": ("pages/operations.py", "Go to Operations", ":material/monitor_heart:"),
    "indexes": ("pages/indexes.py", "Go to Indexes", ":material/layers:"),
}
_EXCERPT = 320


def show_explanation(explanation: Explanation, on_fix: OnFix | None) -> None:
    """The answer in a sentence, what was followed, and the chain with the losing stage set apart."""
    _show_answer(explanation)
    places = [number for number, stage in enumerate(explanation.stages) if stage.outcome == "lost"]
    if not places:
        st.html(chain_html(explanation.stages))
        return
    at = places[0]
    lost = explanation.stages[at]
    if at:
        st.html(chain_html(explanation.stages[:at]))
    with st.container(border=True, key="why-lost", gap="small"):
        st.html(chain_html([lost]))
        for number, advice in enumerate(lost.advice):
            alone = explanation.cure is None or advice.fix is None
            _show_advice(advice, f"{lost.name}-{number}", on_fix, note="" if alone else "Not enough by itself.")
        if explanation.cure is not None:
            _show_advice(explanation.cure, "cure", on_fix)
    if explanation.stages[at + 1 :]:
        st.caption("And then? What each later stage would do with it:")
        st.html(chain_html(explanation.stages[at + 1 :]))


def _show_answer(explanation: Explanation) -> None:
    wanted = plain(_short(explanation.wanted, 120))
    if explanation.lost_at is None:
        st.success(f"**{wanted}** is there: number {explanation.rank} of the results.", icon=":material/check_circle:")
    else:
        words = plain(explanation.stage(explanation.lost_at).words)
        st.warning(f"**{wanted}** is not among the results. {words}", icon=":material/search_off:")
    target = explanation.target
    if target.ordinal is not None and target.document_id is not None:
        where = f"{escape(target.document or '')}, chunk {target.ordinal + 1:,}"
        st.html(
            f'<div class="cs-quiet">Followed: {where}</div>'
            f'<div class="cs-text cs-near" dir="auto">{mark_spans(*_excerpt(target))}</div>'
        )


def _excerpt(target: Target) -> tuple[str, list[Span]]:
    return cut_around(target.text, [target.marked] if target.marked else [], most=_EXCERPT)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit].rstrip()} …"


def chain_html(stages: Sequence[Stage]) -> str:
    """The stages as a list; the outcome is a sign and, for those who don't see it, a word."""
    runs = groupby(stages, key=lambda stage: (stage.outcome, stage.words) if stage.outcome == "unknown" else stage.name)
    return f'<ol class="cs-chain">{"".join(_run_html(list(run)) for _, run in runs)}</ol>'


def _run_html(run: Sequence[Stage]) -> str:
    """One stage, or several of which the same can't be said."""
    stage, title = run[0], " · ".join(stage.title for stage in run)
    sign, said = _SIGNS[stage.outcome]
    figures = escape(describe_figures(stage.figures))
    then = f'<small class="cs-then">{said}</small>' if stage.outcome not in ("passed", "unknown") else ""
    return (
        f'<li class="cs-link cs-{stage.outcome.replace("_", "-")}" title="{figures}">'
        f'<i class="cs-sign" role="img" aria-label="{said}">{sign}</i>'
        f"<div><b>{escape(title)}</b>{then}<p>{escape(stage.words)}</p></div></li>"
    )


def _show_advice(advice: Advice, key: str, on_fix: OnFix | None, note: str = "") -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        tried = " :green[Tried: it is there then.]" if advice.checked else f" :gray[{note}]" if note else ""
        st.markdown(f":material/lightbulb: {plain(advice.words)}{tried}", width="stretch")
        if advice.fix and on_fix is not None:
            st.button(
                "Do it",
                icon=":material/auto_fix_high:",
                key=f"why-fix-{key}",
                type="primary" if advice.checked else "secondary",
                on_click=on_fix,
                args=(advice.fix,),
                help="Changes the settings above; nothing is saved.",
            )
        if advice.place is not None:
            _show_place(advice.place)


def _show_place(place: Place) -> None:
    page, label, icon = _PAGES[place.page]
    if (is_guest() and place.page != "document") or not (ROOT / page).exists():
        return
    query = {} if place.document_id is None else span_query(place.document_id, place.start, place.end)
    st.page_link(ROOT / page, label=label, icon=icon, query_params=query, width="content")
