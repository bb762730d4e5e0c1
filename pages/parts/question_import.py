"""Importing questions: files are read and matched first, and what is good goes in at a click."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.typing import UploadedFile

from pages.parts.downloads import as_visitor, file_name, to_csv
from pages.parts.notices import offer_undo
from pages.parts.product import product
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.errors import CorpuscopeError
from rag.evaluation.importing import (
    ImportPlan,
    Planned,
    add_documents,
    plan_import,
    store_import,
    undo_import,
    with_documents,
)
from rag.evaluation.question_sets import QuestionSet
from rag.evaluation.set_files import read_files
from rag.records import Collection

_GENERATION = "import_generation"
_PLAN = "import_plan"
_MOST_MB = 100
_SHOWN = 100

_FORMATS = (
    "A **CSV** or **JSONL** with the columns *question*, *document* (name, title or id), *phrase* (or *start* and "
    "*end*) and *grade* (0 to 3); or **queries.jsonl** with **qrels.tsv**, and *corpus.jsonl* and *spans.jsonl* if "
    "there are any, one by one or in a ZIP, as BEIR and TREC collections have them."
)


def import_form(collection: Collection, chosen: QuestionSet) -> None:
    """The upload; once there is one, what it would do, and the button that does it."""
    generation = st.session_state.setdefault(_GENERATION, 0)
    files = st.file_uploader(
        "Choose files, or drop them here",
        accept_multiple_files=True,
        type=["csv", "tsv", "jsonl", "ndjson", "zip", "txt", "qrels"],
        key=f"question_files_{generation}",
        max_upload_size=_MOST_MB,
    )
    if not files:
        st.session_state.pop(_PLAN, None)
        st.caption(_FORMATS)
        return
    try:
        plan = _plan(chosen, files)
    except CorpuscopeError as error:
        show_error(error)
        return
    with st.container(border=True, key="import-preview", gap="small"):
        _show_plan(collection, chosen, plan)


def _plan(chosen: QuestionSet, files: Sequence[UploadedFile]) -> ImportPlan:
    """Made once for these files and this set: reading and matching them again at each run would be slow."""
    key = (chosen.id, *(file.file_id for file in files))
    known: tuple[object, ImportPlan] | None = st.session_state.get(_PLAN)
    if known is None or known[0] != key:
        with st.spinner("Reading the files and finding their passages…"):
            read = read_files([(file.name, file.getvalue()) for file in files])
            with connect() as conn:
                known = key, plan_import(conn, chosen.id, read)
        st.session_state[_PLAN] = known
    return known[1]


def _show_plan(collection: Collection, chosen: QuestionSet, plan: ImportPlan) -> None:
    if plan.is_empty:
        st.markdown(":orange[:material/error:] These files hold no question that can be imported.")
        _show_problems(plan)
        return
    st.markdown(_headline(plan))
    adding = _offer_documents(plan)
    judgements = [*plan.judgements, *plan.waiting] if adding else plan.judgements
    _show_matches(plan)
    _show_problems(plan)
    _show_questions(plan, judgements)
    label = f"Import {count(len(plan.read.questions), 'question')} and {count(len(judgements), 'judgement')}"
    if st.button(label, type="primary", icon=":material/download_done:", key="import_questions"):
        _import(collection, chosen, plan, adding)


def _headline(plan: ImportPlan) -> str:
    questions = f"**{count(len(plan.read.questions), 'question')}**"
    if plan.known:
        questions += f", {plan.known:,} of them in this set already"
    found = len(plan.judgements) + len(plan.waiting)
    words = f"{questions} &nbsp;·&nbsp; **{count(found, 'judgement')}** whose document and passage are known"
    if plan.read.repeated:
        words += f" &nbsp;·&nbsp; {count(plan.read.repeated, 'row')} said twice"
    return words


def _offer_documents(plan: ImportPlan) -> bool:
    """Whether the documents that only the files have are to be added."""
    if not plan.missing:
        return False
    st.markdown(
        f":orange[:material/note_add:] {count(len(plan.missing), 'document')} of corpus.jsonl "
        f"{'is' if len(plan.missing) == 1 else 'are'} not in this collection; "
        f"{count(len(plan.waiting), 'judgement')} {'is' if len(plan.waiting) == 1 else 'are'} about them."
    )
    return st.toggle(
        f"Add {'it' if len(plan.missing) == 1 else 'them'} to the collection as text files",
        key="import_documents",
        help="They are stored first and then read like any upload. Judgements attach at once: a text file is kept "
        "character by character, so its passages are known before it is read.",
    )


def _show_matches(plan: ImportPlan) -> None:
    if plan.unknown:
        named = ", ".join(plain(name[:60]) for name in plan.unknown[:5])
        more = f" and {len(plan.unknown) - 5:,} more" if len(plan.unknown) > 5 else ""
        what = count(len(plan.unknown), "name")
        st.markdown(f":red[:material/help:] {what} that no document, or more than one, has: {named}{more}.")
    if plan.matched:
        with st.expander(f"{count(len(plan.matched), 'document')} matched", icon=":material/check:"):
            rows = [{"In the files": said, "Document": name} for said, name in list(plan.matched.items())[:_SHOWN]]
            st.dataframe(pd.DataFrame(rows), hide_index=True, height="content", alt="Names and the documents they mean")
            if len(plan.matched) > _SHOWN:
                st.caption(f"The first {_SHOWN} are shown.")


def _show_problems(plan: ImportPlan) -> None:
    if not plan.problems:
        return
    rows = [{"File": one.file, "Line": one.line, "Problem": one.text} for one in plan.problems]
    title = f":red[{count(len(rows), 'row')} can't be used as {'it is' if len(rows) == 1 else 'they are'}]"
    with st.expander(title, icon=":material/error:", expanded=len(rows) <= 5):
        st.dataframe(
            pd.DataFrame(rows[:_SHOWN]),
            hide_index=True,
            height="content",
            column_config={
                "File": st.column_config.TextColumn(width=120),
                "Line": st.column_config.NumberColumn(width=70),
                "Problem": st.column_config.TextColumn(width=620),
            },
            alt="Rows of the files that can't be used",
        )
        st.download_button(
            f"All {len(rows):,} as CSV" if len(rows) > _SHOWN else "As CSV",
            as_visitor(lambda _conn: to_csv(rows, ("File", "Line", "Problem"))),
            file_name=file_name("import", "problems"),
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="problems_csv",
        )


def _show_questions(plan: ImportPlan, judgements: Sequence[Planned]) -> None:
    numbers = [0] * len(plan.read.questions)
    for one in judgements:
        numbers[one.question] += 1
    with st.expander("The questions", icon=":material/checklist:"):
        rows = [
            {"Question": question.text, "Judgements": number}
            for question, number in list(zip(plan.read.questions, numbers, strict=True))[:_SHOWN]
        ]
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            height=320 if len(rows) > 8 else "content",
            column_config={"Judgements": st.column_config.NumberColumn(width="small")},
            alt="Questions that would be imported",
        )
        if len(numbers) > _SHOWN:
            st.caption(f"The first {_SHOWN} of {len(numbers):,} are shown.")
        if without := numbers.count(0):
            st.caption(f"{count(without, 'question')} would have no judgement.")


def _import(collection: Collection, chosen: QuestionSet, plan: ImportPlan, adding: bool) -> None:
    try:
        judgements = plan.judgements
        if adding:
            bar = st.progress(0.0, text="Storing the documents…")
            made = add_documents(
                connect,
                collection.id,
                plan,
                max_bytes=product().settings.max_file_mb * 2**20,
                on_progress=lambda done: bar.progress(
                    done / len(plan.missing), text=f"{done:,} of {count(len(plan.missing), 'document')} stored"
                ),
            )
            judgements = with_documents(plan, made)
        with connect() as conn:
            imported = store_import(conn, chosen.id, plan, judgements)
    except CorpuscopeError as error:
        show_error(error)
        return

    def take_out() -> None:
        with connect() as conn:
            undo_import(conn, imported)

    words = f"{count(len(plan.read.questions), 'question')} and {count(imported.judgements, 'judgement')} imported"
    if adding:
        words += f", {count(len(plan.missing), 'document')} added (these stay after Undo)"
    offer_undo(f"{words}.", take_out)
    st.session_state[_GENERATION] += 1
    st.session_state.pop(_PLAN, None)
    st.rerun()
