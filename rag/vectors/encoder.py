"""An exported model run by OpenVINO: text in, unit vectors out, nothing heavier than numpy and tokenizers beside it."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rag.chunks.tokens import ModelTokens
from rag.errors import ModelError, TextTooLong
from rag.vectors.openvino_export import read_export

Vectors = npt.NDArray[np.float32]

#: Texts in one request: measured best at 4 to 16 where every core has a request of its own.
BATCH_SIZE = 8


class Encoder:
    """A model from its export folder. May be shared between threads; one encodes at a time.

    ``precision``: ``auto`` takes bf16 where the processor computes in it. ``threads``: None takes every core, a request
    on each; 1 is for single questions. ``cache_dir``: where compiled models are kept, None for nowhere.
    """

    def __init__(
        self,
        folder: Path,
        *,
        precision: Literal["auto", "bf16", "fp32"] = "auto",
        threads: int | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        self.info = read_export(folder)
        self.tokens = ModelTokens.from_folder(folder, window=self.info.window, passage_prefix=self.info.passage_prefix)
        self.pad_id = int(json.loads((folder / "model.json").read_text(encoding="utf-8"))["pad_id"])
        self.threads = threads or count_cores()
        self._lock = threading.Lock()
        self._model, self.precision = compile_graph(folder / "model.xml", precision, self.threads, cache_dir)
        self._queue = load_openvino().AsyncInferQueue(self._model, self.threads)

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_SIZE) -> Vectors:
        """Vectors of unit length, float32 ``[len(texts), dimensions]``, in the order of ``texts``.

        Texts of like length share a batch, so that little is spent on padding. :class:`TextTooLong` if one is over the
        window: nothing is ever cut off.
        """
        ids = self.tokens.ids(texts)
        for number in ids:
            if len(number) > self.info.window:
                raise TextTooLong(f"This text has {len(number)} tokens; the model reads {self.info.window}.")
        vectors = np.zeros((len(ids), self.info.dimensions), np.float32)
        order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
        with self._lock:
            self._queue.set_callback(lambda request, rows: _store(vectors, rows, request))
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                self._queue.start_async(_padded([ids[row] for row in rows], self.pad_id), rows)
            self._queue.wait_all()
        return vectors

    def count(self, text: str) -> int:
        """Tokens of a text, special tokens included."""
        return self.tokens.count(text)


def _store(vectors: Vectors, rows: list[int], request: Any) -> None:
    found = np.asarray(request.get_output_tensor().data, np.float32)
    vectors[rows] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _padded(ids: list[list[int]], pad_id: int) -> dict[str, npt.NDArray[np.int64]]:
    shape = len(ids), max(map(len, ids))
    padded, mask = np.full(shape, pad_id, np.int64), np.zeros(shape, np.int64)
    for row, number in enumerate(ids):
        padded[row, : len(number)] = number
        mask[row, : len(number)] = 1
    return {"input_ids": padded, "attention_mask": mask}


def compile_graph(
    path: Path, precision: str, threads: int, cache_dir: Path | None
) -> tuple[Any, Literal["bf16", "fp32"]]:
    """A graph ready to run, a stream for each thread, and the arithmetic that it computes in."""
    openvino = load_openvino()
    try:
        core = openvino.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not has_bf16:
            raise ModelError(
                "This processor doesn't compute in bf16.", hint="Set EMBEDDING_PRECISION to auto or to fp32."
            )
        use_bf16 = has_bf16 and precision != "fp32"
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if use_bf16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
        }
        if cache_dir is not None:
            options["CACHE_DIR"] = str(cache_dir)
        return core.compile_model(str(path), "CPU", options), "bf16" if use_bf16 else "fp32"
    except RuntimeError as error:
        raise ModelError(f"The exported model in {path.parent} can't be loaded.", hint=_REMOVE) from error


_REMOVE = "Remove that folder; it is made again at the next start."


def load_openvino() -> Any:
    """The library, without the part of it that only converts."""
    try:
        with _without(_CONVERTER):
            import openvino
    except (ImportError, OSError) as error:
        raise ModelError("OpenVINO doesn't run on this machine.") from error
    return openvino


#: Takes half of the time that importing openvino takes, serves only to convert models, and is optional to openvino.
_CONVERTER = "openvino.tools.ovc"


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Let an optional import of ``module`` fail at once within the block, unless it was imported before."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
