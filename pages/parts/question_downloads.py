"""A set of questions as a file: the layouts that an import reads."""

from __future__ import annotations

import streamlit as st

from pages.parts.downloads import file_name, handing_out, to_csv
from rag.evaluation.exporting import COLUMNS, export_layout, export_rows, to_jsonl
from rag.evaluation.question_sets import QuestionSet
from rag.records import Collection


def download_menu(collection: Collection, chosen: QuestionSet) -> None:
    """Three buttons; each file is made at the click, and noted as a download."""
    what = f"the questions of “{chosen.name}”"
    rows = max(chosen.judgements, chosen.accepted)
    with st.popover("Download", icon=":material/download:", key="download-set"), st.container(width=320):
        st.caption("The accepted questions with their judgements. Each of these can be imported again.")
        for label, extension, mime, make in (
            ("CSV, for a spreadsheet", "csv", "text/csv", lambda conn: to_csv(export_rows(conn, chosen.id), COLUMNS)),
            ("JSONL", "jsonl", "application/jsonl", lambda conn: to_jsonl(export_rows(conn, chosen.id))),
            (
                "ZIP: corpus, queries, qrels",
                "zip",
                "application/zip",
                lambda conn: export_layout(conn, chosen.id),
            ),
        ):
            st.download_button(
                label,
                handing_out(collection.id, what, make, rows=rows),
                file_name=file_name(collection.name, chosen.name, extension=extension),
                mime=mime,
                on_click="ignore",
                key=f"download_{extension}",
                width="stretch",
            )
