"""A reranker scores as sentence-transformers does, without it; where it can't be had, that is said."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from rag.errors import ModelError, ModelNotReady, NotAllowed
from rag.retrieval.reranking import LoadedRerankers, Reranker, offered_rerankers, offers_reranker
from rag.settings import Settings, load_settings
from rag.vectors.cross_encoder import CrossEncoder
from rag.vectors.cross_encoder_export import MOST_DIFFERENCE, ensure_cross_encoder
from tests.tiny_cross_encoder import make_cross_encoder

QUESTION = "What is the boundary layer of a wing?"
PASSAGES = ["The boundary layer of the wing", "cats and dogs", "", "flow " * 200, "heat, cold."] * 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("cross encoder"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def exported(folder: Path, home: Path) -> Path:
    return ensure_cross_encoder(str(folder), home)


def settings(**values: object) -> Settings:
    return load_settings(None).model_copy(update=values)


@pytest.mark.parametrize("question", [QUESTION, "wing " * 100])
def test_scores_are_those_of_sentence_transformers(folder: Path, exported: Path, question: str) -> None:
    from sentence_transformers import CrossEncoder as Original

    theirs = Original(str(folder), device="cpu").predict([(question, passage) for passage in PASSAGES])
    ours = CrossEncoder(exported).score(question, PASSAGES)
    assert max(theirs) - min(theirs) > 0.05, "the model tells nothing apart"
    assert ours == pytest.approx([float(score) for score in theirs], abs=MOST_DIFFERENCE)
    assert CrossEncoder(exported).score(question, []) == []


def test_scoring_imports_nothing_heavy(exported: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rag.vectors.cross_encoder import CrossEncoder;"
        f"CrossEncoder(Path({str(exported)!r})).score('a', ['b']);"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'huggingface_hub');"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_export_is_made_once(folder: Path, home: Path, exported: Path) -> None:
    before = (exported / "model.json").stat().st_mtime_ns
    assert ensure_cross_encoder(str(folder), home) == exported
    assert (exported / "model.json").stat().st_mtime_ns == before


def test_a_reranker_that_cannot_be_had_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="could not be downloaded from the Hugging Face hub") as caught:
        ensure_cross_encoder("corpuscope-tests/no-such-reranker", tmp_path)
    assert "switch reranking off" in caught.value.hint
    with pytest.raises(ModelError, match="no name that the hub knows"):
        ensure_cross_encoder("no//such name", tmp_path)
    with pytest.raises(ModelError, match="There is no cross encoder in"):
        ensure_cross_encoder(str(tmp_path), tmp_path)


def test_a_model_that_gives_no_single_score_is_refused(tmp_path: Path) -> None:
    made = make_cross_encoder(tmp_path / "three", labels=3)
    with pytest.raises(ModelError, match="could not be prepared: it gives 3 scores to a pair"):
        ensure_cross_encoder(str(made), tmp_path)


class Longest:
    """Likes long passages."""

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        return [float(len(passage)) for passage in passages]


def test_who_signs_in_gets_the_listed_rerankers_only() -> None:
    listed = settings(auth="local", rerank_models="a/b , /models/c")
    assert offered_rerankers(listed) == ["a/b", "/models/c"]
    assert [offers_reranker(listed, name) for name in ("a/b", "/models/c", "/etc")] == [True, True, False]
    assert not offers_reranker(settings(auth="local", rerank_models=""), "a/b")
    assert offers_reranker(settings(auth="none", rerank_models=""), "a/b")
    assert not offers_reranker(settings(auth="none", rerank_models="a/b"), "c")
    with pytest.raises(NotAllowed, match="doesn't rerank with 'c'") as caught:
        LoadedRerankers(listed, load=lambda name, home: Longest())("c")
    assert "RERANK_MODELS" in caught.value.hint


def test_rerankers_are_loaded_once_and_two_are_kept() -> None:
    loaded: list[str] = []

    def load(name: str, home: Path) -> Reranker:
        loaded.append(name)
        return Longest()

    rerankers = LoadedRerankers(settings(auth="none"), load=load)
    assert rerankers("a") is rerankers("a")
    rerankers("b")
    rerankers("a")
    rerankers("c")
    rerankers("a")
    rerankers("b")
    assert loaded == ["a", "b", "c", "b"]


def test_a_reranker_that_is_being_prepared_is_not_waited_for_forever() -> None:
    go = threading.Event()

    def load(name: str, home: Path) -> Reranker:
        go.wait(10)
        return Longest()

    with pytest.raises(ModelNotReady, match="'a' is still being prepared"):
        LoadedRerankers(settings(auth="none"), patience_s=0.01, load=load)("a")
    go.set()
    assert LoadedRerankers(settings(auth="none"), load=load)("a").score("", ["xy"]) == [2.0]


def test_what_failed_is_tried_again() -> None:
    tries: list[str] = []

    def load(name: str, home: Path) -> Reranker:
        tries.append(name)
        if len(tries) == 1:
            raise ModelError("No space is left.")
        return Longest()

    rerankers = LoadedRerankers(settings(auth="none"), load=load)
    with pytest.raises(ModelError, match="No space"):
        rerankers("a")
    assert rerankers("a").score("", ["xy"]) == [2.0]
    assert tries == ["a", "a"]
