"""Evaluation runs as people see them: start, watch, cancel, read. ``conn`` runs as the person who asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.evaluation.judgements import read_judgements
from rag.evaluation.resampling import Interval
from rag.evaluation.scoring import RunHit, Truth, Unit
from rag.retrieval.profiles import RetrievalProfile

RunState = Literal["queued", "running", "done", "failed", "cancelled"]

#: States in which a worker has something to do.
UNFINISHED: frozenset[RunState] = frozenset({"queued", "running"})

_COLUMNS = (
    "r.id, r.set_id, r.collection_id, r.index_id, r.profile as settings, r.profile_id, r.profile_name,"
    " r.profile_version, r.model, r.corpus, r.state, r.asked, r.total, r.metrics, r.reason, r.hint, r.created_by,"
    " r.created_at, r.started_at, r.finished_at, clock_timestamp() as at"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``settings`` is the exact profile; ``metrics`` is what :func:`rag.evaluation.running.run` wrote."""

    id: int
    set_id: int
    collection_id: UUID
    index_id: int | None
    settings: dict[str, Any]
    profile_id: int | None
    profile_name: str | None
    profile_version: int | None
    model: str
    corpus: dict[str, Any]
    state: RunState
    asked: int
    total: int
    metrics: dict[str, Any]
    reason: str | None
    hint: str | None
    created_by: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    #: When the row was read, by the clock that the other times are of.
    at: datetime

    @property
    def profile(self) -> RetrievalProfile:
        """The settings that it asked with."""
        return RetrievalProfile.from_json(self.settings)

    @property
    def label(self) -> str:
        """What people call it."""
        if self.profile_name:
            return f"#{self.id} {self.profile_name} v{self.profile_version}"
        return f"#{self.id} {'Built-in settings' if self.profile == RetrievalProfile() else 'Unsaved settings'}"

    @property
    def unit(self) -> Unit:
        """What it was judged by first."""
        return "passage" if self.metrics.get("unit") == "passage" else "document"

    @property
    def judgements(self) -> str:
        """The fingerprint of what was judged when it was measured; see :func:`fingerprint_judgements`."""
        return str(self.metrics.get("judgements", ""))

    def values(self, unit: Unit | None = None) -> dict[str, Interval]:
        """Its metrics under their bare names, those by ``unit`` (its own) and those of no unit."""
        prefix = f"{unit or self.unit}:"
        found: dict[str, Interval] = {}
        for key, value in self.metrics.get("values", {}).items():
            if key.startswith(prefix) or ":" not in key:
                found[key.removeprefix(prefix)] = Interval(*value)
        return found


@dataclass(frozen=True, slots=True)
class Result:
    """One question of a run, with its hits, best first."""

    question_id: int
    question: str
    hits: list[RunHit]
    metrics: dict[str, float]
    latency_ms: float


@dataclass(frozen=True, slots=True)
class CorpusState:
    """What an index held. Equal fingerprints: the same texts, chunks and exclusions."""

    documents: int = 0
    chunks: int = 0
    embedded: int = 0
    fingerprint: str = ""

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> CorpusState:
        return cls(**{name: kept[name] for name in ("documents", "chunks", "embedded", "fingerprint") if name in kept})


def start_run(
    conn: Connection[Any],
    set_id: int,
    *,
    profile: RetrievalProfile | None = None,
    profile_id: int | None = None,
    index_id: int | None = None,
) -> int:
    """Queue a run of a stored profile, or of settings that nobody saved; without an index of the active one.

    :class:`NotAllowed` unless the person may edit, :class:`InvalidInput` where nothing is judged yet.
    """
    with _refusals():
        row = conn.execute(
            "select public.start_evaluation(%s, %s, %s, %s)",
            [set_id, index_id, None if profile is None else Jsonb(profile.to_json()), profile_id],
        ).fetchone()
    assert row is not None
    return int(row[0])


def cancel_run(conn: Connection[Any], run_id: int) -> bool:
    """Stop it; what was asked already stays. False when there was nothing to stop."""
    with _refusals():
        row = conn.execute("select public.cancel_evaluation(%s)", [run_id]).fetchone()
    return bool(row and row[0])


def resume_run(conn: Connection[Any], run_id: int) -> bool:
    """Go on with a run that failed or was cancelled; a finished one is measured again with today's judgements."""
    with _refusals():
        row = conn.execute("select public.resume_evaluation(%s)", [run_id]).fetchone()
    return bool(row and row[0])


def delete_run(conn: Connection[Any], run_id: int) -> None:
    """Delete it with its results; :class:`NotAllowed` for those who may only read."""
    if not conn.execute("delete from public.evaluation_runs where id = %s", [run_id]).rowcount:
        read_run(conn, run_id)
        raise NotAllowed("You may read this run but not delete it.", hint="Ask an owner for editing.")


def list_runs(conn: Connection[Any], set_id: int, limit: int = 100) -> list[Run]:
    """The set's runs, the newest first."""
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from public.evaluation_runs r where r.set_id = %s order by r.id desc limit %s",
            [set_id, limit],
        ).fetchall()


def read_run(conn: Connection[Any], run_id: int) -> Run:
    """One run; :class:`NotFound` when it is gone or isn't shared with the person."""
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        found = cursor.execute(f"select {_COLUMNS} from public.evaluation_runs r where r.id = %s", [run_id]).fetchone()
    if found is None:
        raise NotFound(f"There is no run {run_id}, or it isn't shared with you.")
    return found


def read_results(conn: Connection[Any], run_id: int) -> list[Result]:
    """What it found for each question that is still there, in their order."""
    rows = conn.execute(
        "select e.question_id, q.text, e.hits, e.metrics, e.latency_ms from public.evaluation_results e"
        " join public.questions q on q.id = e.question_id where e.run_id = %s order by e.question_id",
        [run_id],
    )
    return [Result(row[0], row[1], [RunHit.from_json(hit) for hit in row[2]], row[3], row[4]) for row in rows]


def read_scores(conn: Connection[Any], run_id: int) -> list[Result]:
    """As :func:`read_results`, without the hits."""
    rows = conn.execute(
        "select e.question_id, q.text, e.metrics, e.latency_ms from public.evaluation_results e"
        " join public.questions q on q.id = e.question_id where e.run_id = %s order by e.question_id",
        [run_id],
    )
    return [Result(row[0], row[1], [], row[2], row[3]) for row in rows]


def read_corpus_state(conn: Connection[Any], index_id: int) -> CorpusState:
    """What the index holds now."""
    row = conn.execute("select corpuscope.corpus_state(%s)", [index_id]).fetchone()
    return CorpusState.from_json(row[0] if row else {})


def fingerprint_judgements(conn: Connection[Any], set_id: int) -> str:
    """The same as long as nothing is judged otherwise: runs with different ones were not measured alike."""
    row = conn.execute(
        """
        select md5(coalesce(string_agg(
            concat_ws(':', q.id, j.document_id, coalesce(j.start_char, -1), coalesce(j.end_char, -1), j.grade), ','
            order by q.id, j.document_id, j.start_char, j.end_char
        ), ''))
        from public.questions q join public.judgements j on j.question_id = q.id where q.set_id = %s
        """,
        [set_id],
    ).fetchone()
    return str(row[0]) if row else ""


def read_truth(conn: Connection[Any], set_id: int, index_id: int | None) -> Truth:
    """What is judged in the set; where spans are, with the chunks of the index that they make relevant."""
    judgements = read_judgements(conn, set_id)
    has_spans = any(one.start is not None for judged in judgements.values() for one in judged)
    chunks = _relevant_chunks(conn, set_id, index_id) if has_spans and index_id is not None else {}
    return Truth(judgements, chunks)


def _relevant_chunks(conn: Connection[Any], set_id: int, index_id: int) -> dict[int, dict[int, int]]:
    """Question → chunk → grade. Where spans of a document are judged, the document as a whole says nothing more."""
    found: dict[int, dict[int, int]] = defaultdict(dict)
    rows = conn.execute(
        """
        with judged as materialized (
            select j.question_id, j.document_id, j.start_char, j.end_char, j.grade,
                   bool_or(j.start_char is not null) over (partition by j.question_id, j.document_id) as by_span
            from public.questions q join public.judgements j on j.question_id = q.id where q.set_id = %s
        )
        select j.question_id, c.id, max(j.grade)::int
        from judged j
        join public.chunks c on c.index_id = %s and c.document_id = j.document_id
            and (j.start_char is null or (c.start_char < j.end_char and c.end_char > j.start_char))
        where j.start_char is not null or not j.by_span
        group by 1, 2
        """,
        [set_id, index_id],
    )
    for question, chunk, grade in rows:
        found[question][chunk] = grade
    return dict(found)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary, hint="Ask an owner for editing.") from error
    except psycopg.errors.NoDataFound as error:
        raise NotFound(error.diag.message_primary) from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise InvalidInput(error.diag.message_primary) from error
    except psycopg.errors.RaiseException as error:
        raise InvalidInput(error.diag.message_primary) from error
