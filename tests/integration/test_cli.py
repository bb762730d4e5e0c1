"""The command line as scripts see it: JSON shapes, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rag.cli import make_parser
from rag.commands.children import settings_environment
from rag.corpus.collections import find_collection
from rag.corpus.documents import list_documents
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.scopes import Piece, make_scope
from rag.retrieval.stored_profiles import save_profile
from rag.settings import Settings
from rag.store.database import Database
from rag.store.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(300)

EAGLE = "The eagle owl is one of the largest owls. It hunts hares and hedgehogs in forests and on rocky slopes."
BREAD = "Sourdough bread rises without yeast from a packet. The starter is fed with flour and water every day."


class CommandLine:
    """Runs `corpuscope` on one data folder."""

    def __init__(self, home: Path) -> None:
        self._environment = settings_environment(Settings(_env_file=None, corpuscope_home=home))

    def run(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "rag.cli", *arguments],
            cwd=ROOT,
            env={**os.environ, **self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def rows(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*arguments, "--json", code=code).stdout.splitlines()]


@pytest.fixture(scope="module")
def corpuscope(server: EmbeddedPostgres) -> CommandLine:
    """The command line on the test server's own database; the server stays up between the commands."""
    return CommandLine(server.home)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files that can be read, one in a folder of its own, one that can't, and hidden ones."""
    made = tmp_path_factory.mktemp("files")
    (made / "owl.txt").write_text(EAGLE)
    (made / "kitchen" / ".cache").mkdir(parents=True)
    (made / "kitchen" / "bread.md").write_text(f"# Bread\n\n{BREAD}\n")
    (made / "kitchen" / ".cache" / "x.txt").write_text("hidden")
    (made / "kitchen" / ".hidden").write_text("hidden")
    (made / "kitchen" / "empty.txt").write_text("")
    return made


@pytest.fixture(scope="module")
def ingested(corpuscope: CommandLine, folder: Path) -> list[dict[str, Any]]:
    """The rows of `ingest --wait` into the collection Birds; the worker is the command's own."""
    return corpuscope.rows("ingest", str(folder), "--collection", "Birds", "--wait", code=1)


def test_ingest_waits_and_prints_a_row_a_file(ingested: list[dict[str, Any]], folder: Path) -> None:
    assert [set(row) for row in ingested] == [{"file", "status", "chunks", "error"}] * 3
    rows = {row["file"]: row for row in ingested}
    assert {file: row["status"] for file, row in rows.items()} == {
        str(folder / "owl.txt"): "ready",
        str(folder / "kitchen" / "bread.md"): "ready",
        str(folder / "kitchen" / "empty.txt"): "failed",
    }
    assert rows[str(folder / "owl.txt")] == {
        "file": str(folder / "owl.txt"),
        "status": "ready",
        "chunks": 1,
        "error": None,
    }
    assert "text" in rows[str(folder / "kitchen" / "empty.txt")]["error"]


@pytest.mark.usefixtures("ingested")
def test_ingesting_again_says_duplicate(corpuscope: CommandLine, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "new.txt"
    other.write_text("Something new about owls.")
    rows = corpuscope.rows("ingest", str(folder / "owl.txt"), str(other), "--collection", "birds")
    assert [(row["status"], row["chunks"]) for row in rows] == [("duplicate", 1), ("stored", 0)]


def test_a_name_is_kept_beside_or_replaced_but_not_within_one_run(corpuscope: CommandLine, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.txt").write_text(name)
    assert len(corpuscope.rows("ingest", str(tmp_path), "--collection", "Names", "--replace")) == 2
    (tmp_path / "a" / "same.txt").write_text("changed")
    corpuscope.rows("ingest", str(tmp_path / "a"), "--collection", "Names", "--replace")
    collections = {c["name"]: c for c in corpuscope.json("status")["collections"]}
    assert collections["Names"]["documents"] == 3


@pytest.mark.usefixtures("ingested")
def test_search_prints_hits_of_the_documented_shape(corpuscope: CommandLine) -> None:
    hits = corpuscope.json("search", "Which owl hunts hedgehogs?", "--collection", "Birds", "-k", "1")["hits"]
    assert [set(hit) for hit in hits] == [
        {"rank", "document", "title", "page", "start", "end", "text"}
        | {"similarity", "lexical", "score", "fused_rank", "rerank_score"}
    ]
    (hit,) = hits
    assert (hit["rank"], hit["document"], hit["page"]) == (1, "owl.txt", None)
    assert hit["text"] == EAGLE[hit["start"] : hit["end"]]
    assert 0.3 < hit["similarity"] <= 1
    assert hit["lexical"] > 0


@pytest.fixture(scope="module")
def profiles(server: EmbeddedPostgres, ingested: list[dict[str, Any]]) -> UUID:
    """Two versions of `strict` and one of `wide` in the collection Birds, and the selection Bread of it; its id."""
    # Without the server itself: who closes a database with one lets go of it, and it is everybody's.
    with Database(server.dsn("authenticator")) as database, database.as_user(LOCAL_USER) as conn:
        collection = find_collection(conn, "Birds").id
        save_profile(conn, collection, "strict", RetrievalProfile(mode="lexical", k=1))
        save_profile(conn, collection, "strict", RetrievalProfile(mode="lexical", k=2))
        save_profile(conn, collection, "wide", RetrievalProfile(k=50, diversity=0.5, neighbours=1))
        (bread,) = (one.id for one in list_documents(conn, collection) if one.name == "bread.md")
        make_scope(conn, collection, "Bread", [Piece(bread, 0, len(BREAD))])
    return collection


def test_profiles_are_listed_made_default_and_taken_back(corpuscope: CommandLine, profiles: UUID) -> None:
    def listed(*arguments: str) -> list[tuple[str, int, bool]]:
        found = corpuscope.json("profiles", *arguments, "--collection", "Birds")["profiles"]
        return [(one["name"], one["version"], one["default"]) for one in found]

    assert listed() == [("strict", 2, False), ("wide", 1, False)]
    assert listed("strict") == [("strict", 2, False), ("strict", 1, False)]
    made = corpuscope.json("profiles", "strict", "--collection", "Birds", "--make-default", "--number", "1")
    assert made["default"]["settings"]["k"] == 1
    assert made["changes"] == ["Method: words, before hybrid", "Passages (k): 1, before 10"]
    assert listed() == [("strict", 2, False), ("wide", 1, False), ("strict", 1, True)]
    assert len(corpuscope.json("search", "owl forests hedgehogs", "--collection", "Birds")["hits"]) == 1
    text = corpuscope.run("profiles", "wide", "--collection", "Birds", "--make-default").stdout
    assert text.startswith("“wide”, version 1, is the default now.\n  Method: hybrid, before words")
    assert corpuscope.json("profiles", "--collection", "Birds", "--undo-default")["default"]["name"] == "strict"
    assert corpuscope.json("profiles", "--collection", "Birds", "--undo-default")["default"] is None
    done = corpuscope.run("profiles", "--collection", "Birds", "--undo-default", code=1)
    assert "No change of the default profile is left" in done.stderr
    assert (
        "has no version 7"
        in corpuscope.run("profiles", "wide", "--collection", "Birds", "--make-default", "--number", "7", code=1).stderr
    )
    assert "k 50, diversity 0.5" in corpuscope.run("profiles", "wide", "--collection", "Birds").stdout


def test_a_saved_selection_is_searched_listed_and_deleted(corpuscope: CommandLine, profiles: UUID) -> None:
    search = ("search", "bread hedgehogs owl", "--collection", "Birds", "--mode", "lexical")
    assert "owl.txt" in {hit["document"] for hit in corpuscope.json(*search)["hits"]}
    assert [hit["document"] for hit in corpuscope.json(*search, "--scope", "bread")["hits"]] == ["bread.md"]
    why = corpuscope.json("why", *search[1:], "--scope", "Bread", "--document", "owl.txt")
    assert why["lost_at"] == "scoped"
    (listed,) = corpuscope.json("scopes", "--collection", "Birds")["scopes"]
    assert set(listed) == {"name", "passages", "documents", "created_at"}
    assert (listed["name"], listed["passages"], listed["documents"]) == ("Bread", 1, 1)
    answer = corpuscope.json("ask", "Which owl hunts hedgehogs?", "--collection", "Birds", "--scope", "Bread")
    assert "hedgehogs" not in answer["answer"]
    assert {one["document"] for one in answer["citations"]} <= {"bread.md"}
    assert corpuscope.json("scopes", "delete", "bread", "--collection", "Birds")["deleted"]["name"] == "Bread"
    assert "No selection has been saved" in corpuscope.run("scopes", "--collection", "Birds").stdout
    assert "no selection named “Bread”" in corpuscope.run(*search, "--scope", "Bread", code=1).stderr
    assert "Say which selection goes" in corpuscope.run("scopes", "delete", "--collection", "Birds", code=1).stderr


def test_questions_are_searched_and_answered_under_a_saved_profile(corpuscope: CommandLine, profiles: UUID) -> None:
    search = ("search", "owl forests hedgehogs", "--collection", "Birds", "--profile", "strict")
    hits = corpuscope.json(*search)["hits"]
    assert 1 <= len(hits) <= 2
    assert {hit["rerank_score"] for hit in hits} == {None}
    assert [hit["fused_rank"] for hit in hits] == [hit["rank"] for hit in hits]
    answer = corpuscope.json(
        "ask", "Which owl hunts hedgehogs?", "--collection", "Birds", "--profile", "strict", "-k", "1"
    )
    assert (answer["status"], len(answer["citations"])) == ("complete", 1)
    done = corpuscope.run(*search, "--rerank", "corpuscope-tests/no-such-reranker", code=1)
    assert "could not be downloaded" in done.stderr
    assert "switch reranking off" in done.stderr
    assert "no profile named 'other'" in corpuscope.run(*search[:-1], "other", code=1).stderr


@pytest.mark.usefixtures("ingested")
def test_search_options_change_the_search(corpuscope: CommandLine) -> None:
    lexical = corpuscope.json("search", "hedgehogs", "--collection", "Birds", "--mode", "lexical")["hits"]
    assert [hit["document"] for hit in lexical] == ["owl.txt"]
    assert corpuscope.json("search", "hedgehogs", "--collection", "Birds", "--threshold", "0.99") == {"hits": []}
    text = corpuscope.run("search", "hedgehogs", "--collection", "Birds", "--threshold", "0.99")
    assert text.stdout == "Nothing was found.\n"


@pytest.mark.usefixtures("ingested")
def test_why_names_the_stage_that_lost_a_document(corpuscope: CommandLine) -> None:
    question = ("Which owl hunts hedgehogs?", "--collection", "Birds")
    asked = ("why", *question, "-k", "1")
    # What other tests stored may stand in between.
    k = 1 + [hit["document"] for hit in corpuscope.json("search", *question)["hits"]].index("bread.md")
    assert k > 1
    lost = corpuscope.json(*asked, "--document", "bread")
    assert set(lost) == {"question", "wanted", "document", "chunk", "start", "end", "rank", "lost_at", "stages", "cure"}
    assert (lost["document"], lost["rank"], lost["lost_at"]) == ("bread.md", None, "k")
    assert lost["stages"][-1]["advice"] == [{"words": f"Raise k from 1 to {k}.", "fix": {"k": k}, "tried": True}]
    assert corpuscope.json(*asked, "--document", "empty.txt")["lost_at"] == "parsed"
    text = corpuscope.run(*asked, "--phrase", "hunts hares and  HEDGEHOGS").stdout
    assert text.endswith("It is there: number 1 of the results.\n")
    assert "capitals" in text
    for wrong in (("--document", "no such"), ("--document", "t"), ()):
        assert "error" in corpuscope.json(*asked, *wrong, code=1)


@pytest.mark.usefixtures("ingested")
def test_ask_streams_and_ends_with_citations(corpuscope: CommandLine) -> None:
    answer = corpuscope.json("ask", "What does the eagle owl hunt?", "--collection", "Birds")
    assert set(answer) == {"answer", "status", "kind", "model", "error", "citations"}
    assert (answer["status"], answer["kind"], answer["error"]) == ("complete", "extractive", None)
    first = answer["citations"][0]
    assert set(first) == {"number", "document", "title", "page", "start", "end", "quote"}
    assert first["quote"] == EAGLE[first["start"] : first["end"]]
    said = corpuscope.run("ask", "What does the eagle owl hunt?", "--collection", "Birds").stdout
    assert re.search(r"^> .+ \[1\]\n\n(\[\d\] owl\.txt: “.+”\n)+\Z", said, flags=re.MULTILINE)


def test_eval_scores_a_set_and_leaves_nothing(corpuscope: CommandLine, tmp_path: Path) -> None:
    documents: list[dict[str, Any]] = [
        {"id": "owl", "title": "Owls", "text": EAGLE},
        {"id": "bread", "title": "", "text": BREAD},
        {"id": "twin", "title": "Owls again", "text": EAGLE},
    ]
    queries: list[dict[str, Any]] = [
        {"id": "q1", "text": "What does the owl hunt?"},
        {"id": "q2", "text": "How does sourdough rise?"},
    ]
    start = EAGLE.index("It hunts")
    spans: list[dict[str, Any]] = [
        {"query_id": "q1", "doc_id": "owl", "start": start, "end": len(EAGLE), "text": EAGLE[start:]}
    ]
    for name, rows in {"corpus": documents, "queries": queries, "spans": spans}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "qrels.tsv").write_text("query_id\tdoc_id\trelevance\nq1\towl\t1\nq1\ttwin\t1\nq2\tbread\t1\n")
    before = {c["name"] for c in corpuscope.json("status")["collections"]}
    scored = corpuscope.json("eval", str(tmp_path))
    assert scored["queries"] == 2
    assert set(scored["metrics"]) == {
        "ndcg@10",
        "recall@10",
        "recall@100",
        "mrr@10",
        "char_recall@4000",
        "char_recall@8000",
    }
    assert set(scored["metrics"].values()) == {1.0}
    (tmp_path / "spans.jsonl").unlink()
    limited = corpuscope.json("eval", str(tmp_path), "--mode", "lexical", "--limit-queries", "1")
    assert (limited["queries"], len(limited["metrics"])) == (1, 4)
    assert {c["name"] for c in corpuscope.json("status")["collections"]} == before


@pytest.mark.usefixtures("ingested")
def test_status_says_what_runs(corpuscope: CommandLine) -> None:
    status = corpuscope.json("status")
    assert set(status) == {"app", "database", "workers", "collections"}
    assert status["database"]["pending_migrations"] == []
    birds = next(c for c in status["collections"] if c["name"] == "Birds")
    assert birds["stages"]["failed"] == 1
    assert birds["role"] == "owner"
    assert "Birds" in corpuscope.run("status").stdout


def test_migrate_is_done_again_without_harm(corpuscope: CommandLine) -> None:
    names = sorted(path.name for path in (ROOT / "migrations").glob("*.sql"))
    assert corpuscope.json("migrate") == {"migrations": names}


def test_failures_exit_with_1_and_say_why_on_both_streams(corpuscope: CommandLine) -> None:
    done = corpuscope.run("search", "x", "--collection", "Nowhere", "--json", code=1)
    assert json.loads(done.stdout)["error"] == "There is no collection named “Nowhere”."
    assert "There is no collection named “Nowhere”." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "x"],
        ["search", "x", "--collection", "c", "-k", "0"],
        ["search", "x", "--collection", "c", "--threshold", "2"],
        ["search", "x", "--collection", "c", "--mode", "magic"],
        ["search", "x", "--collection", "c", "--diversity", "-1"],
        ["profiles", "--collection", "c", "--make-default", "--undo-default"],
        ["ingest", "/no/such/file", "--collection", "c"],
        ["eval", "/no/such/folder"],
        ["no-such-command"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(arguments)
    assert ended.value.code == 2
    assert "usage: corpuscope" in capsys.readouterr().err


def test_a_bad_setting_exits_with_2(corpuscope: CommandLine) -> None:
    done = corpuscope.run("status", code=2, CORPUSCOPE_PORT="99999")
    assert "CORPUSCOPE_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_is_documented_with_its_options() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    parser = make_parser()
    commands = next(action.choices for action in parser._actions if hasattr(action, "choices") and action.choices)
    assert isinstance(commands, dict)
    for name, command in commands.items():
        heading = " ".join(line for line in text.splitlines() if line.startswith(f"## `corpuscope {name}"))
        assert heading, f"docs/cli.md lacks {name}"
        options = {action.option_strings[-1] for action in command._actions if action.option_strings}
        for option in options - {"--help", "--json"}:
            assert option in heading, f"docs/cli.md lacks {option} of {name}"


@pytest.mark.parametrize("arguments", [["--json", "status"], ["status", "--json"]])
def test_json_may_stand_on_either_side(arguments: list[str]) -> None:
    assert make_parser().parse_args(arguments).json is True
    assert make_parser().parse_args(["status"]).json is False
