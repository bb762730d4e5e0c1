"""Operations: are workers there, what is queued, what was given up on, which versions run."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import pandas as pd
import streamlit as st

from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.empty import empty_state
from pages.parts.index_words import describe_model, state_of
from pages.parts.model_check import model_link
from pages.parts.notices import notify
from pages.parts.picker import page_header
from pages.parts.progress_bar import describe_hindrance, describe_work, rate_of
from pages.parts.session import connect, require_database, require_user
from pages.parts.words import ago, clock, count, guarded, plain, show_error
from rag.corpus.collections import list_collections
from rag.corpus.documents import list_failed_jobs, retry_documents
from rag.corpus.indexes import IndexRow, list_indexes
from rag.corpus.progress import Progress, read_progress
from rag.errors import CorpuscopeError
from rag.records import Collection, FailedJob, WorkerStatus

_WORK = {"ingest": "Reading", "embed": "Embedding", "answer": "Answering"}


@st.fragment(run_every=2, key="live-operations")
@guarded
def live_view(collection: Collection) -> None:
    with connect() as conn:
        progress = read_progress(conn, collection.id)
        others = [(one, read_progress(conn, one.id)) for one in list_collections(conn)[:50]]
    show_workers(progress.worker, progress)
    st.subheader("Queue", anchor=False)
    show_queue(others)


def show_workers(worker: WorkerStatus, progress: Progress) -> None:
    with st.grid(4, min_column_width=150):
        st.metric("Workers", f"{worker.alive:,}", border=True, help="Processes that were heard of in the last 15 s.")
        st.metric("Busy", f"{worker.busy:,}", border=True)
        st.metric("Loading a model", f"{worker.loading:,}", border=True)
        st.metric("Last heard of", ago(worker.last_seen) if worker.last_seen else "never", border=True)
    if hindrance := describe_hindrance(progress):
        st.warning(hindrance, icon=":material/pause_circle:")
    elif worker.waiting_until:
        st.info(f"Waiting for the provider until {clock(worker.waiting_until)}.", icon=":material/schedule:")


def show_queue(collections: Sequence[tuple[Collection, Progress]]) -> None:
    rows = []
    for collection, progress in collections:
        work = describe_work(progress, rate_of(collection, progress)) if progress.unfinished else "Nothing to do"
        rows.append(
            {
                "Collection": collection.name,
                "Work": work,
                "Embedded": progress.embedded / progress.chunks if progress.chunks else None,
                "Waiting": progress.waiting,
                "In work": progress.unfinished - progress.waiting - progress.paused,
                "Paused": progress.paused,
                "Ready": progress.stages["ready"],
                "Failed": progress.stages["failed"],
            }
        )
    st.dataframe(
        pd.DataFrame(rows),
        key="queue",
        hide_index=True,
        column_config={
            "Collection": st.column_config.TextColumn(width="medium"),
            "Work": st.column_config.TextColumn(width="medium"),
            "Embedded": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1, width=110),
        },
        alt="Documents of each collection by stage",
    )


def show_failed(collection: Collection) -> None:
    with connect() as conn:
        jobs = list_failed_jobs(conn, collection.id)
    st.subheader("Failed work", anchor=False)
    if not jobs:
        st.caption(f":green[:material/check_circle:] Nothing was given up on in {plain(collection.name)}.")
        return
    rows = [failed_row(job) for job in jobs]
    st.dataframe(
        pd.DataFrame(rows),
        key="failed",
        hide_index=True,
        height=min(38 + 35 * len(rows), 400),
        column_config={
            "work": st.column_config.TextColumn("Work", width=90),
            "document": st.column_config.TextColumn("Document", width="medium"),
            "reason": st.column_config.TextColumn("Why it failed", width="large"),
            "next": st.column_config.TextColumn("What to do", width="medium"),
            "tries": st.column_config.NumberColumn("Tries", width=60),
            "when": st.column_config.TextColumn("When", width=90),
        },
        alt="Work that was given up on",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        ids = list({job.document_id for job in jobs if job.document_id})
        if (
            collection.role != "viewer"
            and ids
            and st.button("Retry all failed", icon=":material/refresh:", key="retry")
        ):
            retry_all(collection)
        st.download_button(
            "CSV",
            handing_out(
                collection.id, "the list of failed work", lambda conn: to_csv(rows, tuple(rows[0])), rows=len(rows)
            ),
            file_name=file_name(collection.name, "failed"),
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="failed_csv",
        )


def retry_all(collection: Collection) -> None:
    try:
        with connect() as conn:
            ids = list({job.document_id for job in list_failed_jobs(conn, collection.id) if job.document_id})
            done = retry_documents(conn, ids)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"{count(done, 'document')} taken up again.")
    st.rerun()


def failed_row(job: FailedJob) -> dict[str, object]:
    """One row of the table and of its CSV."""
    return {
        "work": _WORK.get(job.queue, job.queue),
        "document": job.document_name or "",
        "reason": job.reason,
        "next": job.hint or "",
        "tries": job.attempts,
        "when": clock(job.failed_at),
    }


def show_indexes(collection: Collection) -> None:
    with connect() as conn:
        indexes = list_indexes(conn, collection.id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Versions of the index", anchor=False, width="content")
        st.page_link("pages/indexes.py", label="Build, swap or drop them", icon=":material/layers:")
    st.dataframe(
        pd.DataFrame([index_row(index) for index in indexes]),
        key="indexes",
        hide_index=True,
        column_config={"Embedded": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
        alt="Indexes of the collection",
    )


def index_row(index: IndexRow) -> dict[str, object]:
    """One row of the table of indexes."""
    return {
        "State": state_of(index)[0],
        "Model": describe_model(index),
        "Documents": index.documents,
        "Chunks": index.chunks,
        "Embedded": index.embedded / index.chunks if index.chunks else None,
        "Failed": index.failed,
        "Made": clock(index.created_at),
    }


def show_versions() -> None:
    with connect() as conn:
        server = conn.info.server_version
    postgres = f"{server // 10000}.{server % 10000}"
    parts = [f"Corpuscope {_version('corpuscope')}", f"Postgres {postgres}", f"Streamlit {_version('streamlit')}"]
    parts.append(f"Python {platform.python_version()}")
    st.caption(" · ".join(parts))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from its folder"


require_user()
require_database()
chosen = page_header("Operations")
if chosen is None:
    with empty_state(
        "No collection yet", "Workers and queues show here once there is one.", icon="monitor_heart", key="operations"
    ):
        st.page_link("pages/documents.py", label="Go to Documents", icon=":material/arrow_forward:")
else:
    live_view(chosen)
    show_failed(chosen)
    show_indexes(chosen)
model_link()
show_versions()
