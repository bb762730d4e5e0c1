"""The ingest job: from bytes to chunks, and what happens when a person changes their mind meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rag.corpus.texts import correct_text
from rag.errors import Cancelled, NoText, PasswordNeeded
from rag.reading.parsed import ParsedText
from rag.settings import load_settings
from rag.store.database import Database
from rag.vectors.embedders import load_tokens
from rag.vectors.modelpool import ModelRow
from rag.work import ingesting
from rag.work.ingesting import IngestTools, ingest
from tests.integration.workshop import Workshop, prose, wait_for


@pytest.fixture
def shop(database: Database, alice: UUID) -> Workshop:
    return Workshop(database, load_settings(None), alice)


def read_plainly(path: Path, name: str, cancelled: Callable[[], bool]) -> ParsedText:
    return ParsedText(path.read_text(), page_starts=[0], title="A title")


def do_ingest(shop: Workshop, document: UUID, parse: ingesting.Parse = read_plainly) -> None:
    """The job in this thread, with a parser passed in."""
    tokens = load_tokens(shop.settings)
    ingest(shop.database, document, IngestTools(parse, lambda model: tokens, lambda text: "en"), lambda: False)


def chunks(shop: Workshop) -> list[tuple[Any, ...]]:
    return shop.rows("select id, ordinal, start_char, end_char, text from public.chunks order by index_id, ordinal")


def test_a_file_becomes_text_and_chunks_with_exact_spans(shop: Workshop) -> None:
    text = prose(30)
    document = shop.store("a.txt", text)
    do_ingest(shop, document)
    columns = "stage, title, language, page_count, char_count, text_revision, media_type"
    expected = ("embedding", "A title", "en", 1, len(text), 1, "text/plain")
    assert shop.rows(f"select {columns} from public.documents") == [expected]
    assert len(chunks(shop)) >= 30
    assert all(text[start:end] == piece for _, _, start, end, piece in chunks(shop))
    assert [ordinal for _, ordinal, *_ in chunks(shop)] == list(range(len(chunks(shop))))


def test_a_file_of_several_parts_is_read_whole(shop: Workshop) -> None:
    data = bytes(range(48, 91)) * 60_000
    sizes: list[int] = []

    def parse(path: Path, name: str, cancelled: Callable[[], bool]) -> ParsedText:
        sizes.append(path.stat().st_size)
        assert path.read_bytes() == data
        return ParsedText("short")

    document = shop.store("big.txt", data)
    assert shop.value("select count(*) from public.document_files") > 1
    do_ingest(shop, document, parse)
    assert sizes == [len(data)]


def test_nul_is_stripped(shop: Workshop) -> None:
    document = shop.store("a.txt", "x")
    do_ingest(shop, document, lambda path, name, cancelled: ParsedText("one\0two"))
    assert shop.value("select text from public.document_texts") == "onetwo"


@pytest.mark.parametrize(
    ("error", "code"),
    [(NoText("Only pictures."), "no_text"), (PasswordNeeded(), "password")],
    ids=["no text", "password"],
)
def test_a_file_that_cannot_be_read_fails_at_once_and_says_why(shop: Workshop, error: Exception, code: str) -> None:
    def parse(path: Path, name: str, cancelled: Callable[[], bool]) -> ParsedText:
        raise error

    document = shop.store("a.pdf", "x")
    do_ingest(shop, document, parse)
    [(stage, said, hint, found)] = shop.rows("select stage, error, error_hint, error_code from public.documents")
    assert (stage, said, found) == ("failed", str(error), code)
    assert hint
    do_ingest(shop, document)
    assert shop.stage(document) == "failed", "only a person takes it up again"


@pytest.mark.parametrize("text", ["", " \n\n "])
def test_a_text_without_chunks_is_no_ready_document(shop: Workshop, text: str) -> None:
    document = shop.store("a.txt", "x")
    do_ingest(shop, document, lambda path, name, cancelled: ParsedText(text))
    assert shop.rows("select stage, error_code from public.documents") == [("failed", "no_text")]


def test_other_errors_are_raised_for_another_try(shop: Workshop) -> None:
    def parse(path: Path, name: str, cancelled: Callable[[], bool]) -> ParsedText:
        raise OSError("disk on fire")

    document = shop.store("a.txt", "x")
    with pytest.raises(OSError, match="fire"):
        do_ingest(shop, document, parse)
    assert shop.stage(document) == "parsing"
    do_ingest(shop, document)
    assert shop.stage(document) == "embedding"


@pytest.mark.parametrize(
    ("meddle", "stage"),
    [
        ("select public.pause_documents(array [%s])", "parsing"),
        ("select public.cancel_documents(array [%s])", "cancelled"),
        ("delete from public.documents where id = %s", None),
    ],
)
def test_a_change_of_mind_while_parsing_is_respected(shop: Workshop, meddle: str, stage: str | None) -> None:
    def parse(path: Path, name: str, cancelled: Callable[[], bool]) -> ParsedText:
        assert not cancelled()
        shop.run(meddle, document)
        wait_for(cancelled, 10)
        raise Cancelled

    document = shop.store("a.txt", prose(3))
    do_ingest(shop, document, parse)
    assert chunks(shop) == []
    assert [found for (found,) in shop.rows("select stage from public.documents")] == ([stage] if stage else [])


def test_a_change_of_mind_after_parsing_is_respected_too(shop: Workshop) -> None:
    def parse(path: Path, name: str, cancelled: Callable[[], bool]) -> ParsedText:
        shop.run("select public.cancel_documents(array [%s])", document)
        return ParsedText("too late")

    document = shop.store("a.txt", "x")
    do_ingest(shop, document, parse)
    assert shop.stage(document) == "cancelled"
    assert shop.value("select count(*) from public.document_texts") == 0


def test_paused_documents_wait_and_resumed_ones_finish(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(40))
    shop.run("select public.pause_documents(array [%s])", document)
    shop.work_until(lambda: not shop.queued())
    assert chunks(shop) == []
    shop.run("select public.resume_documents(array [%s])", document)
    shop.finish()
    assert shop.stage(document) == "ready"


def test_pausing_while_it_is_embedded_stops_and_resuming_goes_on(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(900))  # more chunks than a worker claims at once
    under_way, go_on = threading.Event(), threading.Event()

    def before(texts: object) -> None:
        under_way.set()
        assert go_on.wait(20)

    shop.embedder.before = before
    with shop.working():
        assert under_way.wait(20)
        shop.run("select public.pause_documents(array [%s])", document)
        go_on.set()
        wait_for(lambda: not shop.queued())
        before_resuming = shop.value("select embedded_count from public.index_documents")
        assert 0 < before_resuming < len(chunks(shop))
        shop.run("select public.resume_documents(array [%s])", document)
        wait_for(shop.is_finished)
    assert shop.stage(document) == "ready"
    assert set(shop.embedder.asked.values()) == {1}
    shop.check_vectors()


def test_cancelled_documents_are_emptied_and_a_retry_starts_again(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(40))
    do_ingest(shop, document)
    shop.run("select public.cancel_documents(array [%s])", document)
    assert chunks(shop) == []
    shop.work_until(lambda: not shop.queued())
    assert shop.stage(document) == "cancelled"
    shop.run("select public.retry_documents(array [%s])", document)
    shop.finish()
    assert shop.stage(document) == "ready"
    shop.check_vectors()


def test_a_corrected_text_embeds_only_what_changed(shop: Workshop, alice: UUID) -> None:
    text = prose(60)
    document = shop.store("a.txt", text)
    shop.finish()
    before, asked = chunks(shop), sum(shop.embedder.asked.values())
    corrected = "A new beginning.\n\n" + text.replace("Paragraph 0-30 tells", "Paragraph 0-30 told")
    with shop.database.as_user(alice) as conn:
        correct_text(conn, document, 1, 0, len(text), corrected)
    assert shop.stage(document) == "chunking"
    shop.finish()
    after = chunks(shop)
    kept = {id for id, *_ in before} & {id for id, *_ in after}
    assert len(kept) >= len(before) - 4
    assert sum(shop.embedder.asked.values()) - asked <= 6
    assert all(corrected[start:end] == piece for _, _, start, end, piece in after)
    assert shop.rows("select stage, text_revision from public.documents") == [("ready", 2)]
    shop.check_vectors()


def test_exclusions_hold_for_chunks_that_a_correction_moves(shop: Workshop, alice: UUID) -> None:
    text = prose(20)
    document = shop.store("a.txt", text)
    shop.finish()
    start, end = shop.rows("select start_char, end_char from public.chunks where ordinal = 9")[0]
    words = text[start:end]
    shop.run(
        "insert into public.span_marks (document_id, collection_id, start_char, end_char, kind)"
        " values (%s, %s, %s, %s, 'exclusion')",
        document,
        shop.collection,
        start,
        end,
    )
    with shop.database.as_user(alice) as conn:
        correct_text(conn, document, 1, 0, 0, prose(2, seed=7) + "\n\n")
    shop.finish()
    assert shop.rows("select text from public.chunks where excluded") == [(words,)]
    assert shop.value("select count(*) from public.embeddings where excluded") == 1


def test_a_replacement_takes_the_old_document_out_once_it_is_ready(shop: Workshop) -> None:
    old = shop.store("a.txt", prose(5))
    shop.finish()
    new = shop.store("a.txt", prose(5, seed=1), on_name="replace")
    assert {id for (id,) in shop.rows("select id from public.documents")} == {old, new}
    shop.finish()
    assert shop.rows("select id, replaces, stage from public.documents") == [(new, None, "ready")]
    shop.check_vectors()


def test_a_second_index_is_filled_beside_the_first_and_swapped_in(shop: Workshop) -> None:
    one, two = shop.store("a.txt", prose(60)), shop.store("b.txt", prose(60, seed=1))
    shop.finish()
    shop.run("select public.build_index(%s, '{\"max_tokens\": 96}')", shop.collection)
    assert {shop.stage(one), shop.stage(two)} == {"ready"}
    with shop.working():
        wait_for(lambda: shop.value("select count(*) from public.indexes where state = 'ready'") == 1)
        late = shop.store("late.txt", prose(20, seed=2))
        wait_for(shop.is_finished)
    sizes = dict(shop.rows("select index_id, count(*) from public.chunks group by 1"))
    assert len(sizes) == 2
    assert min(sizes.values()) < 0.6 * max(sizes.values())
    second = max(sizes)
    shop.run("select public.activate_index(%s)", second)
    assert shop.rows("select id, state from public.indexes order by id") == [(min(sizes), "ready"), (second, "active")]
    assert {shop.stage(document) for document in (one, two, late)} == {"ready"}
    shop.check_vectors()
    shop.run("select public.retire_index(%s)", min(sizes))
    assert shop.rows("select distinct index_id from public.chunks") == [(second,)]
    shop.check_vectors()


def test_a_retired_index_is_not_filled(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(10))
    do_ingest(shop, document)
    with shop.database.as_user(shop.user) as conn:
        made = conn.execute("select public.build_index(%s, '{}')", [shop.collection]).fetchone()
        assert made is not None
        conn.execute("select public.retire_index(%s)", [made[0]])
    do_ingest(shop, document)
    assert shop.value("select count(*) from public.chunks where index_id = %s", made[0]) == 0


def test_the_model_row_reaches_the_tokenizer(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(3))
    asked: list[ModelRow] = []
    tokens = load_tokens(shop.settings)

    def tokens_of(model: ModelRow) -> Any:
        asked.append(model)
        return tokens

    ingest(shop.database, document, IngestTools(read_plainly, tokens_of, lambda text: None), lambda: False)
    [model] = asked
    assert (model.provider, model.dimensions, model.window) == ("local", 384, 256)
