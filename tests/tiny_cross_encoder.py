"""A cross encoder small enough to be made in a test: BERT with random weights, and a tokenizer of a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_WORDS = ("the", "a", "of", "in", "wing", "boundary", "layer", "garden", "cats", "dogs", "heat", "flow", "?", ".", ",")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WINDOW = 64


def make_cross_encoder(folder: Path, *, labels: int = 1, seed: int = 3) -> Path:
    """Write one there, as ``CrossEncoder.save_pretrained`` would."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    tokenizer = _make_tokenizer()
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": _WINDOW,
        "num_labels": labels,
        "initializer_range": 0.5,  # or all pairs would score alike
    }
    BertForSequenceClassification(BertConfig(**settings)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _make_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = dict.fromkeys([*_SPECIAL, *_WORDS, *_LETTERS, *(f"##{letter}" for letter in _LETTERS)])
    made = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    wrap: Any = PreTrainedTokenizerFast
    return wrap(tokenizer_object=made, model_max_length=_WINDOW, model_input_names=inputs, **names)
