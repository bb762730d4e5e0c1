"""`corpuscope eval --set`: what it prints, and when it fails a build."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from rag.cli import main, make_parser
from rag.commands.cli_gate import judge
from rag.commands.cli_output import Output
from rag.commands.cli_session import Session
from rag.errors import CorpuscopeError, InvalidInput, NotFound, ProviderError
from rag.evaluation.question_sets import create_set
from rag.evaluation.running import run
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import save_profile
from rag.settings import load_settings
from rag.store.database import Database
from tests.integration.judged import DOCUMENTS, Judged


class InlineSession(Session):
    """In place of a worker, the command itself does what waits."""

    judged: Judged

    def keep_worker(self) -> None:
        for (number,) in self.judged.rows("select id from public.evaluation_runs where state = 'queued'"):
            run(self.judged.errand(), number)


class Gate:
    """The command over one judged collection with a good and a bad profile."""

    def __init__(self, database: Database) -> None:
        self.judged = Judged(database, LOCAL_USER)
        with database.as_user(LOCAL_USER) as conn:
            save_profile(conn, self.judged.collection, "Good", RetrievalProfile(dense_weight=0.1))
            save_profile(conn, self.judged.collection, "Bad", RetrievalProfile(mode="dense"))

    def run(self, *options: str, code: int = 0, as_json: bool = True) -> Any:
        arguments = make_parser().parse_args(["eval", "--set", "topics", "--collection", "Corpus", *options])
        out = Output(json=as_json, stdout=io.StringIO(), stderr=io.StringIO())
        session = InlineSession(load_settings(None), self.judged.database, out)
        session.judged = self.judged
        assert judge(session, arguments) == code
        assert isinstance(out.stdout, io.StringIO)
        return json.loads(out.stdout.getvalue()) if as_json else out.stdout.getvalue()


@pytest.fixture
def gate(database: Database) -> Gate:
    return Gate(database)


def test_a_run_is_printed_with_its_intervals(gate: Gate) -> None:
    found = gate.run("--profile", "Good")
    assert (found["profile"], found["version"], found["questions"], found["unit"]) == ("Good", 1, DOCUMENTS, "document")
    assert found["metrics"]["ndcg@10"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert "baseline" not in found
    assert gate.judged.read(found["run"]).state == "done"
    text = gate.run(as_json=False)
    assert "Built-in settings, by document" in text
    assert "ndcg@10" in text


def test_a_worse_profile_fails_the_build_and_only_if_asked_to(gate: Gate) -> None:
    baseline = str(gate.run("--profile", "Good")["run"])
    worse = gate.run("--profile", "Bad", "--baseline", baseline, "--fail-if-worse", code=1)["baseline"]
    assert worse["verdict"] == "worse"
    assert worse["p"] < worse["alpha"] == 0.05
    assert (worse["run"], worse["metric"], worse["before"]) == (int(baseline), "ndcg@10", 1.0)
    assert worse["wins"] == 0
    gate.run("--profile", "Bad", "--baseline", baseline)
    text = gate.run("--profile", "Bad", "--baseline", baseline, "--fail-if-worse", code=1, as_json=False)
    assert f"Worse than run {baseline}: ndcg@10" in text


def test_an_equal_and_a_better_profile_pass(gate: Gate) -> None:
    good, bad = (str(gate.run("--profile", name)["run"]) for name in ("Good", "Bad"))
    same = gate.run("--profile", "Good", "--baseline", good, "--fail-if-worse")
    assert same["baseline"]["verdict"] == "no difference"
    better = gate.run("--profile", "Good", "--baseline", bad, "--fail-if-worse")
    assert better["baseline"]["verdict"] == "better"


def test_a_baseline_with_other_judgements_is_measured_again_first(gate: Gate) -> None:
    baseline = gate.run("--profile", "Good")["run"]
    for question, document in zip(gate.judged.questions, gate.judged.documents[1:], strict=False):
        gate.judged.judge(question, document)
    found = gate.run("--profile", "Good", "--baseline", str(baseline), "--fail-if-worse")
    assert found["baseline"]["before"] == found["baseline"]["after"] < 1
    assert gate.judged.read(baseline).judgements == gate.judged.read(found["run"]).judgements


def test_what_cannot_be_compared_is_said_before_anything_is_asked(gate: Gate) -> None:
    with gate.judged.database.as_user(LOCAL_USER) as conn:
        other = create_set(conn, gate.judged.collection, "Other")
    queued = gate.judged.start()
    with gate.judged.database.as_owner() as conn:
        conn.execute("update public.evaluation_runs set state = 'failed'")
    with pytest.raises(InvalidInput, match="not finished"):
        gate.run("--baseline", str(queued))
    with gate.judged.database.as_owner() as conn:
        conn.execute("update public.evaluation_runs set state = 'done', set_id = %s", [other])
    with pytest.raises(InvalidInput, match="another set"):
        gate.run("--baseline", str(queued))
    with pytest.raises(NotFound, match="no run 999"):
        gate.run("--baseline", "999")
    with pytest.raises(NotFound, match="no profile"):
        gate.run("--profile", "Nobody's")
    assert gate.judged.rows("select count(*) from public.evaluation_runs") == [(1,)]


def test_a_run_that_fails_is_an_error_in_words(gate: Gate) -> None:
    def broken() -> None:
        raise ProviderError("No such model.", hint="Choose another.")

    gate.judged.embedder.before = broken
    with pytest.raises(CorpuscopeError, match="No such model"):
        gate.run("--profile", "Bad")


def test_an_interrupted_command_takes_its_run_back(gate: Gate) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    gate.judged.embedder.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        gate.run("--profile", "Bad")
    assert gate.judged.rows("select state from public.evaluation_runs") == [("cancelled",)]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--set", "Topics"],
        ["--collection", "Corpus"],
        [".", "--set", "Topics", "--collection", "Corpus"],
        [".", "--baseline", "3"],
        ["--set", "Topics", "--collection", "Corpus", "--fail-if-worse"],
        ["--set", "Topics", "--collection", "Corpus", "--mode", "dense"],
        ["--set", "Topics", "--collection", "Corpus", "--baseline", "latest"],
    ],
)
def test_what_does_not_go_together_is_wrong_usage(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", *options])
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
