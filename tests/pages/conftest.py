"""The app in this process, over a real database; `open_page` runs a page, `library` is a collection to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.product import Product, provide
from rag.chat.feeds import Feed
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.library import LAKE, PUMP, Library, SharedWords, settings_for

ROOT = Path(__file__).resolve().parents[2]

OpenPage = Callable[..., AppTest]


@pytest.fixture
def product(database: Database) -> Iterator[Product]:
    """What the app's process shares, over this test's database."""
    made = Product(settings_for())
    made.database, made.feed, made.encoder = database, Feed(database), SharedWords()
    provide(made)
    yield made
    made.feed.close()
    provide(None)


@pytest.fixture
def library(database: Database) -> Library:
    """A collection with two documents, of the person who needs no sign-in."""
    return Library(database, LOCAL_USER, {"pump.md": PUMP, "lake.txt": LAKE})


@pytest.fixture
def open_page(product: Product) -> OpenPage:
    """`open_page("search", q="pump")` is that page as somebody sees it who follows such a link."""

    def run(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        app.switch_page(f"pages/{name}.py")
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception[0].message
        return app

    return run
