"""The export and what runs it. One export (some 20 s) serves this whole file."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag.errors import ModelError, ModelNotReady, TextTooLong
from rag.settings import Settings, load_settings
from rag.vectors.embedders import LocalEmbedder, load_embedder, load_question_encoder, load_tokens
from rag.vectors.encoder import Encoder
from rag.vectors.models import ModelInfo, describe_model
from rag.vectors.openvino_export import ensure_exported, export_folder, read_export
from rag.vectors.random_pairs import UNRELATED, random_similarity

SENTENCES = [
    "A short question?",
    "Rivers carry more sediment in spring, when snow melts in the mountains. " * 12,
    "Übermäßige Hitze, 炎热, жара, حرارة 🔥",
    "one two three four five six seven",
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(None).model_copy(update={"corpuscope_home": tmp_path_factory.mktemp("home")})


@pytest.fixture(scope="module")
def exported(settings: Settings) -> Path:
    """The packaged model, asked for by two at once, after an attempt that was killed had left its traces."""
    info = describe_model(settings)
    folder = export_folder(info, settings.corpuscope_home)
    for left_over in (folder.with_name(f"{folder.name}.building"), folder):
        left_over.mkdir(parents=True)
        (left_over / "model.bin").write_bytes(b"half")
    with pytest.raises(ModelNotReady):
        load_question_encoder(settings)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: ensure_exported(info, settings.corpuscope_home), range(2)))
    assert made == [folder, folder]
    return folder


@pytest.fixture(scope="module")
def encoder(exported: Path) -> Encoder:
    return Encoder(exported)


def test_export_is_complete_and_made_once(exported: Path, settings: Settings) -> None:
    assert sorted(path.name for path in exported.parent.iterdir()) == [exported.name, f"{exported.name}.lock"]
    before = (exported / "model.json").stat().st_mtime_ns
    assert ensure_exported(describe_model(settings), settings.corpuscope_home) == exported
    assert (exported / "model.json").stat().st_mtime_ns == before
    assert read_export(exported).dimensions == 384


def test_vectors_keep_their_order_and_have_unit_length(encoder: Encoder) -> None:
    together = encoder.encode(SENTENCES * 5, batch_size=3)
    assert together.dtype == np.float32
    assert together.shape == (20, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for row, text in zip(together, SENTENCES * 5, strict=True):
        assert float(row @ encoder.encode([text])[0]) > 0.999
    assert encoder.encode([]).shape == (0, 384)


def test_same_vectors_as_sentence_transformers(exported: Path, settings: Settings) -> None:
    from rag.vectors.torch_encoder import TorchEncoder

    original = TorchEncoder(describe_model(settings), precision="fp32")
    theirs = original.encode(SENTENCES)
    for precision, least in (("fp32", 0.99999), ("auto", 0.999)):
        ours = Encoder(exported, precision=precision, threads=1).encode(SENTENCES)  # type: ignore[arg-type]
        assert (ours * theirs).sum(axis=1).min() > least
    assert load_tokens(settings).ids(SENTENCES) == original.tokens.ids(SENTENCES)
    with pytest.raises(TextTooLong):
        original.encode(["word " * 300])


def test_nothing_is_cut_off(encoder: Encoder) -> None:
    fits, too_long = "word " * 254, "word " * 255
    assert encoder.count(fits) == 256
    assert encoder.encode([fits]).shape == (1, 384)
    with pytest.raises(TextTooLong, match="257 tokens; the model reads 256"):
        encoder.encode(["short", too_long])


def test_long_question_is_read_to_its_end(encoder: Encoder) -> None:
    embedder = LocalEmbedder(encoder)
    long = "the weather in the mountains is fine today and " * 60
    vector = embedder.embed_question(long + " quarterly revenue of the shipping company fell")
    assert vector.shape == (384,)
    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)
    about = embedder.embed_question("quarterly revenue of the shipping company")
    assert float(vector @ about) > float(embedder.embed_question(long) @ about) + 0.02


def test_one_encoder_serves_many_threads(encoder: Encoder) -> None:
    alone = encoder.encode(SENTENCES)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: encoder.encode(SENTENCES), range(8)):
            np.testing.assert_allclose(found, alone, atol=2e-2)


def test_question_encoder_agrees_with_the_workers_and_imports_no_torch(exported: Path, settings: Settings) -> None:
    code = (
        "import sys; from rag.vectors.embedders import load_question_encoder; from rag.settings import load_settings;"
        "v = load_question_encoder(load_settings(None)).embed_question('A short question?');"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'openai', 'huggingface_hub');"
        "assert not [name for name in heavy if name in sys.modules];"
        "print(*v)"
    )
    environment = {**os.environ, "CORPUSCOPE_HOME": str(settings.corpuscope_home)}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    vector = np.array(said.stdout.split(), np.float32)
    worker = load_embedder(settings)
    assert float(vector @ worker.embed_passages(["A short question?"])[0]) > 0.999


def test_unrelated_passages_are_unlike(encoder: Encoder) -> None:
    mean, high = random_similarity(LocalEmbedder(encoder))
    assert -0.05 < mean < 0.15
    assert mean < high < 0.3
    assert len(set(UNRELATED)) == len(UNRELATED) >= 60


def test_export_that_fails_says_why(tmp_path: Path) -> None:
    info = ModelInfo("local", "broken", 384, 256, "", "", tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="could not be prepared"):
        ensure_exported(info, tmp_path / "home")
    with pytest.raises(ModelNotReady):
        read_export(export_folder(info, tmp_path / "home"))


def test_damaged_export_is_not_ready(exported: Path, tmp_path: Path) -> None:
    for name in ("model.json", "model.xml", "tokenizer.json"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    (tmp_path / "model.bin").write_bytes(b"short")
    with pytest.raises(ModelNotReady):
        Encoder(tmp_path)
