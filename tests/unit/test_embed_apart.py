"""Telling a text that can't be embedded from a model that is down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from rag.errors import ProviderBusy, ProviderError, ProviderRefused
from rag.work.embedding import PATIENCE, Result, embed_apart

TEXTS = [f"text {n}" for n in range(64)]


class Model:
    """Fails for every batch that holds one of ``poison``; counts its calls."""

    def __init__(self, poison: set[str], error: Exception) -> None:
        self.poison = poison
        self.error = error
        self.calls = 0

    def __call__(self, texts: list[str]) -> npt.NDArray[np.float32]:
        self.calls += 1
        if self.poison.intersection(texts):
            raise self.error
        return np.array([[len(text), int(text.split()[1])] for text in texts], np.float32)


def failed(results: list[Result]) -> set[str]:
    return {text for text, result in zip(TEXTS, results, strict=True) if isinstance(result, Exception)}


def test_good_texts_take_one_call_and_keep_their_order() -> None:
    model = Model(set(), ProviderError())
    results = embed_apart(TEXTS, model, 2)
    assert model.calls == 1
    assert [float(result[1]) for result in results if not isinstance(result, Exception)] == list(range(64))


@pytest.mark.parametrize("poison", [{"text 0"}, {"text 63"}, {"text 20", "text 21"}, {"text 3", "text 40", "text 63"}])
def test_refused_texts_are_found_at_the_first_try(poison: set[str]) -> None:
    assert failed(embed_apart(TEXTS, Model(poison, ProviderRefused()), 2)) == poison


@pytest.mark.parametrize("poison", ["text 0", "text 31", "text 63"])
@pytest.mark.parametrize("error", [ProviderError(), ProviderBusy()])
def test_one_bad_text_is_found_after_two_tries(poison: str, error: ProviderError) -> None:
    assert failed(embed_apart(TEXTS, Model({poison}, error), 2, tries=0)) == set(TEXTS)
    assert failed(embed_apart(TEXTS, Model({poison}, error), 2, tries=2)) == {poison}


def test_two_bad_texts_far_apart_are_found_after_five_tries() -> None:
    poison = {"text 1", "text 60"}
    assert failed(embed_apart(TEXTS, Model(poison, ProviderError()), 2, tries=2)) == set(TEXTS)
    assert failed(embed_apart(TEXTS, Model(poison, ProviderError()), 2, tries=5)) == poison


@pytest.mark.parametrize(("tries", "calls"), [(0, 1), (2, 3), PATIENCE[-1]])
def test_a_model_that_is_down_is_not_asked_for_every_text(tries: int, calls: int) -> None:
    model = Model(set(TEXTS), ProviderError())
    assert failed(embed_apart(TEXTS, model, 2, tries=tries)) == set(TEXTS)
    assert model.calls == calls


def test_a_provider_that_names_a_time_is_left_alone_at_once() -> None:
    model = Model(set(TEXTS), ProviderBusy(retry_after=3))
    results = embed_apart(TEXTS, model, 2, tries=9)
    assert model.calls == 1
    assert all(isinstance(result, ProviderBusy) for result in results)


def test_vectors_of_the_wrong_size_or_without_numbers_are_errors() -> None:
    assert failed(embed_apart(TEXTS, Model(set(), ProviderError()), 3)) == set(TEXTS)
    results = embed_apart(TEXTS, lambda texts: np.full((len(texts), 2), np.nan, np.float32), 2)
    assert failed(results) == set(TEXTS)
    assert failed(embed_apart(TEXTS, lambda texts: np.ones((len(texts) - 1, 2), np.float32), 2)) == set(TEXTS)


def test_no_texts_take_no_call() -> None:
    model = Model(set(), ProviderError())
    assert embed_apart([], model, 2) == []
    assert model.calls == 0
