"""`corpuscope ingest`: files and folders into a collection."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import psycopg

from rag.commands.cli_output import Output
from rag.commands.cli_session import Session, open_session
from rag.corpus.collections import create_collection, find_collection
from rag.corpus.documents import OnName, list_documents, store_document
from rag.corpus.progress import RateMeter, read_progress
from rag.errors import CorpuscopeError, InvalidInput, NotFound
from rag.records import FINAL_STAGES, DocumentRow
from rag.settings import Settings

Status = Literal["stored", "ready", "failed", "duplicate"]


@dataclass
class FileRow:
    """What became of one file, in the shape that ``--json`` prints."""

    file: str
    status: Status
    chunks: int = 0
    error: str | None = None
    document_id: UUID | None = None

    def as_json(self) -> dict[str, Any]:
        return {"file": self.file, "status": self.status, "chunks": self.chunks, "error": self.error}

    def as_text(self) -> str:
        detail = f"{self.chunks:,} chunks" if self.status in ("ready", "duplicate") else self.error or ""
        return f"{self.status:<9}  {self.file}  {detail}".rstrip()


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Store the files, wait for them if asked to, print a row for each; 1 if any failed."""
    files = list(find_files(arguments.paths))
    if not files:
        raise InvalidInput("There are no files in " + ", ".join(map(str, arguments.paths)) + ".")
    with open_session(settings, out) as session:
        with session.as_user() as conn:
            collection_id = _find_or_create(conn, arguments.collection)
        rows = _store(session, collection_id, files, replace=arguments.replace)
        if arguments.wait:
            _wait(session, collection_id, rows)
    for row in rows:
        out.result(row.as_json(), row.as_text())
    return 1 if any(row.status == "failed" for row in rows) else 0


def find_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files themselves, and those in folders and their folders; in folders, hidden ones are left out."""
    for path in paths:
        if path.is_file():
            yield path
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _find_or_create(conn: psycopg.Connection[Any], name: str) -> UUID:
    try:
        return find_collection(conn, name).id
    except NotFound:
        return create_collection(conn, name)


def _store(session: Session, collection_id: UUID, files: Sequence[Path], *, replace: bool) -> list[FileRow]:
    rows: list[FileRow] = []
    used: set[str] = set()
    for n, path in enumerate(files, start=1):
        session.out.show(f"Storing file {n:,} of {len(files):,}: {path.name}")
        # Two files of one run never replace each other, whatever their folders.
        on_name: OnName = "replace" if replace and path.name.lower() not in used else "keep_both"
        used.add(path.name.lower())
        rows.append(_store_one(session, collection_id, path, on_name))
    return rows


def _store_one(session: Session, collection_id: UUID, path: Path, on_name: OnName) -> FileRow:
    limit = session.settings.max_file_mb * 2**20
    try:
        with path.open("rb") as stream, session.as_user() as conn:
            stored = store_document(conn, collection_id, path.name, stream, on_name=on_name, max_bytes=limit)
    except OSError as error:
        return FileRow(str(path), "failed", error=f"The file can't be read: {error.strerror}.")
    except CorpuscopeError as error:
        return FileRow(str(path), "failed", error=_sentences(str(error), error.hint))
    if stored.existing is not None:
        return FileRow(str(path), "duplicate", stored.existing.chunk_count, document_id=stored.existing.id)
    return FileRow(str(path), "stored", document_id=stored.document_id)


def _wait(session: Session, collection_id: UUID, rows: list[FileRow]) -> None:
    """Fill in what becomes of the stored files, until nothing more will."""
    waiting = [row for row in rows if row.document_id is not None]
    meter = RateMeter()

    def look() -> bool:
        with session.as_user() as conn:
            progress = read_progress(conn, collection_id)
            documents: dict[UUID | None, DocumentRow] = {row.id: row for row in list_documents(conn, collection_id)}
        meter.feed(progress.at.timestamp(), progress.embedded_total)
        session.show(progress, meter.rate)
        waiting[:] = [row for row in waiting if not _settle(row, documents.get(row.document_id))]
        return not waiting

    session.wait(look)


def _settle(row: FileRow, document: DocumentRow | None) -> bool:
    """Whether nothing more will happen to the row's document; then ``row`` says how it ended."""
    status: Status = "failed"
    if document is None:
        row.error = "The document was deleted meanwhile."
    elif document.stage == "ready":
        status = "ready"
    elif document.stage in FINAL_STAGES:
        row.error = _sentences(document.error or "It failed.", document.error_hint)
    elif document.paused:
        row.error = "The document is paused. Resume it on the Documents page."
    else:
        return False
    row.chunks = document.chunk_count if document is not None else 0
    row.status = "duplicate" if row.status == "duplicate" else status
    return True


def _sentences(error: str, hint: str | None) -> str:
    return f"{error} {hint or ''}".strip()
