"""A model exported once to OpenVINO's format, so that encoding needs neither torch nor sentence-transformers.

The export runs in a child process (``python -m rag.vectors.openvino_export``), which alone imports the heavy
libraries. The child holds the lock: if its parent is killed, it finishes, and the next start finds its work.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rag.errors import ModelError, ModelNotReady
from rag.locks import exclusive
from rag.vectors.models import ModelInfo, check_weights, fingerprint

#: Raise it when the files of an export change: older exports are then made anew.
FORMAT = 1
#: Least cosine between what the export and sentence-transformers say of the same text, both in fp32.
LEAST_COSINE = 0.9999
_TIMEOUT_S = 900
_PROBES = (
    "What is this?",
    "Rivers carry more sediment in spring, when snow melts in the mountains and the ground is still bare.",
    "Übermäßige Hitze — 炎热 — жара — حرارة 🔥 " * 4,
    "one word after another " * 60,
)

Precision = Literal["auto", "bf16", "fp32"]


def export_folder(info: ModelInfo, home: Path) -> Path:
    """Where the export of these very model files belongs; it need not exist."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", info.name).strip("-.")[-60:]
    return home / "models" / f"{name}-{fingerprint(info)}-v{FORMAT}"


def read_export(folder: Path) -> ModelInfo:
    """What a complete export is of, ``path`` being the export itself; :class:`ModelNotReady` if there is none."""
    described = read_description(folder)
    if described is None:
        raise ModelNotReady
    return ModelInfo(**{**described["info"], "path": folder})


def ensure_exported(info: ModelInfo, home: Path, *, precision: Precision = "auto") -> Path:
    """The folder of the finished export, made now if need be (some 15 s); :class:`ModelError` if it can't be made.

    Afterwards neither the network nor torch is needed. Any number of processes may ask at once: one exports, the
    others wait for it. ``precision``: what to compile for ahead of the first use.
    """
    folder = export_folder(info, home)
    if read_description(folder) is not None:
        return folder
    check_weights(info)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"The folder {folder.parent} can't be written to.") from error
    order = json.dumps(
        {"info": {**asdict(info), "path": str(info.path)}, "folder": str(folder), "precision": precision}
    )
    run_child("rag.vectors.openvino_export", order, "embedding model")
    if read_description(folder) is None:
        raise ModelError("The embedding model could not be prepared: its export is incomplete.")
    return folder


def run_child(module: str, order: str, what: str) -> None:
    """Run ``python -m module`` with ``order`` as its input; :class:`ModelError` with its last words on ``what``."""
    command = [sys.executable, "-m", module]
    try:
        child = subprocess.run(
            command, input=order, capture_output=True, text=True, timeout=_TIMEOUT_S, cwd=Path(__file__).parents[2]
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"The {what} could not be prepared in time.") from error
    if child.returncode:
        said = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
        raise ModelError(
            f"The {what} could not be prepared: {said[-1]}", hint="Check the model's files and the free space."
        )


def read_description(folder: Path) -> dict[str, Any] | None:
    """``model.json`` of an export whose files are all there in full, else None."""
    try:
        described: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        complete = all((folder / name).stat().st_size == size for name, size in described["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return described if complete else None


def _main() -> None:
    """The child: read the order from standard input, export under a lock, put the folder in place in one step."""
    order = json.loads(sys.stdin.read())
    folder = Path(order["folder"])
    info = ModelInfo(**{**order["info"], "path": Path(order["info"]["path"])})
    if build_once(folder, lambda building: _export(info, building)):
        _compile_ahead(folder, order["precision"])


def build_once(folder: Path, build: Callable[[Path], None]) -> bool:
    """Have ``build`` fill a folder that becomes ``folder`` in one step, under a lock; False if it was there already."""
    with exclusive(folder.parent / f"{folder.name}.lock"):
        if read_description(folder) is not None:
            return False
        building = folder.parent / f"{folder.name}.building"
        for left_over in (building, folder):
            shutil.rmtree(left_over, ignore_errors=True)
        building.mkdir()
        build(building)
        os.replace(building, folder)
        return True


def _export(info: ModelInfo, folder: Path) -> None:
    # openvino reports uses of its converter to its makers unless it believes itself in a build.
    os.environ["CI"] = "true"
    os.environ["HF_HUB_OFFLINE"] = "1"
    import openvino
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(info.path), device="cpu", local_files_only=True)
    dimensions = model.get_sentence_embedding_dimension()
    if dimensions != info.dimensions:
        raise SystemExit(f"its vectors have {dimensions} numbers where its files promise {info.dimensions}.")
    openvino.save_model(_convert(model), folder / "model.xml", compress_to_fp16=False)
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    files = {name: (folder / name).stat().st_size for name in ("model.xml", "model.bin", "tokenizer.json")}
    described = {
        "format": FORMAT,
        "info": {**asdict(info), "path": None},
        "pad_id": model.tokenizer.pad_token_id or 0,
        "files": files,
        "openvino": openvino.__version__,
    }
    (folder / "model.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    _compare(model, folder)


def _convert(model: Any) -> Any:
    """The whole pipeline (network, pooling, whatever follows) as one graph of ids and mask."""
    import openvino
    import torch

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            if "token_type_ids" in model.tokenizer.model_input_names:
                features["token_type_ids"] = torch.zeros_like(input_ids)
            for module in self.model:
                features = module(features)
            return features["sentence_embedding"]

    example = {name: torch.ones(2, 8, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    shape = openvino.PartialShape([-1, -1])
    with torch.no_grad():
        return openvino.convert_model(
            Pipeline().eval(),
            example_input=example,
            input=[(name, shape, openvino.Type.i64) for name in example],
        )


def _compare(model: Any, folder: Path) -> None:
    """Refuse an export that doesn't say what the original says."""
    from rag.vectors.encoder import Encoder

    encoder = Encoder(folder, precision="fp32", threads=1, cache_dir=None)
    ours = encoder.encode(_PROBES)
    theirs = model.encode(list(_PROBES), normalize_embeddings=True)
    least = float((ours * theirs).sum(axis=1).min())
    if not least >= LEAST_COSINE:
        raise SystemExit(f"its export differs from the original (cosine {least:.4f}).")


def _compile_ahead(folder: Path, precision: Precision) -> None:
    """Fill OpenVINO's cache for both ways of use, so that the first question is as quick as the next."""
    from rag.vectors.encoder import Encoder

    for threads in (1, None):
        Encoder(folder, precision=precision, threads=threads, cache_dir=folder / "cache").encode(_PROBES[:1])


if __name__ == "__main__":
    _main()
