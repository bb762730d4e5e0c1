"""Documents: uploaded files and what becomes of them. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, BinaryIO, Literal
from uuid import UUID

import psycopg
from psycopg.rows import args_row, class_row

from rag.corpus import uploads
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.reading.media import safe_name
from rag.records import DocumentRow, FailedJob, Stage, StoredUpload

OnName = Literal["ask", "replace", "keep_both"]

_SELECT = """
    select d.id, d.collection_id, d.name, d.title, d.media_type, d.size, d.language, d.stage, d.stage_at, d.paused,
           d.error, d.error_hint, d.error_code, d.text_revision, d.page_count, d.char_count,
           coalesce(x.chunk_count, 0) as chunk_count, coalesce(x.embedded_count, 0) as embedded_count,
           coalesce(x.failed_count, 0) as failed_count, d.created_at
    from public.documents d
    join public.collections c on c.id = d.collection_id
    left join public.index_documents x on x.index_id = c.active_index_id and x.document_id = d.id
"""


def store_document(
    conn: psycopg.Connection[Any],
    collection_id: UUID,
    name: str,
    stream: BinaryIO,
    *,
    on_name: OnName = "ask",
    max_bytes: int,
    title: str | None = None,
) -> StoredUpload:
    """Store one file as a document; the trigger on the table sends it to ingest.

    The bytes are never in memory as a whole. The same bytes again are a ``duplicate``; from the trash they are
    ``restored``. A name that other bytes have
    already is ``name_taken`` unless ``on_name`` decides: ``replace`` deletes the older document once this one is
    ready, ``keep_both`` numbers the name: "report (2).pdf". Raises :class:`ParseLimit` above ``max_bytes`` and
    :class:`NotAllowed` for a viewer.
    """
    name = safe_name(name)
    with uploads.rereadable(stream, name, max_bytes) as source:
        size, digest = uploads.measure(source, name, max_bytes)
        # Its name before its bytes: the same file, stored by somebody in between, is then found by its bytes.
        namesake = _find_name(conn, collection_id, name)
        if same := _find_same_bytes(conn, collection_id, digest):
            return StoredUpload("duplicate", name, None, same)
        if back := _take_out_of_trash(conn, collection_id, digest):
            return StoredUpload("restored", name, None, back)
        if namesake is not None and on_name == "ask":
            return StoredUpload("name_taken", name, None, namesake)
        if namesake is not None and on_name == "keep_both":
            name = uploads.free_name(name, lambda other: _find_name(conn, collection_id, other) is not None)
        replaces = _take_place_of(conn, namesake.id) if namesake is not None and on_name == "replace" else None
        row = {"name": name, "title": title, "size": size, "sha256": digest, "replaces": replaces}
        document_id = uploads.insert_document(conn, row | {"collection_id": collection_id})
        if document_id is None:  # somebody stored the same bytes since we looked
            return StoredUpload("duplicate", name, None, _find_same_bytes(conn, collection_id, digest))
        uploads.write_pieces(conn, document_id, source)
    return StoredUpload("stored", name, document_id)


def _find_same_bytes(conn: psycopg.Connection[Any], collection_id: UUID, digest: bytes) -> DocumentRow | None:
    row = conn.execute(
        "select id from public.documents where collection_id = %s and sha256 = %s", [collection_id, digest]
    ).fetchone()
    return get_document(conn, row[0]) if row else None


def _take_out_of_trash(conn: psycopg.Connection[Any], collection_id: UUID, digest: bytes) -> DocumentRow | None:
    """The document in the trash with these bytes, restored; for who may add to the collection."""
    row = conn.execute("select public.find_in_trash(%s, %s)", [collection_id, digest]).fetchone()
    if row is None or row[0] is None:
        return None
    conn.execute("select public.restore_documents(%s)", [[row[0]]])
    return get_document(conn, row[0])


def _find_name(conn: psycopg.Connection[Any], collection_id: UUID, name: str) -> DocumentRow | None:
    row = conn.execute(
        """
        select id from public.documents where collection_id = %s and lower(name) = lower(%s)
        order by created_at desc, id limit 1
        """,
        [collection_id, name],
    ).fetchone()
    return get_document(conn, row[0]) if row else None


def _take_place_of(conn: psycopg.Connection[Any], namesake: UUID) -> UUID:
    """What a new version replaces: the namesake, or, if that is itself a version still to come, what it would have."""
    row = conn.execute("select replaces from public.documents where id = %s for update", [namesake]).fetchone()
    if row is None or row[0] is None:
        return namesake
    conn.execute("delete from public.documents where id = %s", [namesake])
    older: UUID = row[0]
    return older


def list_documents(
    conn: psycopg.Connection[Any],
    collection_id: UUID,
    *,
    stages: Collection[Stage] | None = None,
    name_part: str = "",
    limit: int | None = None,
) -> list[DocumentRow]:
    """The documents of a collection, newest first; cheap enough to ask every second with a ``limit``.

    Only those in ``stages`` and with ``name_part`` somewhere in their name, whatever its case, if these are given.
    """
    conditions = ["d.collection_id = %(collection)s"]
    if stages is not None:
        conditions.append("d.stage = any (%(stages)s)")
    if name_part := name_part.replace("\x00", "").strip():
        conditions.append("strpos(lower(d.name), lower(%(part)s)) > 0")
    values = {"collection": collection_id, "stages": list(stages or ()), "part": name_part, "limit": limit}
    # By position and in binary: it takes a third of the time, and this is what a live view spends its time on.
    with conn.cursor(row_factory=args_row(DocumentRow), binary=True) as cursor:
        return cursor.execute(
            f"{_SELECT} where {' and '.join(conditions)} order by d.created_at desc, d.name limit %(limit)s", values
        ).fetchall()


def get_document(conn: psycopg.Connection[Any], document_id: UUID) -> DocumentRow:
    """One document; :class:`NotFound` when it doesn't exist or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(DocumentRow)) as cursor:
        found = cursor.execute(_SELECT + "where d.id = %s", [document_id]).fetchone()
    if found is None:
        raise NotFound("That document doesn't exist, or it isn't shared with you.")
    return found


def describe_deletion(conn: psycopg.Connection[Any], document_ids: Sequence[UUID]) -> dict[str, int]:
    """What goes with these documents: ``documents``, ``chunks``, ``marks``, ``judgements``; and ``citations``.

    Answers that cite them keep their quotes but can't open the source any more; ``citations`` counts the person's own.
    """
    row = conn.execute(
        """
        select (select count(*) from public.documents where id = any (%(ids)s)),
               (select coalesce(sum(chunk_count), 0) from public.index_documents where document_id = any (%(ids)s)),
               (select count(*) from public.span_marks where document_id = any (%(ids)s)),
               (select count(*) from public.judgements where document_id = any (%(ids)s)),
               (select count(*) from public.citations c join public.passages p using (message_id, number)
                where p.document_id = any (%(ids)s))
        """,
        {"ids": list(document_ids)},
    ).fetchone()
    assert row is not None
    return dict(zip(("documents", "chunks", "marks", "judgements", "citations"), map(int, row), strict=True))


def delete_documents(conn: psycopg.Connection[Any], document_ids: Sequence[UUID]) -> int:
    """Delete documents for good, past the trash, with their files, texts, chunks and marks; returns how many went.

    What people press goes through :func:`rag.curation.acts.trash_documents` instead, which can be undone.
    """
    deleted = conn.execute("delete from public.documents where id = any (%s)", [list(document_ids)]).rowcount
    if not deleted:
        _explain_refusal(conn, document_ids)
    return deleted


def retry_documents(conn: psycopg.Connection[Any], document_ids: Sequence[UUID]) -> int:
    """Take up failed and cancelled documents again where they stopped; returns how many."""
    return _act(conn, "retry_documents", document_ids)


def pause_documents(conn: psycopg.Connection[Any], document_ids: Sequence[UUID]) -> int:
    """Hold unfinished documents back; returns how many."""
    return _act(conn, "pause_documents", document_ids)


def resume_documents(conn: psycopg.Connection[Any], document_ids: Sequence[UUID]) -> int:
    """Let paused documents go on; returns how many."""
    return _act(conn, "resume_documents", document_ids)


def cancel_documents(conn: psycopg.Connection[Any], document_ids: Sequence[UUID]) -> int:
    """Stop work on unfinished documents and drop what was made of them; the files stay. Returns how many."""
    return _act(conn, "cancel_documents", document_ids)


def _act(conn: psycopg.Connection[Any], function: str, document_ids: Sequence[UUID]) -> int:
    row = conn.execute(f"select public.{function}(%s)", [list(document_ids)]).fetchone()
    done = int(row[0]) if row else 0
    if not done:
        _explain_refusal(conn, document_ids)
    return done


def _explain_refusal(conn: psycopg.Connection[Any], document_ids: Sequence[UUID]) -> None:
    """Nothing changed: say so when the reason is a missing right; having nothing to do is no error."""
    if not document_ids:
        return
    row = conn.execute(
        """
        select count(*) from public.documents
        where id = any (%s) and collection_id <> all ((select corpuscope.editable_collections())::uuid[])
        """,
        [list(document_ids)],
    ).fetchone()
    if row and row[0]:
        raise NotAllowed("You may read these documents but not change them.", hint="Ask an owner for editing.")


def rename_document(conn: psycopg.Connection[Any], document_id: UUID, name: str) -> None:
    """Give a document another name."""
    name = " ".join(name.replace("\x00", "").split())
    if not 1 <= len(name) <= 255:
        raise InvalidInput("A document needs a name of 1 to 255 characters.")
    if not conn.execute("update public.documents set name = %s where id = %s", [name, document_id]).rowcount:
        _explain_refusal(conn, [document_id])
        get_document(conn, document_id)


def set_language(conn: psycopg.Connection[Any], document_id: UUID, code: str) -> None:
    """Correct the detected language (ISO 639-1); its chunks are analysed for search again."""
    if not (code.isascii() and code.isalpha() and code.islower() and len(code) in (2, 3)):
        raise InvalidInput(f"“{code}” is not a language code.", hint="Use a code such as en, de or zh.")
    try:
        conn.execute("select public.set_document_language(%s, %s)", [document_id, code])
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed("That document doesn't exist, or you may not change it.") from error


def list_failed_jobs(conn: psycopg.Connection[Any], collection_id: UUID) -> list[FailedJob]:
    """Work of this collection that was given up on, newest first."""
    with conn.cursor(row_factory=class_row(FailedJob)) as cursor:
        return cursor.execute(
            """
            select f.id, f.queue, f.document_id, d.name as document_name, f.chunk_id, f.reason, f.attempts, f.failed_at,
                   case when i.state in ('building', 'ready')
                        then 'In index ' || i.id || ', which is not the active one: try it again on the page Indexes.'
                        else f.hint end as hint
            from public.failed_jobs f
            left join public.documents d on d.id = f.document_id
            left join public.indexes i on i.id = f.index_id
            where f.collection_id = %s order by f.failed_at desc, f.id desc
            """,
            [collection_id],
        ).fetchall()
