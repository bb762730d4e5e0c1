"""Makes the embedding model that the settings name the default of new collections."""

from __future__ import annotations

from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.models import ModelInfo, describe_model


def register_model(database: Database, settings: Settings) -> ModelInfo:
    """Describe the model and record it. May fetch the model's files; imports neither torch nor transformers."""
    info = describe_model(settings)
    with database.as_worker() as conn:
        conn.execute(
            "select corpuscope.register_model(%s, %s, %s, %s, %s, %s)",
            [info.provider, info.name, info.dimensions, info.window, info.query_prefix, info.passage_prefix],
        )
    return info
