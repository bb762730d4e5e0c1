"""`corpuscope eval --set`: a run of a collection's own questions, and whether it is worse than an earlier one."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from rag.commands.cli_output import Output, table
from rag.commands.cli_session import Session, open_session
from rag.corpus.collections import find_collection
from rag.errors import CorpuscopeError, InvalidInput
from rag.evaluation.comparing import ALPHA, Comparison, MetricDifference, compare_runs
from rag.evaluation.question_sets import find_set
from rag.evaluation.runs import (
    UNFINISHED,
    Run,
    cancel_run,
    fingerprint_judgements,
    read_run,
    read_scores,
    resume_run,
    start_run,
)
from rag.records import Collection
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import StoredProfile, list_versions, load_profile, read_default
from rag.settings import Settings

#: What the gate is about.
METRIC = "ndcg@10"


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print {"run", "questions", "metrics", …}; 1 when it is significantly worse and that was asked about."""
    with open_session(settings, out) as session:
        return judge(session, arguments)


def judge(session: Session, arguments: Namespace) -> int:
    """The same with the database open."""
    with session.as_user() as conn:
        collection = find_collection(conn, arguments.collection)
        set_id = find_set(conn, collection.id, arguments.set).id
    baseline = None if arguments.baseline is None else _baseline(session, arguments.baseline, set_id)
    found = _evaluate(session, _start(session, collection, set_id, arguments))
    if baseline is None:
        session.out.result(_as_json(found), _as_text(found))
        return 0
    comparison = _compare(session, _as_measured(session, baseline), found)
    one = comparison.metric(METRIC)
    session.out.result(
        _as_json(found) | {"baseline": _gate_json(comparison, one)}, f"{_as_text(found)}\n\n{_words(comparison)}"
    )
    return 1 if arguments.fail_if_worse and one.verdict == "worse" else 0


def _start(session: Session, collection: Collection, set_id: int, arguments: Namespace) -> int:
    with session.as_user() as conn:
        stored: StoredProfile | None
        if arguments.profile is None:
            stored = read_default(conn, collection.id)
        else:
            load_profile(conn, collection.id, arguments.profile)  # names those there are
            stored = list_versions(conn, collection.id, arguments.profile)[0]
        return start_run(
            conn,
            set_id,
            profile=RetrievalProfile() if stored is None else None,
            profile_id=None if stored is None else stored.id,
            index_id=arguments.index,
        )


def _baseline(session: Session, number: int, set_id: int) -> Run:
    """The run to compare with, before anything is asked in vain."""
    with session.as_user() as conn:
        baseline = read_run(conn, number)
    if baseline.set_id != set_id:
        raise InvalidInput(f"Run {number} asked another set of questions.", hint="Choose a run of this set.")
    if baseline.state != "done":
        raise InvalidInput(f"Run {number} is not finished.", hint="Choose a finished run.")
    return baseline


def _as_measured(session: Session, baseline: Run) -> Run:
    """The baseline by today's judgements: measured again, without a search, if they have changed."""
    with session.as_user() as conn:
        judged = fingerprint_judgements(conn, baseline.set_id)
        if judged == baseline.judgements:
            return baseline
        session.out.say(f"Judgements have changed since run {baseline.id}; it is measured again.")
        resume_run(conn, baseline.id)
    return _evaluate(session, baseline.id)


def _evaluate(session: Session, number: int) -> Run:
    """Wait until the run is over; an interrupted command takes it back."""

    def look() -> bool:
        with session.as_user() as conn:
            found = read_run(conn, number)
        session.out.show(_progress(found))
        return found.state not in UNFINISHED

    try:
        session.wait(look)
    except BaseException:
        with session.as_user() as conn:
            cancel_run(conn, number)
        raise
    with session.as_user() as conn:
        found = read_run(conn, number)
    if found.state != "done":
        raise CorpuscopeError(found.reason or f"Run {number} was cancelled.", hint=found.hint)
    return found


def _progress(found: Run) -> str:
    waiting = f" ({found.reason})" if found.reason else ""
    return f"Asked {found.asked:,} of {found.total:,} questions{waiting}"


def _compare(session: Session, baseline: Run, found: Run) -> Comparison:
    with session.as_user() as conn:
        return compare_runs(baseline, found, read_scores(conn, baseline.id), read_scores(conn, found.id))


def _as_json(found: Run) -> dict[str, Any]:
    return {
        "run": found.id,
        "profile": found.profile_name,
        "version": found.profile_version,
        "index": found.index_id,
        "questions": found.asked,
        "unit": found.unit,
        "metrics": {
            name: {"mean": round(value.mean, 6), "low": round(value.low, 6), "high": round(value.high, 6)}
            for name, value in found.values().items()
        },
    }


def _as_text(found: Run) -> str:
    rows = [
        [name, f"{value.mean:.4f}", f"{value.low:.4f}", f"{value.high:.4f}"] for name, value in found.values().items()
    ]
    lines = table(rows, ["metric", f"{found.asked} questions", "from", "to (95 %)"])
    return f"Run {found.label}, by {found.unit}\n{lines}"


def _gate_json(comparison: Comparison, one: MetricDifference) -> dict[str, Any]:
    return {
        "run": comparison.before.id,
        "metric": METRIC,
        "before": round(one.before, 6),
        "after": round(one.after, 6),
        "difference": round(one.difference.mean, 6),
        "low": round(one.difference.low, 6),
        "high": round(one.difference.high, 6),
        "p": round(one.difference.p, 6),
        "alpha": ALPHA,
        "verdict": one.verdict,
        "questions": one.difference.n,
        "wins": one.wins,
        "losses": one.losses,
        "ties": one.ties,
    }


def _words(comparison: Comparison) -> str:
    one = comparison.metric(METRIC)
    verdict = {"better": "Better than", "worse": "Worse than", "no difference": "No significant difference from"}
    return (
        f"{verdict[one.verdict]} run {comparison.before.id}: {METRIC} {one.before:.4f} → {one.after:.4f},"
        f" {one.difference.mean:+.4f} ({one.difference.low:+.4f} to {one.difference.high:+.4f}),"
        f" p = {one.difference.p:.4f} over {one.difference.n} questions;"
        f" {one.wins} better, {one.losses} worse, {one.ties} the same."
    )
