"""`corpuscope indexes` and `corpuscope models`, in this process on a database of the test's own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.cli import make_parser
from rag.commands.cli_output import Output
from rag.errors import InvalidInput, ModelError, NotFound
from rag.records import LOCAL_USER
from rag.settings import load_settings
from rag.store.database import Database
from rag.vectors.models import PACKAGED
from tests.integration.workshop import Workshop, prose

Run = Callable[..., Any]


@pytest.fixture
def shop(database: Database) -> Workshop:
    made = Workshop(database, load_settings(None), LOCAL_USER)
    made.store("a.txt", prose(30))
    made.finish()
    return made


@pytest.fixture
def run(shop: Workshop, tmp_path: Path) -> Run:
    """The JSON that a command prints; ``text=True`` for what people read."""
    settings = shop.settings.model_copy(
        update={"database_url": shop.database.owner_dsn, "corpuscope_home": tmp_path, "corpuscope_workers": 0}
    )

    def command(*arguments: str, text: bool = False) -> Any:
        parsed = make_parser().parse_args(list(arguments))
        stdout = io.StringIO()
        assert parsed.run(parsed, settings, Output(json=not text, stdout=stdout, stderr=io.StringIO())) == 0
        return stdout.getvalue() if text else json.loads(stdout.getvalue())

    return command


def test_an_index_is_estimated_built_swapped_and_dropped(shop: Workshop, run: Run) -> None:
    of = ("--collection", "Workshop")
    [first] = run("indexes", *of)["indexes"]
    assert (first["state"], first["documents"], first["complete"]) == ("active", 1, True)
    found = run("indexes", "estimate", *of, "--size", "64", "--overlap", "8", "--price", "2")
    assert found["exact"] is True
    assert found["seconds"] is None
    assert found["cost"]["value"] == pytest.approx(found["tokens"]["value"] * 2e-6, abs=0.01)
    built = run("indexes", "build", *of, "--size", "64", "--overlap", "8", "--no-context")
    assert (built["state"], built["chunking"]) == (
        "building",
        {"max_tokens": 64, "overlap": 8, "with_context": False},
    )
    number = str(built["index"])
    assert run("indexes", "pause", number, *of)["state"] == "paused"
    assert run("indexes", "resume", number, *of)["state"] == "building"
    with pytest.raises(InvalidInput, match="not complete yet"):
        run("indexes", "activate", number, *of)
    shop.work_until(lambda: shop.value("select state from public.indexes where id = %s", built["index"]) == "ready")
    assert run("indexes", "activate", number, *of)["state"] == "active"
    assert run("indexes", "activate", str(first["index"]), *of)["state"] == "active"
    assert run("indexes", "drop", number, *of)["state"] == "dropped"
    listed = run("indexes", "list", *of, text=True).splitlines()
    assert listed[0].split()[:3] == ["index", "state", "model"]
    assert [line.split()[1] for line in listed[1:]] == ["active", "dropped"]


def test_an_estimate_is_what_comes_of_it(shop: Workshop, run: Run) -> None:
    of = ("--collection", "Workshop", "--size", "96")
    found = run("indexes", "estimate", *of)
    built = run("indexes", "build", *of)["index"]
    shop.work_until(lambda: shop.value("select state from public.indexes where id = %s", built) == "ready")
    rows = shop.rows("select count(*), sum(token_count) from public.chunks where index_id = %s", built)
    assert rows == [(found["chunks"]["value"], found["tokens"]["value"])]


def test_what_can_not_be_meant_is_refused_in_words(shop: Workshop, run: Run) -> None:
    of = ("--collection", "Workshop")
    with pytest.raises(InvalidInput, match="Which index"):
        run("indexes", "drop", *of)
    with pytest.raises(NotFound, match="does not exist"):
        run("indexes", "activate", "999999", *of)
    with pytest.raises(NotFound, match="No model 'unheard-of' is registered"):
        run("indexes", "build", *of, "--model", "unheard-of")
    with pytest.raises(InvalidInput, match="overlap"):
        run("indexes", "build", *of, "--size", "32", "--overlap", "30")
    with pytest.raises(InvalidInput, match="Which model"):
        run("models", "add")
    with pytest.raises(ModelError, match="neither the packaged one nor a folder"):
        run("models", "add", "no such model, surely")


def test_models_are_listed_and_registered(run: Run) -> None:
    assert [model["name"] for model in run("models")["models"]] == [PACKAGED]
    [added] = run("models", "add", "nomic", "--hosted", "--dimensions", "768", "--window", "2048")["models"]
    assert (added["provider"], added["dimensions"], added["window"], added["default"]) == ("openai", 768, 2048, False)
    assert [model["name"] for model in run("models", "list")["models"]] == [PACKAGED, "nomic"]
    assert "nomic" in run("models", text=True)
