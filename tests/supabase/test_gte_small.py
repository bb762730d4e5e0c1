"""gte-small in Supabase's runtime and through sentence-transformers: one model, so that both may fill one index."""

from __future__ import annotations

import numpy as np
import pytest

from rag.errors import ModelError, ProviderError
from rag.settings import Settings
from rag.vectors.embedders import load_embedder
from tests.integration.workshop import prose
from tests.supabase.stack import Project

TEXTS = [*prose(6).split("\n\n"), "Wie lange gilt die Garantie?", "x", "emoji 😀 and\nlines"]


def test_both_give_the_same_vectors(project: Project) -> None:
    if not project.hosted:
        pytest.skip("Supabase.ai.Session, and so gte-small as the function has it, exists only on a hosted project")
    try:
        local = load_embedder(Settings(_env_file=None, embedding_model="thenlper/gte-small"))
    except ModelError as error:
        pytest.skip(f"thenlper/gte-small can't be had here: {error}")
    settings = Settings(
        _env_file=None,
        embedding_provider="supabase",
        supabase_url=project.url,
        supabase_secret_key=project.secret_key,
    )
    try:
        there = load_embedder(settings).embed_passages(TEXTS)
    except ProviderError as error:
        pytest.skip(f"the project's function embed does not answer: {error}")
    cosines = np.sum(there * local.embed_passages(TEXTS), axis=1)
    assert cosines.min() > 0.995
