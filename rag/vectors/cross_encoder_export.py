"""A cross encoder exported once to OpenVINO's format, as embedding models are: scoring needs neither torch nor its kin.

The export runs in a child process (``python -m rag.vectors.cross_encoder_export``) and is refused unless its scores are
those of ``sentence_transformers.CrossEncoder.predict``.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rag.errors import ModelError
from rag.vectors.models import ModelInfo
from rag.vectors.openvino_export import build_once, export_folder, read_description, run_child

#: Most that a score of the export may differ from the original's.
MOST_DIFFERENCE = 1e-3
#: What torch's graphs take in; of BERT's kind the last one too.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_HUB_TIMEOUT_S = 5.0
_HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
_CHOOSE = (
    "Choose a folder with its files, or a name on the Hugging Face hub and check the network; or switch reranking off."
)
_PROBES = (
    ("What is this?", "Rivers carry more sediment in spring, when snow melts in the mountains."),
    ("why is it hot", "Übermäßige Hitze — 炎热 — жара — حرارة 🔥"),
    ("one word " * 30, "one word after another " * 200),
    ("?", "."),
)


def find_cross_encoder(name: str) -> Path:
    """The folder with the files of a cross encoder: itself, or what the hub has under that name.

    Raises :class:`ModelError` with what to do where it can't be had.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"There is no cross encoder in {name}.", hint="It needs a config.json and the weights.")
        return folder
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    missing = f"The reranker {name!r} is not a folder here"
    try:
        with suppress(OSError):  # not downloaded yet
            return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), local_files_only=True))
    except HFValidationError as error:
        raise ModelError(f"{missing}, and no name that the hub knows.", hint=_CHOOSE) from error
    try:
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), etag_timeout=_HUB_TIMEOUT_S))
    except Exception as error:  # the hub's client lets httpx's, requests' and its own errors through
        raise ModelError(
            f"{missing}, and it could not be downloaded from the Hugging Face hub.", hint=_CHOOSE
        ) from error


def ensure_cross_encoder(name: str, home: Path) -> Path:
    """The folder of the finished export of that cross encoder, made now if need be (some 15 s).

    Raises :class:`ModelError` if it can't be had or made. Any number of processes may ask at once.
    """
    path = find_cross_encoder(name)
    folder = export_folder(ModelInfo("local", f"reranker {name}", 1, 0, "", "", path), home)
    if read_description(folder) is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelError(f"The folder {folder.parent} can't be written to.") from error
        order = json.dumps({"path": str(path), "folder": str(folder)})
        run_child("rag.vectors.cross_encoder_export", order, f"reranker {name!r}")
        if read_description(folder) is None:
            raise ModelError(f"The reranker {name!r} could not be prepared: its export is incomplete.")
    return folder


def _main() -> None:
    """The child: read the order from standard input, export, put the folder in place in one step."""
    order = json.loads(sys.stdin.read())
    build_once(Path(order["folder"]), lambda building: _export(Path(order["path"]), building))


def _export(path: Path, folder: Path) -> None:
    # openvino reports uses of its converter to its makers unless it believes itself in a build.
    os.environ["CI"] = "true"
    os.environ["HF_HUB_OFFLINE"] = "1"
    import openvino
    from sentence_transformers import CrossEncoder

    model: Any = CrossEncoder(str(path), device="cpu", local_files_only=True)
    if model.num_labels != 1:
        raise SystemExit(f"it gives {model.num_labels} scores to a pair, where a reranker gives one.")
    features = model.preprocess([("a question", "a passage")])
    names = [name for name in INPUTS if name in features]
    openvino.save_model(_convert(model, names), folder / "model.xml", compress_to_fp16=False)
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    files = {name: (folder / name).stat().st_size for name in ("model.xml", "model.bin", "tokenizer.json")}
    described = {
        "inputs": names,
        "window": int(model.max_seq_length),
        "pad_id": model.tokenizer.pad_token_id or 0,
        "pad_type_id": model.tokenizer.pad_token_type_id,
        "files": files,
        "openvino": openvino.__version__,
    }
    (folder / "model.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    _compare(model, folder)


def _convert(model: Any, names: list[str]) -> Any:
    """The whole way from tokens to scores, the last function (most often a sigmoid) included, as one graph."""
    import openvino
    import torch

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            features = dict(zip(names, inputs, strict=True))
            for module in self.model:
                features = module(features)
            return self.model.activation_fn(features["scores"]).reshape(-1)

    example = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in names)
    shape = openvino.PartialShape([-1, -1])
    with torch.no_grad():
        graph = openvino.convert_model(
            Pipeline().eval(), example_input=example, input=[(shape, openvino.Type.i64) for _ in names]
        )
    for place, name in zip(graph.inputs, names, strict=True):
        place.get_tensor().set_names({name})
    return graph


def _compare(model: Any, folder: Path) -> None:
    """Refuse an export that doesn't say what the original says."""
    from rag.vectors.cross_encoder import CrossEncoder

    ours = CrossEncoder(folder, threads=1)
    for question, passage in _PROBES:
        difference = abs(ours.score(question, [passage])[0] - float(model.predict([(question, passage)])[0]))
        if not difference <= MOST_DIFFERENCE:
            raise SystemExit(f"its export differs from the original by {difference:.4f}.")


if __name__ == "__main__":
    _main()
