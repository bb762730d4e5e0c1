"""Near-duplicates planted in 20,000 passages: how many are found and how many found are meant, by kind; time, memory.

A found pair is two passages in one group at the slider's first place. Recall: planted pairs that are in one group.
Precision, of the groups with a planted copy of the kind: the other passages in them that are its original, or an exact
copy or re-ordering of that one. Passages of half the sentences are planted too; those found with them count against it.
Time and memory are also taken at 100,000 passages, in a process each; reading from the database is not in it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.planted_copies import KINDS, Planted, make_passages, plant
from rag.health.duplicate_groups import find_stars
from rag.health.health_job import FLOOR
from rag.health.phrase_join import join_sets
from rag.health.phrase_sets import read_phrases

#: Where the page's slider stands at first.
THRESHOLD = 0.7
_EACH = 100
_SEED = 5


def run() -> list[dict[str, Any]]:
    """Recall and precision of each kind, then seconds and megabytes by size."""
    measured = {size: _apart(size) for size in (20_000, 100_000)}
    rows: list[dict[str, Any]] = []
    for kind in KINDS[:-1]:
        sure = kind in ("exact", "whitespace")
        for what in ("recall", "precision"):
            rows.append(
                {
                    "name": f"{what} of near-duplicates, {kind}, in 20,000 passages",
                    "value": round(measured[20_000][what][kind], 4),
                    "unit": f"of {_EACH}" if what == "recall" else "of those found",
                    "target": ">= 1.0" if sure else ">= 0.95",
                }
            )
    for size, found in measured.items():
        rows.append(
            {"name": f"near-duplicates of {size:,} passages", "value": round(found["seconds"], 1), "unit": "s"}
            | {key: found[key] for key in ("pairs", "compared", "grouped_at_slider", "words")}
        )
        rows.append({"name": f"memory of it, {size:,} passages", "value": round(found["mb"]), "unit": "MB"})
    return rows


def measure(size: int) -> dict[str, Any]:
    """One size in this process. ``mb`` is what it took on top of the texts at its highest."""
    rng = np.random.default_rng(_SEED)
    passages = make_passages(size - _EACH * len(KINDS), rng)
    texts, planted = plant(passages, _EACH, rng)
    words = sum(len(text.split()) for text in texts)
    del passages
    before = _peak_mb()
    began = time.perf_counter()
    sets = read_phrases(texts)
    pairs = join_sets(sets, FLOOR)
    seconds = time.perf_counter() - began
    shape = sets.shape.tolist()
    began = time.perf_counter()
    stars = find_stars(
        Counter(shape), zip(pairs.a.tolist(), pairs.b.tolist(), pairs.score.tolist(), strict=True), THRESHOLD
    )
    grouping = time.perf_counter() - began
    group = {one: number for number, star in enumerate(stars) for one in (star.centre, *(o for o, _ in star.others))}
    recall, precision = score(planted, [group.get(one) for one in shape])
    return {
        "recall": recall,
        "precision": precision,
        "seconds": seconds,
        "mb": _peak_mb() - before,
        "pairs": len(pairs.a),
        "compared": pairs.compared,
        "grouped_at_slider": f"{grouping:.2f} s",
        "words": words,
    }


def score(planted: Sequence[Planted], groups: Sequence[int | None]) -> tuple[dict[str, float], dict[str, float]]:
    """Recall and precision by kind; ``groups`` says which group each passage is in, None for none."""
    members: dict[int, set[int]] = defaultdict(set)
    for place, group in enumerate(groups):
        if group is not None:
            members[group].add(place)
    hits: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for one in planted:
        group = groups[one.copy]
        found = members[group] - {one.copy} if group is not None else set()
        hits[one.kind] += one.original in found
        told[one.kind] += len(found)
    each = Counter(one.kind for one in planted)
    recall: dict[str, float] = {kind: hits[kind] / each[kind] for kind in each}
    precision: dict[str, float] = {kind: hits[kind] / told[kind] if told[kind] else 1.0 for kind in each}
    return recall, precision


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _apart(size: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_health", str(size)]
    done = subprocess.run(
        command, cwd=Path(__file__).resolve().parents[1], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
