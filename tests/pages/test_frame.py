"""What holds for every page: it asks who is there first, and it says what is wrong in words."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pages.parts.product import Product
from rag.errors import DatabaseUnavailable
from tests.integration.library import Library
from tests.pages.conftest import ROOT, OpenPage
from tests.pages.reading import texts

PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_by_asking_who_is_there(name: str) -> None:
    tree = ast.parse((ROOT / "pages" / f"{name}.py").read_text(encoding="utf-8"))
    first = next(node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    assert ast.unparse(first) == "require_user()"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_anything_teaches_the_next_step(open_page: OpenPage, name: str) -> None:
    app = open_page(name)
    assert app.title
    if name == "documents":
        assert "Look inside your corpus" in texts(app)
    if name in ("documents", "search", "chat"):
        assert app.button(key="sample").label == "Try the sample corpus"
    assert not app.error


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_that_the_database_starts(product: Product, open_page: OpenPage, name: str) -> None:
    product.database = None
    product.database_problem = DatabaseUnavailable("The database is recovering.")
    said = texts(open_page(name))
    assert "Starting the database" in said
    assert "The database is recovering." in said


@pytest.mark.parametrize("name", PAGES)
def test_a_page_with_documents_shows_no_error(open_page: OpenPage, library: Library, name: str) -> None:
    app = open_page(name)
    assert not app.error
    if name in ("account", "administration"):  # these are about people
        assert "one person" in texts(app)
    elif name == "document":
        assert "No document chosen" in texts(app)
    else:
        assert app.selectbox(key="collection_picker").value == str(library.collection)


@pytest.mark.parametrize("bad", ["not-an-id", "00000000-0000-4000-8000-00000000dead", "'; drop table documents; --"])
def test_addresses_are_checked(open_page: OpenPage, library: Library, bad: str) -> None:
    app = open_page("document", document=bad, start="-5", end="nonsense")
    assert "No document chosen" in texts(app) or "doesn't exist" in texts(app)
    app = open_page("search", collection=bad, q="pump")
    assert app.selectbox(key="collection_picker").value == str(library.collection)


def test_the_pages_import_neither_torch_nor_the_like() -> None:
    names = [f"pages.parts.{path.stem}" for path in (ROOT / "pages" / "parts").glob("*.py")]
    heavy = ["torch", "transformers", "sentence_transformers", "kreuzberg", "umap", "sklearn", "openai"]
    code = (
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_in_static_or_theme_is_fetched_from_outside() -> None:
    config = (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    assert "http" not in config
    for name in [line.split("/")[-1].strip('"') for line in config.splitlines() if line.startswith("url = ")]:
        assert (Path(ROOT) / "static" / name).is_file(), name
