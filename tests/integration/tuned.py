"""Findings of a search for better settings, made of numbers alone, and a stored search that has them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
from psycopg.types.json import Jsonb

from rag.evaluation.findings import Changed, Findings, Latency, Tried, outcome_values
from rag.evaluation.resampling import Interval, intervals
from rag.evaluation.search_space import distances, list_settings
from rag.evaluation.trade_offs import Depth, Floor
from rag.evaluation.tuning import tune_settings
from rag.retrieval.profiles import RetrievalProfile
from rag.store.database import Database


def make_values(settings: list[RetrievalProfile], questions: int, best: float, height: float) -> Any:
    """[settings, questions]: the weight ``best`` is ahead by ``height`` times the square of the distance."""
    rng = np.random.default_rng(5)
    hardness = rng.uniform(0.2, 0.8, questions)
    weights = np.array([{"dense": 1.0, "lexical": 0.0}.get(one.mode, one.dense_weight) for one in settings])
    merit = -height * ((weights - best) ** 2 + np.array([one.diversity for one in settings]))
    return np.clip(hardness + merit[:, None] + rng.normal(0, 0.05, (len(settings), questions)), 0, 1)


def make_findings(
    questions: int = 120,
    *,
    best: float = 0.2,
    height: float = 1.0,
    present: RetrievalProfile | None = None,
    question_ids: tuple[int, ...] = (),
) -> Findings:
    """What the procedure makes of such numbers; k and the threshold are made up."""
    present = present or RetrievalProfile()
    settings = list_settings(present)
    values = make_values(settings, questions, best, height)
    outcome = tune_settings(values, distances(settings))
    before, after = values[0], values[outcome.candidate]
    depths = [Depth(k, Interval(r, r - 0.02, r + 0.02, questions), 0.2, k * 600.0) for k, r in ((5, 0.5), (10, 0.6))]
    return Findings(
        unit="document",
        questions=questions,
        left_out=1,
        present=present,
        candidate=settings[outcome.candidate],
        scores=(float(before.mean()), float(after.mean())),
        wins=int((after > before).sum()),
        losses=int((after < before).sum()),
        tried=[
            Tried(profile, float(values[n].mean()), added)
            for n, (profile, added) in enumerate(zip(settings, intervals((values - before).T), strict=True))
        ],
        changed=[Changed(id, 0.25, 0.75) for id in question_ids],
        depths=depths,
        enough=5,
        floor=Floor(0.21, Interval(0.001, 0.0, 0.004, 9), Interval(0.14, 0.1, 0.2, 9), 0.6, True),
        latency=Latency(60, 9.0, 14.0, 12.0, 19.0),
        model="tiny",
        fingerprint="",
        **outcome_values(outcome),
    )


def store_tuning(database: Database, user: UUID, set_id: int, findings: Findings | None, **values: Any) -> int:
    """A search of ``user``'s as the worker leaves it: done with these findings, else as ``values`` say."""
    columns: dict[str, Any] = {
        "profile": Jsonb((findings.present if findings else RetrievalProfile()).to_json()),
        "objective": "ndcg",
        "budget": 8000,
        "state": "done" if findings else "queued",
        "asked": findings.questions if findings else 0,
        "total": findings.questions if findings else 40,
        "result": Jsonb(findings.to_json()) if findings else None,
        "created_by": user,
    } | values
    names = ", ".join(columns)
    marks = ", ".join(["%s"] * len(columns))
    with database.as_owner() as conn:
        row = conn.execute(
            f"insert into public.tunings (set_id, collection_id, {names})"
            f" select id, collection_id, {marks} from public.evaluation_sets where id = %s returning id",
            [*columns.values(), set_id],
        ).fetchone()
    assert row is not None
    return int(row[0])
