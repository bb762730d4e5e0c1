"""Encoding against sentence-transformers at fp32, and the question encoder's cold start against its cold start.

Both sides of a ratio take turns in one run, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.settings import Settings, load_settings
from rag.vectors.encoder import Encoder
from rag.vectors.models import describe_model
from rag.vectors.openvino_export import ensure_exported
from rag.vectors.random_pairs import UNRELATED

ROUNDS = 3
TEXTS_A_ROUND = 64
SENTENCES_A_TEXT = 9

Vectors = npt.NDArray[np.float32]
Line = dict[str, Any]


def run(report: Callable[[Line], None]) -> None:
    """All lines of this file, each given to ``report`` as it is known."""
    settings = load_settings(None)
    folder = ensure_exported(describe_model(settings), settings.corpuscope_home)
    for line in [*encode_lines(folder, settings), *cold_lines(folder, settings)]:
        report(line)


def encode_lines(folder: Path, settings: Settings) -> list[Line]:
    """Throughput on passages of about 200 tokens, and how alike the vectors are."""
    from sentence_transformers import SentenceTransformer

    encoder = Encoder(folder, precision="auto", cache_dir=folder / "cache")
    original = SentenceTransformer(str(describe_model(settings).path), device="cpu")
    ours, theirs = _take_turns(encoder.encode, lambda texts: original.encode(texts, normalize_embeddings=True))
    cosines = (ours.vectors * theirs.vectors).sum(axis=1)
    target = 1.9 if encoder.precision == "bf16" else 1.0
    return [
        {
            "name": f"encode, OpenVINO {encoder.precision} over sentence-transformers fp32",
            "value": round(ours.per_second, 1),
            "unit": "chunks/s",
            "ratio": round(ours.per_second / theirs.per_second, 2),
            "target": f">= {target}",
        },
        _line("cosine to fp32, least", float(cosines.min()), ">= 0.999"),
        _line("top-10 overlap with fp32", _overlap(ours.vectors, theirs.vectors), ">= 0.99"),
    ]


def cold_lines(folder: Path, settings: Settings) -> list[Line]:
    """A new process up to its first vector, the question encoder's over sentence-transformers'."""
    ours = (
        f"from pathlib import Path; from rag.vectors.encoder import Encoder; folder = Path({str(folder)!r});"
        "Encoder(folder, threads=1, cache_dir=folder / 'cache').encode(['What is this?'])"
    )
    theirs = (
        "from sentence_transformers import SentenceTransformer;"
        f"SentenceTransformer({str(describe_model(settings).path)!r}, device='cpu').encode('What is this?')"
    )
    _cold(ours)
    pairs = [(_cold(ours), _cold(theirs)) for _ in range(ROUNDS)]
    return [
        {
            "name": "question encoder, cold, over sentence-transformers cold",
            "value": round(statistics.median(mine for mine, _ in pairs), 2),
            "unit": "s",
            "ratio": round(statistics.median(mine / other for mine, other in pairs), 3),
            "target": "<= 0.1",
        }
    ]


class _Side:
    """One of the two that take turns."""

    def __init__(self, encode: Callable[[list[str]], Any]) -> None:
        self.encode = encode
        self.seconds = 0.0
        self.found: list[Vectors] = []

    def turn(self, texts: list[str]) -> None:
        started = time.perf_counter()
        self.found.append(np.asarray(self.encode(texts), np.float32))
        self.seconds += time.perf_counter() - started

    @property
    def vectors(self) -> Vectors:
        return np.concatenate(self.found)

    @property
    def per_second(self) -> float:
        return len(self.vectors) / self.seconds


def _take_turns(first: Callable[[list[str]], Any], second: Callable[[list[str]], Any]) -> tuple[_Side, _Side]:
    chance = random.Random(1)
    sides = _Side(first), _Side(second)
    for side in sides:
        side.encode(_passages(8, chance))
    for _ in range(ROUNDS):
        texts = _passages(TEXTS_A_ROUND, chance)
        for side in sides:
            side.turn(texts)
    return sides


def _passages(number: int, chance: random.Random) -> list[str]:
    return [" ".join(chance.sample(UNRELATED, SENTENCES_A_TEXT)) for _ in range(number)]


def _overlap(ours: Vectors, theirs: Vectors) -> float:
    """Mean share of each passage's ten nearest others that both sides agree on."""
    tops = []
    for vectors in (ours, theirs):
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -2)
        tops.append(np.argsort(-cosines, axis=1)[:, :10])
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*tops, strict=True)]))


def _cold(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - started


def _line(name: str, value: float, target: str) -> Line:
    return {"name": name, "value": round(value, 5), "unit": "", "ratio": round(value, 5), "target": target}
