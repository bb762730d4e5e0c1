"""Each of the shared real and hostile files ends as its manifest says, through upload, queue and worker."""

from __future__ import annotations

import csv
import json
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.settings import Settings
from rag.store.database import Database
from tests.conftest import copied_database
from tests.integration.workshop import Workshop, wait_for

FILES = Path(__file__).parents[2].parent / "shared" / "eval" / "files"
ROWS: list[dict[str, str]] = []
if (FILES / "MANIFEST.tsv").exists():
    with (FILES / "MANIFEST.tsv").open(encoding="utf-8", newline="") as manifest:
        ROWS = list(csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE))

pytestmark = pytest.mark.skipif(not ROWS, reason="the shared evaluation files are not beside this checkout")

#: What may become of a file, by the word in its manifest row.
ALLOWED = {
    "text": {"text"},
    "error": {"error"},
    "empty": {"empty", "unsupported"},
    "error_or_empty": {"error", "empty", "unsupported"},
    "text_or_error": {"text", "error"},
    "text_if_supported": {"text", "unsupported"},
}


@pytest.fixture(scope="module")
def ingested(server: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """All files uploaded at once under the names that the manifest gives them, and worked off."""
    with copied_database(server, template) as database:
        workshop = Workshop(database, Settings(corpuscope_home=tmp_path_factory.mktemp("home")), user(database))
        with database.as_user(workshop.user) as conn:
            workshop.collection = create_collection(conn, "Files with the default chunking")
        for row in ROWS:
            upload(workshop, row)
        with workshop.working():
            wait_for(workshop.is_finished, limit_s=240)
        yield workshop


def user(database: Database) -> UUID:
    with database.as_owner() as conn:
        found = conn.execute("select id from auth.users where email = 'alice@example.org'").fetchone()
    assert found is not None
    return UUID(str(found[0]))


def upload(workshop: Workshop, row: dict[str, str]) -> None:
    with workshop.database.as_user(workshop.user) as conn, (FILES / row["file"]).open("rb") as stream:
        stored = store_document(
            conn, workshop.collection, upload_name(row), stream, on_name="keep_both", max_bytes=2**24
        )
    same_bytes = row["sha256"] in {other["sha256"] for other in ROWS[: ROWS.index(row)]}
    assert stored.outcome == ("duplicate" if same_bytes else "stored")


def upload_name(row: dict[str, str]) -> str:
    return str(json.loads(row["upload_as"])) if row["upload_as"] else row["file"]


def normal(text: str) -> str:
    """As the manifest compares: NFKC, without U+FFFE and U+00AD, white space runs made one space."""
    text = unicodedata.normalize("NFKC", text).replace("\ufffe", "").replace("\u00ad", "")
    return re.sub(r"\s+", " ", text)


def outcome(workshop: Workshop, row: dict[str, str]) -> tuple[str, str, str, int]:
    """What became of a file (text, empty, unsupported or error), its text, the message, and its chunks."""
    stage, code, error, text, chunks = workshop.rows(
        "select d.stage, d.error_code, concat_ws(' ', d.error, d.error_hint), coalesce(t.text, ''),"
        " (select count(*) from public.chunks c where c.document_id = d.id)"
        " from public.documents d left join public.document_texts t on t.document_id = d.id"
        " where d.sha256 = decode(%s, 'hex')",
        row["sha256"],
    )[0]
    if stage == "ready":
        return "text", text, error, chunks
    return {"no_text": "empty", "unsupported": "unsupported"}.get(code, "error"), text, error, chunks


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_a_file_ends_as_its_manifest_says(ingested: Workshop, row: dict[str, str]) -> None:
    kind, text, message, chunks = outcome(ingested, row)
    assert kind in ALLOWED[row["expected"]], f"{kind}: {message}"
    if kind == "text":
        assert chunks > 0, "a ready document without chunks"
        for fragment in filter(None, row["must_contain"].split(" ¦ ")):
            assert normal(fragment) in normal(text)
        assert not {"\x00", "\ufeff"} & set(text)
    else:
        assert (text, chunks) == ("", 0), "something half stored"
        assert len(message) > 20, "the reason is not said in words"
        assert "Traceback" not in message
    for fragment in filter(None, row["must_not_contain"].split(" ¦ ")):
        assert fragment not in text


@pytest.mark.parametrize(
    ("file", "word"),
    [
        ("scan_no_text_layer.pdf", "text"),
        ("needs_password.pdf", "password"),
        ("really_a_png.pdf", "PDF"),
        ("zip_bomb.docx", "unpack"),
    ],
)
def test_a_failure_names_its_cause(ingested: Workshop, file: str, word: str) -> None:
    row = next(row for row in ROWS if row["file"] == file)
    _, _, message, _ = outcome(ingested, row)
    assert word in message


def test_pages_are_right(ingested: Workshop) -> None:
    row = next(row for row in ROWS if row["file"] == "four_pages.pdf")
    pages = ingested.rows(
        "select distinct c.page from public.chunks c join public.documents d on d.id = c.document_id"
        " where d.sha256 = decode(%s, 'hex') order by 1",
        row["sha256"],
    )
    count = ingested.value("select page_count from public.documents where sha256 = decode(%s, 'hex')", row["sha256"])
    assert (pages[0], count) == ((1,), 4)


def test_every_chunk_is_its_span_of_the_text(ingested: Workshop) -> None:
    texts = dict(ingested.rows("select document_id, text from public.document_texts"))
    chunks = ingested.rows("select document_id, start_char, end_char, text from public.chunks")
    assert len(chunks) > len(texts)
    assert [chunk for document, start, end, chunk in chunks if texts[document][start:end] != chunk] == []


def test_names_shown_are_harmless(ingested: Workshop) -> None:
    names = [name for (name,) in ingested.rows("select name from public.documents")]
    assert len(names) == len({row["sha256"] for row in ROWS})
    assert all("/" not in name and "\\" not in name and ".." not in name and len(name) <= 255 for name in names)


def test_nothing_was_written_beside_the_store(ingested: Workshop) -> None:
    assert ingested.is_finished()
    assert [path.name for path in Path(tempfile.gettempdir()).glob("pwned_*")] == []


def test_the_worker_lives_on(ingested: Workshop) -> None:
    """After all of it, an ordinary file is still taken up; nothing was left to be given up on."""
    late = ingested.store("late.txt", "The heron stands by the lagoon at noon, and nothing else happens.")
    ingested.finish()
    assert ingested.stage(late) == "ready"
    assert ingested.check_vectors() > 0
