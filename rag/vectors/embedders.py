"""Text becomes vectors, on this machine or by an OpenAI-compatible server, behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from rag.chunks.tokens import ModelTokens, TokenCounter
from rag.errors import ModelError, ModelNotReady
from rag.vectors.encoder import Encoder
from rag.vectors.models import ModelInfo, check_weights, describe_model, packaged_folder
from rag.vectors.openvino_export import ensure_exported, export_folder

if TYPE_CHECKING:
    from rag.settings import Settings  # pydantic takes as long to import as the rest of this

Vectors = npt.NDArray[np.float32]

#: A person waits for a question's vector; a queue waits for passages.
QUESTION_TIMEOUT_S = 10.0
PASSAGES_TIMEOUT_S = 60.0


class Embedder(Protocol):
    """A model in use. Vectors are float32 of unit length."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def tokens(self) -> TokenCounter:
        """What chunking counts with."""
        ...

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """``[len(texts), dimensions]`` for inputs as :func:`rag.chunks.chunking.embedding_input` makes them.

        :class:`TextTooLong` if one is over the window; :class:`ProviderBusy`, :class:`ProviderRefused` or another
        :class:`ProviderError` from a hosted model.
        """
        ...

    def embed_question(self, text: str) -> Vectors:
        """``[dimensions]``. A question over the window is read in parts and their vectors averaged."""
        ...


class TextEncoder(Protocol):
    """What a local embedder drives: OpenVINO's :class:`rag.vectors.encoder.Encoder` or its stand-in."""

    info: ModelInfo
    tokens: ModelTokens

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class LocalEmbedder:
    """A model on this machine."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.info = encoder.info
        self.tokens = encoder.tokens

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """See :class:`Embedder`."""
        return self.encoder.encode([self.info.passage_prefix + text for text in texts])

    def embed_question(self, text: str) -> Vectors:
        """See :class:`Embedder`."""
        return averaged(self.encoder.encode(question_parts(text, self.info, self.tokens)))


def question_parts(text: str, info: ModelInfo, tokens: TokenCounter) -> list[str]:
    """The question behind its prefix; where it is over the window, as few parts of like size as fit it."""
    whole = info.query_prefix + text
    if tokens.counts([whole])[0] <= info.window:
        return [whole]
    starts = tokens.starts(text)
    room = max(1, info.window - tokens.counts([info.query_prefix])[0] - 2)
    cuts = [int(starts[at]) for at in range(0, len(starts), room)] + [len(text)]
    return [info.query_prefix + text[a:b] for a, b in pairwise(cuts)]


def averaged(vectors: Vectors) -> Vectors:
    """The mean of unit vectors as a unit vector."""
    mean = vectors.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def load_embedder(settings: Settings) -> Embedder:
    """The worker's embedder; fetches and exports the model if need be. :class:`ModelError` if that can't be done.

    Where OpenVINO doesn't run, sentence-transformers does its work, slower but with the same vectors.
    """
    info = describe_model(settings)
    if info.path is None:
        return _hosted(settings, info, PASSAGES_TIMEOUT_S)
    if not runs_openvino():
        from rag.vectors.torch_encoder import TorchEncoder

        check_weights(info)
        return LocalEmbedder(TorchEncoder(info, precision=settings.embedding_precision))
    folder = ensure_exported(info, settings.corpuscope_home, precision=settings.embedding_precision)
    return LocalEmbedder(Encoder(folder, precision=settings.embedding_precision, cache_dir=folder / "cache"))


def load_question_encoder(settings: Settings) -> Embedder:
    """The app's embedder: half a second from a cold start, one thread, no torch.

    :class:`ModelNotReady` until a worker has exported the model: nothing is downloaded or exported here.
    """
    info = describe_model(settings, download=False)
    if info.path is None:
        return _hosted(settings, info, QUESTION_TIMEOUT_S)
    if not runs_openvino():
        raise ModelError(
            "Questions can't be embedded here, because OpenVINO doesn't run on this machine.",
            hint="Search in lexical mode, or set EMBEDDING_PROVIDER to openai.",
        )
    folder = export_folder(info, settings.corpuscope_home)
    if not folder.exists():
        raise ModelNotReady
    encoder = Encoder(folder, precision=settings.embedding_precision, threads=1, cache_dir=folder / "cache")
    return LocalEmbedder(encoder)


def prepare_model(settings: Settings) -> None:
    """Fetch and export the model for :func:`load_question_encoder`, on a host where no worker does.

    Torch stays in a process of its own, as ever. :class:`ModelError` if that can't be done.
    """
    info = describe_model(settings)
    if info.path is not None and runs_openvino():
        ensure_exported(info, settings.corpuscope_home, precision=settings.embedding_precision)


def load_tokens(settings: Settings) -> ModelTokens:
    """What chunking counts with, in a fraction of a second: the model itself is not loaded."""
    info = describe_model(settings)
    if info.path is None:
        return _hosted_tokens(info)
    has_own = (info.path / "tokenizer.json").exists() or not runs_openvino()
    folder = info.path if has_own else ensure_exported(info, settings.corpuscope_home)
    return ModelTokens.from_folder(folder, window=info.window, passage_prefix=info.passage_prefix)


def load_question_tokens(settings: Settings) -> ModelTokens:
    """As :func:`load_tokens`, for the app: nothing is downloaded or exported here.

    :class:`ModelNotReady` until a worker has fetched the model or, where it comes without a ``tokenizer.json``,
    exported it.
    """
    info = describe_model(settings, download=False)
    if info.path is None:
        return _hosted_tokens(info)
    folder = info.path
    if not (folder / "tokenizer.json").exists():
        folder = export_folder(info, settings.corpuscope_home)
        if not folder.exists():
            raise ModelNotReady
    return ModelTokens.from_folder(folder, window=info.window, passage_prefix=info.passage_prefix)


def runs_openvino() -> bool:
    """Whether OpenVINO can be loaded on this machine."""
    try:
        import openvino  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def _hosted(settings: Settings, info: ModelInfo, timeout_s: float) -> Embedder:
    if info.provider == "supabase":
        from rag.vectors.edge_embedder import EdgeFunctionEmbedder

        key = settings.supabase_secret_key.get_secret_value()
        return EdgeFunctionEmbedder(info, _hosted_tokens(info), settings.supabase_url, key, timeout_s=timeout_s)
    from rag.vectors.hosted_embedder import OpenAIEmbedder

    return OpenAIEmbedder(
        info,
        _hosted_tokens(info),
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.embedding_base_url or settings.openai_base_url,
        ask_dimensions=bool(settings.embedding_dimensions) or info.name.startswith("text-embedding-3"),
        timeout_s=timeout_s,
    )


def _hosted_tokens(info: ModelInfo) -> ModelTokens:
    """The provider's own tokenizer is not at hand; the packaged one, made for English, counts more on most texts."""
    return ModelTokens.from_folder(packaged_folder(), window=info.window, passage_prefix=info.passage_prefix)
