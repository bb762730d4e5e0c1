"""Models are described from their files, without loading them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rag.errors import ModelError, ModelNotReady
from rag.settings import Settings, load_settings
from rag.vectors.models import (
    PACKAGED,
    PACKAGED_SHA256,
    ModelInfo,
    check_weights,
    describe_folder,
    describe_model,
    fingerprint,
    packaged_folder,
)


def settings(**values: Any) -> Settings:
    return load_settings(None).model_copy(update=values)


def folder_with(folder: Path, **files: Any) -> Path:
    """A model's folder; ``__`` in a name stands for a slash."""
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", [PACKAGED, "sentence-transformers/all-MiniLM-L6-v2", "ALL-minilm-l6-V2"])
def test_packaged_model(name: str) -> None:
    info = describe_model(settings(embedding_model=name))
    assert (info.name, info.dimensions, info.window) == (PACKAGED, 384, 256)
    assert (info.query_prefix, info.passage_prefix) == ("", "")
    assert info.path == packaged_folder()
    assert fingerprint(info) == PACKAGED_SHA256[:12]


def test_packaged_weights_are_the_originals() -> None:
    check_weights(describe_model(settings()))


def test_other_weights_under_the_packaged_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not these")
    with pytest.raises(ModelError, match="not the original's"):
        check_weights(ModelInfo("local", PACKAGED, 384, 256, "", "", tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="can't be read"):
        check_weights(ModelInfo("local", PACKAGED, 384, 256, "", "", tmp_path))


def test_folder_says_dimensions_window_and_prefixes(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path / "mine",
        config={"hidden_size": 768, "max_position_embeddings": 512},
        modules=[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}],
        **{"1_Pooling__config": {"word_embedding_dimension": 768}, "2_Dense__config": {"out_features": 256}},
        sentence_bert_config={"max_seq_length": 128},
        config_sentence_transformers={"prompts": {"query": "q: ", "document": "d: "}},
    )
    info = describe_model(settings(embedding_model=str(folder)))
    assert info == ModelInfo("local", "mine", 256, 128, "q: ", "d: ", folder)


def test_plain_transformers_folder_reads_as_many_tokens_as_network_and_tokenizer_take(tmp_path: Path) -> None:
    roberta = {"hidden_size": 32, "max_position_embeddings": 514, "model_type": "xlm-roberta"}
    folder = folder_with(
        tmp_path / "multilingual-e5-small", config=roberta, tokenizer_config={"model_max_length": 1e30}
    )
    info = describe_folder(folder)
    assert (info.dimensions, info.window) == (32, 512)
    assert (info.query_prefix, info.passage_prefix) == ("query: ", "passage: ")
    folder_with(folder, tokenizer_config={"model_max_length": 77})
    assert describe_folder(folder).window == 77


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    info = describe_folder(folder_with(tmp_path / "m", config={"hidden_size": 8}))
    before = fingerprint(info)
    assert fingerprint(info) == before
    folder_with(tmp_path / "m", config={"hidden_size": 16})
    assert fingerprint(info) != before


@pytest.mark.parametrize(
    ("files", "said"), [({}, "no embedding model"), ({"config": {"a": 1}}, "how long the model's vectors")]
)
def test_unusable_folder(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        describe_model(settings(embedding_model=str(folder_with(tmp_path, **files))))


def test_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json can't be read"):
        describe_folder(tmp_path)


def test_hosted_models() -> None:
    small = describe_model(settings(embedding_provider="openai", embedding_model="text-embedding-3-small"))
    assert (small.provider, small.dimensions, small.window, small.path) == ("openai", 1536, 8191, None)
    with pytest.raises(ModelError, match="how long the vectors") as caught:
        describe_model(settings(embedding_provider="openai", embedding_model="nomic-embed-text"))
    assert "EMBEDDING_DIMENSIONS" in caught.value.hint
    other = describe_model(
        settings(embedding_provider="openai", embedding_model="nomic-embed-text", embedding_dimensions=768)
    )
    assert (other.dimensions, other.window) == (768, 512)
    assert (other.query_prefix, other.passage_prefix) == ("search_query: ", "search_document: ")


def test_hub_name_that_cannot_be_had() -> None:
    missing = settings(embedding_model="corpuscope-tests/no-such-model")
    with pytest.raises(ModelNotReady, match="not been downloaded"):
        describe_model(missing, download=False)
    with pytest.raises(ModelError, match="could not be downloaded") as caught:
        describe_model(missing)
    assert "EMBEDDING_MODEL" in caught.value.hint
    with pytest.raises(ModelError, match="no name that the hub knows"):
        describe_model(settings(embedding_model="no//such name"))


def test_describing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from rag.vectors.models import describe_model; from rag.settings import load_settings;"
        "describe_model(load_settings(None));"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
