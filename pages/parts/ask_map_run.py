"""An evaluation run on the map: where its missed answers lie, in which clusters, and each one click from the lab."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.parts import explore_state
from pages.parts.addresses import span_query
from pages.parts.ask_map_marks import run_marks
from pages.parts.ask_map_state import AskDesk
from pages.parts.lab_address import Side, lab_query
from pages.parts.map_view import Mark
from pages.parts.product import product
from pages.parts.run_words import run_option
from pages.parts.session import connect
from pages.parts.why import DOCUMENT, PHRASE
from pages.parts.words import count, plain
from rag.errors import NotFound
from rag.evaluation.question_sets import list_sets
from rag.evaluation.runs import Run, fingerprint_judgements, list_runs, read_run
from rag.mapping.asking import place_question
from rag.mapping.cluster_rows import leaf_groups, list_clusters
from rag.mapping.overlays import Coverage, JudgedAnswer, Overlay, count_coverage, read_quotes, run_overlay
from rag.records import Collection

_RUN, _STARS, _ALL = "ask_run", "ask_run_stars", "ask_run_all"
#: Rows of missed questions, and of clusters, that come without asking; and questions drawn as stars at most.
_FIRST = 8
_CLUSTERS = 6
_MOST_STARS = 100
#: Characters of a judged passage by which the lab looks for it.
_PHRASE = 160


def show_run(desk: AskDesk) -> list[Mark]:
    """The choice of a run and what it shows; its marks for the map."""
    run = _pick_run(desk.collection)
    if run is None:
        return []
    overlay = _read(desk, run)
    if not overlay.answers:
        st.caption("Nothing is judged any more of what this run asked.")
        return []
    _summary(overlay)
    stars = st.toggle(
        "Missed questions as stars",
        key=_STARS,
        disabled=not overlay.missed_questions or desk.index is None,
        help="Where the questions themselves would lie: far from their answers means that the words don't meet.",
    )
    _show_coverage(_coverage(desk, overlay))
    _show_missed(desk, overlay)
    return run_marks(overlay.answers, _place_stars(desk, overlay) if stars else {})


def read_run_marks(desk: AskDesk) -> list[Mark]:
    """The marks of the look's run where the panel's part of it is closed."""
    wanted = explore_state.look().run
    if wanted is None:
        return []
    try:
        with connect() as conn:
            run = read_run(conn, wanted)
        return run_marks(_read(desk, run).answers, {}) if run.collection_id == desk.collection.id else []
    except NotFound:
        return []


def _pick_run(collection: Collection) -> Run | None:
    with connect() as conn:
        runs = {run.id: run for one in list_sets(conn, collection.id) for run in list_runs(conn, one.id) if run.asked}
    if not runs:
        st.caption("No evaluation was run yet. The page Evaluate asks labelled questions and tells what was found.")
        return None
    wanted = explore_state.look().run
    st.session_state[_RUN] = wanted if wanted in runs else None
    st.selectbox(
        "Missed answers of a run",
        sorted(runs, reverse=True),
        index=None,
        placeholder="Choose an evaluation run",
        format_func=lambda id_: run_option(runs[id_]),
        key=_RUN,
        on_change=lambda: explore_state.change(run=st.session_state[_RUN]),
    )
    if wanted is not None and wanted not in runs:
        st.caption(f"There is no run {wanted} in this collection (any more).")
    return runs.get(st.session_state[_RUN])


def _read(desk: AskDesk, run: Run) -> Overlay:
    """Kept as long as neither the map, the run nor what is judged changes."""
    with connect() as conn:
        judged = fingerprint_judgements(conn, run.set_id)

    def read() -> Overlay:
        with connect() as conn:
            return run_overlay(conn, desk.map.id, run.id)

    return explore_state.keep(("overlay", desk.map.id, desk.map.version, run.id, run.asked, judged), read)


def _summary(overlay: Overlay) -> None:
    missed, asked = len(overlay.missed_questions), len(overlay.by_question)
    st.markdown(f"**{missed:,} of {count(asked, 'question')}** found no judged answer")
    k, threshold = overlay.run.profile.k, overlay.run.profile.threshold
    within = f"the first {k:,}" + (f" from {threshold:.2f} on" if threshold is not None else "")
    words = f"{len(overlay.missed):,} of {count(len(overlay.answers), 'answer')} are not within {within}."
    if off := len(overlay.off_map):
        words += f" {off:,} {'lies' if off == 1 else 'lie'} in no passage of this map."
    st.caption(words)


def _coverage(desk: AskDesk, overlay: Overlay) -> list[tuple[str, Coverage]]:
    level = explore_state.look().level
    with connect() as conn:
        names = {one.number: one.label for one in list_clusters(conn, desk.map.id, level)}
        groups = leaf_groups(conn, desk.map.id, level)
    rows = count_coverage(overlay.answers, groups)
    return [(names.get(row.cluster or 0, "") if row.cluster is not None else "", row) for row in rows]


def _show_coverage(rows: Sequence[tuple[str, Coverage]]) -> None:
    gaps = [(name or "Outside of all clusters", row) for name, row in rows if row.missed]
    if not gaps:
        return
    items = "".join(
        f'<li><span>{escape(name)}</span><span class="cs-bar"><i style="width:{100 * row.missed / row.total:.0f}%">'
        f"</i></span><b>{row.missed:,} of {row.total:,}</b></li>"
        for name, row in gaps[:_CLUSTERS]
    )
    more = f'<p class="cs-quiet cs-flat">and in {len(gaps) - _CLUSTERS:,} more</p>' if len(gaps) > _CLUSTERS else ""
    st.html(f'<div class="cs-gaps"><b>Missed, by cluster</b><ul>{items}</ul>{more}</div>')


def _show_missed(desk: AskDesk, overlay: Overlay) -> None:
    questions = list(overlay.missed_questions.values())
    if not questions:
        st.caption("Each question found a judged answer; red points are answers that others stand for.")
        return
    everything = len(questions) <= _FIRST or st.toggle(f"Show all {len(questions):,}", key=_ALL)
    shown = [answers[0] for answers in (questions if everything else questions[:_FIRST])]
    with connect() as conn:
        quotes = read_quotes(conn, shown)
    with st.container(key="ask-map-missed", gap="small"):
        for answer in shown:
            _show_one(desk, overlay.run, answer, quotes.get(answer.judgement_id, ""))


def _show_one(desk: AskDesk, run: Run, answer: JudgedAnswer, quote: str) -> None:
    with st.container(key=f"ask-missed-{answer.judgement_id}", gap=None):
        st.page_link(
            "pages/search.py",
            label=plain(answer.question),
            icon=":material/help:",
            query_params=why_query(desk.collection, run, answer, quote),
            help="Why isn’t it here? In the Search lab, with the settings of the run",
        )
        st.page_link(
            "pages/document.py",
            label=plain(answer.document),
            icon=":material/description:",
            query_params=span_query(answer.document_id, answer.start, answer.end),
            help=plain(quote) or "The whole document is judged to answer it",
        )


def why_query(collection: Collection, run: Run, answer: JudgedAnswer, quote: str) -> dict[str, str]:
    """The lab with the run's settings and index, and “Why isn't it here?” open at the missed answer."""
    index = None if run.index_id == collection.active_index_id else run.index_id
    query = lab_query(collection.id, answer.question, Side(changes=run.profile.to_json(), index=index))
    query[DOCUMENT] = str(answer.document_id)
    phrase = quote[:_PHRASE].strip()
    return query | ({PHRASE: phrase} if phrase else {})


def _place_stars(desk: AskDesk, overlay: Overlay) -> dict[str, tuple[float, float]]:
    """The questions that found nothing, by their words; placed once for each version of the map."""
    if desk.index is None:
        return {}
    encoder = product().encoder_for(desk.index.model)
    if encoder is None:
        st.caption("The stars come once the embedding model is loaded.")
        return {}
    missed = [answers[0].question for answers in overlay.missed_questions.values()]
    questions = tuple(missed[:_MOST_STARS])
    if len(missed) > len(questions):
        st.caption(f"The first {len(questions):,} of {len(missed):,} questions are stars.")

    def place() -> dict[str, tuple[float, float]]:
        vectors = {question: encoder.embed_question(question) for question in questions}
        with connect() as conn:
            found = {question: place_question(conn, desk.map.id, vector) for question, vector in vectors.items()}
        return {question: star for question, star in found.items() if star is not None}

    return explore_state.keep(("stars", desk.map.id, desk.map.version, questions), place)
