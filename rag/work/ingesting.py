"""The ingest job: an original becomes text, the text becomes the chunks of every live index of its collection."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.chunks import chunkrows
from rag.chunks.chunking import Chunk, ChunkSettings, chunk_text
from rag.chunks.tokens import TokenCounter
from rag.corpus.originals import FileStore, read_original
from rag.errors import (
    Cancelled,
    CorpuscopeError,
    DatabaseError,
    InvalidInput,
    ModelError,
    NoText,
    NotFound,
    ParseError,
    ParseLimit,
    PasswordNeeded,
    ProviderBusy,
    StorageBusy,
    UnsupportedType,
)
from rag.reading.parsed import ParsedText
from rag.records import DocumentText
from rag.store.database import Database
from rag.vectors.modelpool import ModelRow
from rag.work.modelnotes import note_index_problem

log = logging.getLogger(__name__)

#: Reads a file in a child process: (path, name as uploaded, whether to stop) → text.
Parse = Callable[[Path, str, Callable[[], bool]], ParsedText]

#: What ``documents.error_code`` says, for programs; people read ``error``.
ERROR_CODES: dict[type[ParseError], str] = {
    NoText: "no_text",
    UnsupportedType: "unsupported",
    ParseLimit: "limit",
    PasswordNeeded: "password",
}
_LOOK_EVERY_S = 1.0
#: Tries to write chunks that somebody is changing, and the pause between them.
_PATIENCE = 50
_PAUSE_S = 0.1


@dataclass(frozen=True)
class IngestTools:
    """What the job works with, made once a thread by the worker."""

    parse: Parse
    tokens: Callable[[ModelRow], TokenCounter]
    detect_language: Callable[[str], str | None]
    #: Where originals are that are not in the database; None without a bucket.
    originals: FileStore | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """The document as the job finds it."""

    id: UUID
    name: str
    title: str | None
    stage: str
    paused: bool
    text_revision: int


@dataclass(frozen=True, slots=True)
class LiveIndex:
    """An index whose chunks of the document are missing or of an older text."""

    id: int
    chunking: dict[str, Any]
    active: bool
    model: ModelRow


def ingest(database: Database, document_id: UUID, tools: IngestTools, cancelled: Callable[[], bool]) -> None:
    """Do whatever the document still lacks; nothing if it is gone, paused or cancelled.

    A file that can't be read for good leaves the document failed, with the reason; any other error is raised and
    means "try again". ``cancelled`` is asked while a file is parsed.
    """
    original = _find(database, document_id)
    if original is None or _is_idle(original):
        return
    if original.text_revision == 0 and not _parse(database, original, tools, cancelled):
        return
    with database.as_worker() as conn:
        document = read_document(conn, document_id)
        if document is None or _is_idle(document):
            return
        text = _read_text(conn, document)
        behind = find_indexes_behind(conn, document)
        if any(index.active for index in behind):
            _enter_stage(conn, document_id, "chunking")
    busy = None
    for index in behind:
        try:
            _fill(database, index, document, text, tools)
        except (ModelError, InvalidInput) as error:
            if index.active:
                raise
            busy = _note_problem(database, index, error)
    with database.as_worker() as conn:
        finish_chunking(conn, document_id)
    if busy is not None:
        raise busy


def _note_problem(database: Database, index: LiveIndex, error: CorpuscopeError) -> ProviderBusy | None:
    """An index beside the active one can't be worked on: say so there, and hold up nothing else.

    Of a model that can't be had, the document is tried again later, which the returned error says; settings that make
    no sense stop the index until a person resumes it.
    """
    for_good = isinstance(error, InvalidInput)
    with database.as_worker() as conn:
        note_index_problem(conn, index.model, error, index_id=index.id if for_good else None, pause=for_good)
    return None if for_good else ProviderBusy(str(error), hint=error.hint)


def _find(database: Database, document_id: UUID) -> Original | None:
    with database.as_worker() as conn:
        return read_document(conn, document_id)


def _is_idle(document: Original) -> bool:
    """Nothing may be done: paused and cancelled documents wait for a person, and so does one that can't be read."""
    if document.paused or document.stage == "cancelled":
        return True
    return document.text_revision == 0 and document.stage not in ("stored", "parsing")


def _parse(database: Database, original: Original, tools: IngestTools, cancelled: Callable[[], bool]) -> bool:
    """Store the document's first text; False if that is not to be."""
    with database.as_worker() as conn:
        _enter_stage(conn, original.id, "parsing")
    give_way = _Watch(database, original.id, cancelled)
    with tempfile.TemporaryDirectory(prefix="corpuscope-") as folder:
        path = Path(folder) / "original"
        try:
            _copy_original(database, original, path, tools.originals)
            parsed = tools.parse(path, original.name, give_way)
        except Cancelled:
            return False
        except ParseError as error:
            fail_document(database, original.id, error)
            return False
    return not give_way() and _store_text(database, original.id, parsed, tools.detect_language)


def _copy_original(database: Database, original: Original, path: Path, store: FileStore | None) -> None:
    """Write the file piece by piece: memory does not grow with its size."""
    try:
        with path.open("wb") as file:
            for piece in read_original(database.as_worker, original.id, store):
                file.write(piece)
    except StorageBusy as error:
        raise ProviderBusy(str(error), hint=error.hint) from error
    except NotFound as error:
        raise Cancelled from error  # it was deleted meanwhile


class _Watch:
    """Whether parsing should stop: the worker stops, or the document was deleted, paused or cancelled meanwhile."""

    def __init__(self, database: Database, document_id: UUID, cancelled: Callable[[], bool]) -> None:
        self._database = database
        self._document_id = document_id
        self._cancelled = cancelled
        self._looked_at = time.monotonic()
        self._stop = False

    def __call__(self) -> bool:
        if self._cancelled():
            return True
        if not self._stop and time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            document = _find(self._database, self._document_id)
            self._stop = document is None or _is_idle(document)
            self._looked_at = time.monotonic()
        return self._stop


def _store_text(
    database: Database, document_id: UUID, parsed: ParsedText, detect_language: Callable[[str], str | None]
) -> bool:
    text = parsed.text.replace("\0", "")
    language = detect_language(text)
    with database.as_worker() as conn:
        document = read_document(conn, document_id, lock=True)
        if document is None or _is_idle(document) or document.text_revision > 0:
            return document is not None and document.text_revision > 0
        conn.execute(
            """
            update public.documents
            set title = coalesce(title, %(title)s), media_type = %(media_type)s, stage = 'chunking',
                language = case when language_corrected then language else coalesce(%(language)s, language) end
            where id = %(id)s
            """,
            {"id": document_id, "title": parsed.title, "media_type": parsed.media_type, "language": language},
        )
        conn.execute(
            "insert into public.document_texts (document_id, revision, text, page_starts) values (%s, 1, %s, %s)",
            [document_id, text, list(parsed.page_starts)],
        )
    return True


def _fill(database: Database, index: LiveIndex, document: Original, text: DocumentText, tools: IngestTools) -> None:
    chunks = chunk_text(
        text.text,
        title=document.title or "",
        page_starts=text.page_starts,
        settings=ChunkSettings.from_json(index.chunking),
        tokenizer=tools.tokens(index.model),
    )
    for _ in range(_PATIENCE):
        if _store(database, index, document, text.revision, chunks) != "busy":
            return
        time.sleep(_PAUSE_S)
    raise DatabaseError("Somebody else is changing this document.")


def _store(
    database: Database, index: LiveIndex, document: Original, revision: int, chunks: Sequence[Chunk]
) -> chunkrows.Outcome:
    with database.as_worker() as conn:
        outcome = chunkrows.store_chunks(conn, document.id, revision, index.id, chunks)
        if outcome == "stored" and index.active and chunks:
            finish_chunking(conn, document.id)
        elif outcome == "stored" and index.active:
            mark_failed(conn, document.id, str(NoText()), NoText.hint, ERROR_CODES[NoText])
    return outcome


def read_document(conn: Connection[Any], document_id: UUID, *, lock: bool = False) -> Original | None:
    """The document, or None when it is gone; with ``lock`` nobody changes it until the transaction ends."""
    with conn.cursor(row_factory=class_row(Original)) as cursor:
        return cursor.execute(
            "select id, name, title, stage, paused, text_revision from public.documents where id = %s"
            + (" for no key update" if lock else ""),
            [document_id],
        ).fetchone()


def _read_text(conn: Connection[Any], document: Original) -> DocumentText:
    with conn.cursor(row_factory=class_row(DocumentText)) as cursor:
        found = cursor.execute(
            "select document_id, revision, text, page_starts from public.document_texts"
            " where document_id = %s and revision = %s",
            [document.id, document.text_revision],
        ).fetchone()
    assert found is not None
    return found


def find_indexes_behind(conn: Connection[Any], document: Original) -> list[LiveIndex]:
    """Live indexes that lack the document's current text; the active one first."""
    rows = conn.execute(
        """
        select i.id, i.chunking, i.state = 'active', m.id, m.provider, m.name, m.dimensions, m.window_tokens
        from public.documents d
        join public.indexes i on i.collection_id = d.collection_id and i.state <> 'retired' and not i.paused
        join public.embedding_models m on m.id = i.model_id
        left join public.index_documents x on x.index_id = i.id and x.document_id = d.id
        where d.id = %s and (x.document_id is null or x.text_revision < d.text_revision or x.chunk_count = 0)
        order by i.state = 'active' desc, i.id
        """,
        [document.id],
    )
    return [LiveIndex(id, chunking, active, ModelRow(*model)) for id, chunking, active, *model in rows]


def _enter_stage(conn: Connection[Any], document_id: UUID, stage: str) -> None:
    conn.execute(
        "update public.documents set stage = %s, error = null, error_hint = null, error_code = null"
        " where id = %s and stage not in (%s, 'cancelled') and not paused",
        [stage, document_id, stage],
    )


def finish_chunking(conn: Connection[Any], document_id: UUID) -> None:
    """Hand an unfinished document over to embedding; it may turn out to be complete already."""
    conn.execute(
        "update public.documents set stage = 'embedding', error = null, error_hint = null, error_code = null"
        " where id = %s and stage in ('stored', 'parsing', 'chunking') and text_revision > 0",
        [document_id],
    )
    conn.execute("delete from public.failed_jobs where document_id = %s and queue = 'ingest'", [document_id])
    conn.execute("select corpuscope.settle_documents(array [%s::uuid])", [document_id])


def fail_document(database: Database, document_id: UUID, error: ParseError) -> None:
    """The document's file can't be used: say why and what to do."""
    with database.as_worker() as conn:
        mark_failed(conn, document_id, str(error), error.hint, ERROR_CODES.get(type(error), "unreadable"))


def mark_failed(conn: Connection[Any], document_id: UUID, reason: str, hint: str, code: str) -> None:
    """Move an unfinished document to its final stage, unless a person was faster."""
    conn.execute(
        "update public.documents set stage = 'failed', error = %s, error_hint = nullif(%s, ''), error_code = %s"
        " where id = %s and stage in ('stored', 'parsing', 'chunking', 'embedding')",
        [reason, hint, code, document_id],
    )
