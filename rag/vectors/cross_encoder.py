"""An exported cross encoder run by OpenVINO: a question and passages in, a score for each out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from rag.errors import ModelError, ModelNotReady
from rag.vectors.encoder import BATCH_SIZE, compile_graph, count_cores, load_openvino
from rag.vectors.openvino_export import read_description


class CrossEncoder:
    """A cross encoder from its export folder, in fp32. May be shared between threads; one scores at a time.

    ``threads``: None takes every core. ``cache_dir``: where compiled models are kept, None for nowhere.
    """

    def __init__(self, folder: Path, *, threads: int | None = None, cache_dir: Path | None = None) -> None:
        described = read_description(folder)
        if described is None:
            raise ModelNotReady("The reranker has not been prepared yet.")
        self._inputs: list[str] = described["inputs"]
        self._pads = {"input_ids": described["pad_id"], "token_type_ids": described["pad_type_id"]}
        self._tokenizer = _read_tokenizer(folder / "tokenizer.json", described["window"])
        self._lock = threading.Lock()
        used = threads or count_cores()
        self._model, _ = compile_graph(folder / "model.xml", "fp32", used, cache_dir)
        self._queue = load_openvino().AsyncInferQueue(self._model, used)

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """How well each passage answers the question, in the order of ``passages``; higher is better.

        What a model can't read of a pair that is too long is left out, of the longer text first, as
        ``CrossEncoder.predict`` of sentence-transformers does it.
        """
        pairs = self._tokenizer.encode_batch([(question, passage) for passage in passages])
        scores = np.zeros(len(pairs), np.float32)
        order = sorted(range(len(pairs)), key=lambda index: -len(pairs[index]))
        with self._lock:
            self._queue.set_callback(lambda request, rows: _store(scores, rows, request))
            for start in range(0, len(order), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                self._queue.start_async(self._padded([pairs[row] for row in rows]), rows)
            self._queue.wait_all()
        return [float(score) for score in scores]

    def _padded(self, pairs: list[Encoding]) -> dict[str, npt.NDArray[np.int64]]:
        width = max(map(len, pairs))
        padded = {name: np.full((len(pairs), width), self._pads.get(name, 0), np.int64) for name in self._inputs}
        for row, pair in enumerate(pairs):
            given = {"input_ids": pair.ids, "attention_mask": pair.attention_mask, "token_type_ids": pair.type_ids}
            for name, numbers in padded.items():
                numbers[row, : len(pair)] = given[name]
        return padded


def _store(scores: npt.NDArray[np.float32], rows: list[int], request: Any) -> None:
    scores[rows] = np.asarray(request.get_output_tensor().data, np.float32)


def _read_tokenizer(path: Path, window: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(f"The reranker's tokenizer can't be read from {path}.") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(window, strategy="longest_first")
    return tokenizer
