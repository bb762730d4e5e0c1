"""The stand-in for :class:`rag.vectors.encoder.Encoder` where OpenVINO doesn't run. Imports torch: for workers only."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from rag.chunks.tokens import ModelTokens
from rag.errors import ModelError, TextTooLong
from rag.vectors.models import ModelInfo


class TorchEncoder:
    """A model run by sentence-transformers, fp32 unless bf16 is asked for."""

    def __init__(self, info: ModelInfo, *, precision: Literal["auto", "bf16", "fp32"] = "auto") -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        self.info = info
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        try:
            self._model = SentenceTransformer(
                str(info.path), device="cpu", local_files_only=True, model_kwargs={"dtype": dtype}
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"The embedding model in {info.path} can't be loaded.") from error
        with tempfile.TemporaryDirectory() as folder:
            self._model.tokenizer.backend_tokenizer.save(str(Path(folder) / "tokenizer.json"))
            self.tokens = ModelTokens.from_folder(Path(folder), window=info.window, passage_prefix=info.passage_prefix)

    def encode(self, texts: Sequence[str], *, batch_size: int = 8) -> npt.NDArray[np.float32]:
        """See :meth:`rag.vectors.encoder.Encoder.encode`."""
        for count in self.tokens.counts(texts):
            if count > self.info.window:
                raise TextTooLong(f"This text has {count} tokens; the model reads {self.info.window}.")
        found = self._model.encode(
            list(texts), batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(found, np.float32).reshape(len(texts), self.info.dimensions)

    def count(self, text: str) -> int:
        """Tokens of a text, special tokens included."""
        return self.tokens.count(text)
