"""The upload form: files or a folder go in, each is stored at once, and each has its outcome in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import streamlit as st
from streamlit.typing import UploadedFile

from pages.parts.product import product
from pages.parts.session import connect
from pages.parts.words import count, plain
from rag.corpus.documents import store_document
from rag.corpus.limits import describe_left, my_limits
from rag.errors import CorpuscopeError
from rag.records import Collection, StoredUpload

OnName = Literal["ask", "replace", "keep_both"]
_REPORT = "upload_report"
_GENERATION = "upload_generation"

#: Files that operating systems leave in folders; nobody means to upload them.
_LITTER = {"thumbs.db", "desktop.ini"}

FORMATS = "PDF, DOCX, PPTX, XLSX, ODT, RTF, HTML, Markdown, text, CSV, JSON, EML and EPUB"


@dataclass
class Report:
    """What became of the latest upload; ``undecided`` keeps files whose name is taken until somebody decides."""

    stored: list[str] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    restored: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    undecided: list[tuple[str, UploadedFile]] = field(default_factory=list)


def upload_form(collection: Collection, *, expanded: bool) -> None:
    """Two ways in, one report. The widgets get new keys after each upload: a form returns its old files otherwise."""
    generation = st.session_state.setdefault(_GENERATION, 0)
    with st.expander("Add documents", expanded=expanded, icon=":material/upload_file:", key=f"add-{expanded}"):
        _say_what_is_left(collection)
        files, folder = st.tabs(["Files", "Folder"])
        with files:
            _form(collection, generation, folder=False)
        with folder:
            _form(collection, generation, folder=True)
    report: Report | None = st.session_state.get(_REPORT)
    if report is not None:
        _show_report(collection, report)


def _say_what_is_left(collection: Collection) -> None:
    """What the limits leave of files and bytes, here and of one's own; nothing where there are none."""
    with connect() as conn:
        usages = [usage for usage in my_limits(conn, collection.id) if usage.what != "questions today"]
    if not (left := describe_left(usages)):
        return
    if all(usage.left != 0 for usage in usages):
        st.caption(f":material/data_usage: {left}")
    else:
        st.warning(
            f"{left} Delete documents that are not needed, from the trash too, or ask an administrator for more."
        )


def _form(collection: Collection, generation: int, *, folder: bool) -> None:
    what = "folder" if folder else "files"
    most = product().settings.max_file_mb
    with st.form(f"upload_{what}_{generation}", border=False):
        picked: Sequence[UploadedFile] = (
            st.file_uploader(
                "Choose a folder" if folder else "Choose files, or drop them here",
                accept_multiple_files="directory" if folder else True,
                key=f"{what}_{generation}",
                max_upload_size=most,
                help=f"{FORMATS}. Up to {most} MB each.",
            )
            or []
        )
        submitted = st.form_submit_button(
            "Upload folder" if folder else "Upload files", type="primary", icon=":material/upload:"
        )
    if not submitted:
        return
    if not picked:
        st.caption(f":orange[Choose {'a folder' if folder else 'files'} first.]")
        return
    named = [(_flat_name(file.name) if folder else file.name, file) for file in picked]
    _store_all(collection, [(name, file) for name, file in named if not _is_litter(name)], "ask", Report())


def _store_all(
    collection: Collection, files: Iterable[tuple[str, UploadedFile]], on_name: OnName, report: Report
) -> None:
    for name, file in files:
        try:
            with connect() as conn:
                most = product().settings.max_file_mb * 2**20
                upload = store_document(conn, collection.id, name, file, on_name=on_name, max_bytes=most)
        except CorpuscopeError as error:
            report.refused.append((name, f"{error} {error.hint}".strip()))
        else:
            _note(report, upload, file)
    st.session_state[_REPORT] = report
    st.session_state[_GENERATION] += 1
    st.rerun()


def _note(report: Report, upload: StoredUpload, file: UploadedFile) -> None:
    if upload.outcome == "stored":
        report.stored.append(upload.name)
    elif upload.outcome == "restored":
        report.restored.append((upload.name, upload.existing.name if upload.existing else upload.name))
    elif upload.outcome == "duplicate":
        report.duplicates.append((upload.name, upload.existing.name if upload.existing else upload.name))
    else:
        report.undecided.append((upload.name, file))


def _show_report(collection: Collection, report: Report) -> None:
    with st.container(border=True, key="upload-report", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(_headline(report), width="stretch")
            st.button("Dismiss", key="dismiss_report", type="tertiary", icon=":material/close:", on_click=_dismiss)
        lines = [
            f"- **{plain(name)}** is here already, as {plain(as_name)}: not stored twice."
            for name, as_name in report.duplicates
        ]
        lines += [
            f"- **{plain(name)}** lay in the trash, as {plain(as_name)}: it is back, with its chunks and marks."
            for name, as_name in report.restored
        ]
        lines += [f"- **{plain(name)}** was not stored: {plain(why)}" for name, why in report.refused]
        if lines:
            st.markdown("\n".join(lines))
        if report.undecided:
            _ask_about_names(collection, report)


def _headline(report: Report) -> str:
    parts = []
    if report.stored:
        parts.append(f":green[:material/check_circle:] {count(len(report.stored), 'file')} stored")
    if report.duplicates:
        parts.append(f":gray[:material/content_copy:] {count(len(report.duplicates), 'duplicate')}")
    if report.restored:
        parts.append(f":green[:material/restore_from_trash:] {count(len(report.restored), 'file')} restored")
    if report.refused:
        parts.append(f":red[:material/error:] {count(len(report.refused), 'file')} refused")
    if report.undecided:
        parts.append(f":orange[:material/help:] {count(len(report.undecided), 'name')} taken")
    return " &nbsp; ".join(parts)


def _ask_about_names(collection: Collection, report: Report) -> None:
    names = ", ".join(f"**{plain(name)}**" for name, _ in report.undecided[:5])
    more = f" and {len(report.undecided) - 5:,} more" if len(report.undecided) > 5 else ""
    one = len(report.undecided) == 1
    st.markdown(f"{names}{more}: {'that name is' if one else 'those names are'} here already, with other contents.")
    with st.container(horizontal=True):
        replace = st.button(
            "Replace" if one else "Replace all",
            key="on_name_replace",
            icon=":material/swap_horiz:",
            help="The older document stays searchable until the new one is ready, then it goes.",
        )
        both = st.button(
            "Keep both", key="on_name_both", icon=":material/file_copy:", help="The new one gets a number."
        )
        skip = st.button("Skip", key="on_name_skip", type="tertiary")
    waiting, rest = report.undecided, Report(report.stored, report.duplicates, report.restored, report.refused)
    if replace:
        _store_all(collection, waiting, "replace", rest)
    if both:
        _store_all(collection, waiting, "keep_both", rest)
    if skip:
        st.session_state[_REPORT] = rest
        st.rerun()


def _dismiss() -> None:
    st.session_state.pop(_REPORT, None)


def _flat_name(path: str) -> str:
    """``2024/report.pdf`` of a folder becomes ``2024 - report.pdf``, to differ from a namesake in another one."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return " - ".join(parts[1:] if len(parts) > 1 else parts) or "unnamed"


def _is_litter(name: str) -> bool:
    last = name.rpartition(" - ")[2].lower()
    return last.startswith((".", "~$")) or last in _LITTER
