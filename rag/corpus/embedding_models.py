"""The embedding models that this installation knows, and how fast each was seen to work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row

from rag.errors import InvalidInput, ModelError, ModelNotReady, NotAllowed
from rag.settings import Settings
from rag.vectors.models import ModelInfo, ModelRow, describe_model

Provider = Literal["local", "openai", "supabase"]


_NEITHER = "Give a folder that holds the model, or check the name and whether this machine can reach the hub."


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One registered model. ``chars_per_s`` is what one worker embeds, None until that was measured."""

    id: int
    provider: Provider
    name: str
    dimensions: int
    window: int
    is_default: bool
    chars_per_s: float | None
    measured_at: datetime | None

    @property
    def row(self) -> ModelRow:
        """What work on an index needs of it."""
        return ModelRow(self.id, self.provider, self.name, self.dimensions, self.window)


def list_models(conn: psycopg.Connection[Any]) -> list[KnownModel]:
    """All registered models, the default first."""
    with conn.cursor(row_factory=class_row(KnownModel)) as cursor:
        return cursor.execute(
            """
            select id, provider, name, dimensions, window_tokens as window, is_default, chars_per_s::float8, measured_at
            from public.embedding_models order by is_default desc, name
            """
        ).fetchall()


def describe_candidate(
    settings: Settings, provider: Provider, name: str, dimensions: int = 0, window: int = 0, *, download: bool = True
) -> ModelInfo:
    """What a model beside the default one is; may fetch its files from the Hugging Face hub.

    ``name`` is a folder, a name on the hub or the packaged model's, or what a hosted model's server calls it;
    ``dimensions`` and ``window`` are of a hosted one, 0 where they are known of it. :class:`ModelError` in plain words
    if it can't be had. A folder keeps its whole path as its name, so that workers find it.
    """
    if not name.strip():
        raise InvalidInput("A model needs a name.")
    wanted = settings.model_copy(
        update={
            "embedding_provider": provider,
            "embedding_model": name.strip(),
            "embedding_dimensions": dimensions,
            "embedding_window": window,
        }
    )
    try:
        info = describe_model(wanted, download=download)
    except ModelNotReady:
        raise
    except ModelError as error:
        hint = _NEITHER if provider == "local" else "Give the number of dimensions that its provider documents."
        raise ModelError(str(error), hint=hint) from error
    if provider == "local" and info.path is not None and info.name == info.path.name and name.strip() != info.name:
        return replace(info, name=str(info.path))
    return info


_ADD = "select public.add_embedding_model(%s, %s, %s, %s, %s, %s)"
_ADD_AS_WORKER = "select corpuscope.add_model(%s, %s, %s, %s, %s, %s)"


def add_model(conn: psycopg.Connection[Any], info: ModelInfo, *, as_worker: bool = False) -> int:
    """Register a model for indexes to be built with; its id, also if it was known. For administrators.

    ``as_worker``: ``conn`` is the worker's, as on the command line, where nobody is asked.
    """
    try:
        row = conn.execute(
            _ADD_AS_WORKER if as_worker else _ADD,
            [info.provider, info.name, info.dimensions, info.window, info.query_prefix, info.passage_prefix],
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(
            "Only administrators can register a model.", hint="Ask one, or use: corpuscope models add NAME"
        ) from error
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise InvalidInput(error.diag.message_primary or "That model is registered already.") from error
    except psycopg.errors.CheckViolation as error:
        raise InvalidInput("Vectors have between 1 and 4,000 numbers, and a window more than 8 tokens.") from error
    assert row is not None
    return int(row[0])
