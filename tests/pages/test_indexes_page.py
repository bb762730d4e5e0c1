"""Indexes: what the cards say, an estimate and a preview before anything is built, and the way to another index."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.index_words import between, describe_chunking
from pages.parts.product import Product
from rag.corpus.index_estimates import Amount
from rag.corpus.indexes import build_index
from rag.corpus.sharing import share
from rag.store.database import Database, connect
from tests.integration.library import PUMP, Library
from tests.integration.townsfolk import open_account
from tests.integration.workshop import prose
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.visitors import Visitors


def choose_build(app: AppTest) -> AppTest:
    [view] = [one for one in app.get("button_group") if one.key == "view"]
    view.set_value("Build").run()  # type: ignore[union-attr]
    assert not app.exception, app.exception[0].message
    return app


def second_index(library: Library, *, done: bool = True) -> int:
    """A second index with the chunks and vectors of the first, as if workers had made them."""
    with library.database.as_user(library.user) as conn:
        made = build_index(conn, library.collection, {"max_tokens": 64, "overlap": 16})
    if done:
        with connect(library.database.owner_dsn) as conn, conn.transaction():
            conn.execute(
                "insert into public.index_documents (index_id, document_id, collection_id, text_revision)"
                " select %s, document_id, collection_id, text_revision"
                " from public.index_documents where index_id <> %s",
                [made, made],
            )
            conn.execute(
                "insert into public.chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text)"
                " select %s, document_id, collection_id, ordinal, start_char, end_char, text from public.chunks",
                [made],
            )
            conn.execute(
                "select corpuscope.reuse_embeddings(array(select id from public.chunks where index_id = %s))", [made]
            )
            conn.execute("update public.indexes set state = 'ready' where id = %s", [made])
            conn.execute("select pgmq.purge_queue('ingest'), pgmq.purge_queue('embed')")
    return made


def active_of(library: Library) -> int:
    return int(library.value("select active_index_id from public.collections"))


def confirm(app: AppTest) -> AppTest:
    app.button(key="confirmation_do").click().run()
    assert not app.exception, app.exception[0].message
    return app


def test_one_index_says_what_it_is_and_what_else_there_could_be(open_page: OpenPage, library: Library) -> None:
    said = texts(open_page("indexes"))
    assert f"**Index {active_of(library)}**" in said
    assert "Chunks of up to 192 tokens, no overlap, title and headings before each" in said
    assert "2 chunks of 2 documents · vectors 1.5 KB" in said
    assert "built beside this one" in said


def test_a_ready_index_is_made_active_after_saying_so_and_back_again(open_page: OpenPage, library: Library) -> None:
    old = active_of(library)
    new = second_index(library)
    app = open_page("indexes")
    app.button(key=f"activate-{new}").click().run()
    said = texts(app)
    assert "up to 64 tokens, overlapping by up to 16 tokens" in said
    assert "in one step" in said
    confirm(app)
    assert active_of(library) == new
    app.button(key="undo").click().run()
    assert active_of(library) == old


def test_a_building_index_shows_how_far_it_is_and_is_paused_and_resumed(open_page: OpenPage, library: Library) -> None:
    new = second_index(library, done=False)
    app = open_page("indexes")
    assert "No worker is running" in texts(app)
    assert [bar.proto.text for bar in app.get("progress")] == ["Chunked 0 of 2 documents"]
    assert not [one for one in app.button if one.key == f"activate-{new}"]
    app.button(key=f"pause-{new}").click().run()
    assert library.value("select paused from public.indexes where id = %s", new) is True
    app.button(key=f"resume-{new}").click().run()
    assert library.value("select paused from public.indexes where id = %s", new) is False


def test_an_index_is_dropped_only_when_one_says_so(open_page: OpenPage, library: Library) -> None:
    new = second_index(library)
    app = open_page("indexes")
    app.button(key=f"drop-{new}").click().run()
    assert "2 chunks and their vectors are deleted" in texts(app)
    app.button(key="confirmation_keep").click().run()
    assert library.value("select state from public.indexes where id = %s", new) == "ready"
    app.button(key=f"drop-{new}").click().run()
    confirm(app)
    assert library.value("select state from public.indexes where id = %s", new) == "retired"
    assert library.value("select count(*) from public.chunks where index_id = %s", new) == 0


def test_why_nothing_goes_on_is_said_on_the_card(open_page: OpenPage, library: Library) -> None:
    new = second_index(library, done=False)
    with connect(library.database.owner_dsn) as conn:
        conn.execute(
            "update public.indexes set problem = 'The model *x* is away.', problem_hint = 'Fetch it.' where id = %s",
            [new],
        )
    said = texts(open_page("indexes"))
    assert "The model \\*x\\* is away. Fetch it." in said


def test_before_a_build_stand_an_estimate_and_a_preview(open_page: OpenPage, library: Library) -> None:
    library.add("long.txt", prose(60))
    app = choose_build(open_page("indexes"))
    old = active_of(library)
    assert f"Index {old} (active) has this model and this chunking already." in texts(app)
    [size] = [slider for slider in app.slider if slider.label == "Chunk size"]
    size.set_value(64).run()
    metrics = {metric.label: metric.value for metric in app.metric}
    assert int(metrics["Chunks"]) > 30
    assert metrics["Time"] == "not known"
    assert int(metrics["New: chunks"]) > 2 * int(metrics["Active: chunks"])
    assert int(metrics["New: median tokens"]) < int(metrics["Active: median tokens"])
    said = texts(app)
    assert "No rate measured yet" in said
    assert "3 documents, all of them" in said
    app.button(key="build_index").click().run()
    assert not app.exception
    assert library.value("select count(*) from public.indexes where state = 'building'") == 1
    assert library.value("select chunking ->> 'max_tokens' from public.indexes where state = 'building'") == "64"


def test_the_time_goes_by_the_measured_rate_and_money_by_a_typed_price(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    with connect(database.owner_dsn) as conn:
        conn.execute(
            "insert into public.embedding_models (provider, name, dimensions, window_tokens, chars_per_s)"
            " values ('openai', 'hosted-model', 8, 256, 1000)"
        )
        hosted = conn.execute("select id from public.embedding_models where name = 'hosted-model'").fetchone()
    assert hosted is not None
    library.add("long.txt", prose(200))
    app = choose_build(open_page("indexes"))
    app.selectbox(key="build-model").set_value(hosted[0]).run()
    assert not app.exception
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Time"].endswith(" s")
    tokens = int(metrics["Tokens"].replace(",", ""))
    assert "type the price" in texts(app)
    app.number_input(key="build-price").set_value(1000.0).run()
    assert f"**About {tokens / 1000:,.2f}**" in texts(app)


def test_viewers_read_and_build_nothing(open_page: OpenPage, library: Library, product: Product) -> None:
    new = second_index(library)
    with connect(library.database.owner_dsn) as conn:
        conn.execute(
            "insert into public.collection_members (collection_id, user_id, role)"
            " select %s, id, 'owner' from auth.users where id <> %s limit 1",
            [library.collection, library.user],
        )
        conn.execute("update public.collection_members set role = 'viewer' where user_id = %s", [library.user])
    app = open_page("indexes")
    assert f"**Index {new}**" in texts(app)
    keys = {button.key for button in app.button}
    assert not {key for key in keys if key and key.startswith(("activate", "drop", "pause"))}
    assert not [one for one in app.get("button_group") if one.key == "view"]


@pytest.fixture
def shared(product: Product, database: Database, alice: UUID, bob: UUID, home: Path) -> Library:
    """Alice's collection, where people sign in; Bob is an editor of it, and no administrator."""
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    open_account(database, "alice@example.org", id=alice)
    open_account(database, "bob@example.org", id=bob)
    library = Library(database, alice, {"pump.md": PUMP})
    with database.as_user(alice) as conn:
        share(conn, library.collection, "bob@example.org", "editor")
    return library


def test_editors_build_with_what_is_registered(shared: Library, database: Database, bob: UUID) -> None:
    app = Visitors(database).open(bob, "indexes", collection=str(shared.collection), view="Build")
    keys = {button.key for button in app.button}
    assert "build_index" in keys
    assert "add_model" not in keys, "models are registered by administrators"


def test_strangers_see_nothing_of_it(shared: Library, database: Database) -> None:
    stranger = open_account(database, "eve@example.org")
    app = Visitors(database).open(stranger, "indexes", collection=str(shared.collection))
    assert "No collection yet" in texts(app)
    assert "**Index" not in texts(app)


@pytest.mark.parametrize(
    ("chunking", "words"),
    [
        ({}, "Chunks of up to 192 tokens, no overlap, title and headings before each"),
        (
            {"max_tokens": 64, "overlap": 8, "with_context": False},
            "Chunks of up to 64 tokens, overlapping by up to 8 tokens, no title or headings added",
        ),
        ({"size": 3}, "Chunked under settings of another version"),
    ],
)
def test_a_chunking_in_words(chunking: dict[str, Any], words: str) -> None:
    assert describe_chunking(chunking) == words


def test_an_estimate_is_given_to_three_digits() -> None:
    assert between(Amount(1234.0, 1234.0, 1234.0)) == "1,234"
    assert between(Amount(12345.0, 11111.0, 13579.0)) == "about 12,300 (11,100 to 13,600)"


def test_a_collection_is_never_left_without_words(open_page: OpenPage, database: Database, product: Product) -> None:
    assert "No collection yet" in texts(open_page("indexes"))
