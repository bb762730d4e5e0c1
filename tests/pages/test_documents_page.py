"""Documents: uploading, what became of each file, and acting on documents."""

from __future__ import annotations

from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.document_table import MOST_ROWS
from pages.parts.product import Product
from rag.corpus.collections import create_collection, list_collections
from rag.corpus.documents import list_documents
from rag.corpus.samples import SAMPLE_NAME
from rag.curation.acts import trash_documents
from rag.curation.trash import list_trash
from rag.records import LOCAL_USER, DocumentRow
from rag.store.database import Database
from tests.integration.library import PUMP, Library
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts


def documents_of(database: Database, collection: UUID) -> dict[str, DocumentRow]:
    with database.as_user(LOCAL_USER) as conn:
        return {document.name: document for document in list_documents(conn, collection)}


def upload(app: AppTest, **files: bytes) -> AppTest:
    """Choose the files and press Upload; ``a_txt=b"…"`` is a.txt."""
    for name, data in files.items():
        app.file_uploader[0].upload(name.replace("_", "."), data)
    next(button for button in app.button if button.label == "Upload files").click().run()
    assert not app.exception
    return app


def test_the_sample_corpus_is_one_click_away(open_page: OpenPage, database: Database, product: Product) -> None:
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    app = open_page("documents")
    app.button(key="sample").click().run()
    assert not app.exception
    with database.as_user(LOCAL_USER) as conn:
        (sample,) = list_collections(conn)
    assert sample.name == SAMPLE_NAME
    assert app.query_params["collection"] == str(sample.id)
    assert len(documents_of(database, sample.id)) > 10
    assert "to be read" in "".join(str(bar.proto.text) for bar in app.get("progress"))


def test_files_are_stored_at_once_and_only_once(open_page: OpenPage, library: Library, database: Database) -> None:
    app = upload(open_page("documents"), a_txt=b"alpha", b_txt=b"beta", copy_md=PUMP.encode())
    said = texts(app)
    assert "2 files stored" in said
    assert "here already, as pump.md" in said.replace("\\", "")
    assert set(documents_of(database, library.collection)) == {"pump.md", "lake.txt", "a.txt", "b.txt"}
    app.run()
    assert set(documents_of(database, library.collection)) == {"pump.md", "lake.txt", "a.txt", "b.txt"}


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("on_name_both", {"pump.md", "pump (2).md", "lake.txt"}),
        ("on_name_replace", {"pump.md", "lake.txt"}),
        ("on_name_skip", {"pump.md", "lake.txt"}),
    ],
)
def test_a_taken_name_is_asked_about(
    open_page: OpenPage, library: Library, database: Database, answer: str, names: set[str]
) -> None:
    app = upload(open_page("documents"), pump_md=b"other contents")
    assert "1 name taken" in texts(app)
    assert set(documents_of(database, library.collection)) == {"pump.md", "lake.txt"}
    app.button(key=answer).click().run()
    assert not app.exception
    with database.as_user(LOCAL_USER) as conn:
        stored = list_documents(conn, library.collection)
    assert {document.name for document in stored} == names
    assert len(stored) == (2 if answer == "on_name_skip" else 3)


def test_a_file_that_is_too_large_is_refused_in_words(
    open_page: OpenPage, library: Library, product: Product, database: Database
) -> None:
    product.settings = product.settings.model_copy(update={"max_file_mb": 1})
    app = open_page("documents")
    app.file_uploader[0].upload("small.txt", b"fits").upload("large.txt", b"x" * (2**20 + 1))
    next(button for button in app.button if button.label == "Upload files").click().run()
    assert "1 file refused" in texts(app)
    assert "larger than the 1 MB" in texts(app)
    assert "small.txt" in documents_of(database, library.collection)


def test_deleting_asks_and_says_what_goes(open_page: OpenPage, library: Library, database: Database) -> None:
    pump = documents_of(database, library.collection)["pump.md"]
    app = open_page("document", document=str(pump.id))
    app.button(key="delete_this").click().run()
    assert f"{pump.chunk_count} chunk" in texts(app)
    assert app.button(key="delete_documents").label == "Put in the trash"
    assert "pump.md" in documents_of(database, library.collection)


def test_the_trash_gives_back_and_deletes_for_good(open_page: OpenPage, library: Library, database: Database) -> None:
    before = documents_of(database, library.collection)
    with database.as_user(LOCAL_USER) as conn:
        trash_documents(conn, library.collection, [one.id for one in before.values()])
    app = open_page("documents")
    assert "2 documents" in next(box.label for box in app.expander if box.label.startswith("Trash"))
    app.button(key=f"trash_restore_{before['pump.md'].id}").click().run()
    assert not app.exception
    assert documents_of(database, library.collection) == {"pump.md": before["pump.md"]}
    app.button(key=f"trash_gone_{before['lake.txt'].id}").click().run()
    app.button(key="confirmation_do").click().run()
    with database.as_user(LOCAL_USER) as conn:
        assert list_trash(conn, library.collection) == []


def test_the_log_on_the_documents_page_undoes(open_page: OpenPage, library: Library, database: Database) -> None:
    before = documents_of(database, library.collection)
    with database.as_user(LOCAL_USER) as conn:
        act = trash_documents(conn, library.collection, [before["pump.md"].id])
    app = open_page("documents")
    assert "Put 1 document in the trash" in texts(app)
    app.button(key=f"curate_undo_{act.id}").click().run()
    assert not app.exception
    assert documents_of(database, library.collection) == before
    app.button(key=f"curate_redo_{act.id}").click().run()
    assert "pump.md" not in documents_of(database, library.collection)


def test_all_failed_are_retried_at_once(open_page: OpenPage, library: Library, database: Database) -> None:
    with database.as_worker() as conn:
        conn.execute(
            "update public.documents set stage = 'failed', error = 'No text was found in this file.',"
            " error_hint = 'Run OCR on it first.' where name = 'pump.md'"
        )
    app = open_page("documents")
    assert "2 documents · 1 ready · 1 failed" in texts(app)
    assert "No text was found in this file. Run OCR on it first." in app.dataframe[0].value["problem"].tolist()
    app.button(key="act_Retry all failed").click().run()
    assert documents_of(database, library.collection)["pump.md"].stage != "failed"


@pytest.mark.parametrize(
    ("group", "part", "names"),
    [
        ("All", "", {"pump.md", "lake.txt", "new.txt"}),
        ("Ready", "", {"pump.md", "lake.txt"}),
        ("In work", "", {"new.txt"}),
        ("Failed", "", set()),
        ("Ready", "PUMP", {"pump.md"}),
        ("All", "nothing like it", set()),
    ],
)
def test_the_toolbar_narrows_the_table(
    open_page: OpenPage, library: Library, database: Database, group: str, part: str, names: set[str]
) -> None:
    with database.as_worker() as conn:
        conn.execute("update public.documents set stage = 'ready' where collection_id = %s", [library.collection])
    app = upload(open_page("documents"), new_txt=b"new")
    app.session_state["document_filter"] = group
    app.session_state["document_name"] = part
    app.run()
    assert not app.exception
    assert set(app.dataframe[0].value["name"]) == names


def test_of_a_long_list_only_the_newest_are_drawn(open_page: OpenPage, library: Library, database: Database) -> None:
    with database.as_owner() as conn:
        conn.execute(
            """
            insert into public.documents (collection_id, name, size, sha256, stage)
            select %s, 'many-' || n, n, sha256(n::text::bytea), 'cancelled' from generate_series(1, %s) n
            """,
            [library.collection, MOST_ROWS],
        )
    app = open_page("documents")
    assert not app.exception
    assert len(app.dataframe[0].value) == MOST_ROWS
    assert f"The newest {MOST_ROWS} documents are shown" in texts(app)
    assert f"{MOST_ROWS + 2} documents" in texts(app)
    app.session_state["document_name"] = "pump"
    app.run()
    assert set(app.dataframe[0].value["name"]) == {"pump.md"}
    assert "are shown" not in texts(app)


def test_a_row_changes_when_its_document_does(open_page: OpenPage, library: Library, database: Database) -> None:
    app = open_page("documents")
    with database.as_worker() as conn:
        conn.execute(
            "update public.documents set name = 'renamed.md', stage = 'failed', error = 'It broke.'"
            " where name = 'pump.md'"
        )
    table = app.run().dataframe[0].value
    (row,) = table[table["name"] == "renamed.md"].to_dict("records")
    assert list(row["status"]) == ["Failed"]
    assert row["problem"] == "It broke."


def test_no_worker_is_a_state_and_not_silence(open_page: OpenPage, library: Library, database: Database) -> None:
    with database.as_user(LOCAL_USER) as conn:
        create_collection(conn, "Other")
    upload(app := open_page("documents", collection=str(library.collection)), a_txt=b"alpha")
    assert "No worker is running" in texts(app)


def test_an_empty_collection_says_what_to_upload(open_page: OpenPage, library: Library, database: Database) -> None:
    with database.as_user(LOCAL_USER) as conn:
        made = create_collection(conn, "Empty one")
    app = open_page("documents", collection=str(made))
    assert "has no documents yet" in texts(app)
