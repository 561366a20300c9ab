"""A checkpoint with another vocabulary: the encoder stays, the tokenizer and the piece vectors are new.

Readers with different tokenizers make different errors, so an ensemble of them gains more. Each new piece vector starts
as the mean of the vectors of its old pieces; a short pretraining (`mrc.read.pretrain.pretraining`) then trains them.

Source: Gee et al. 2022, Fast Vocabulary Transfer for Language Model Compression, section 3.2, on the mean.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedTokenizerFast

from mrc.encoder.loading import load_pretrained, load_tokenizer
from mrc.errors import writing
from mrc.read.data.tokens import Template, pair_template
from mrc.read.data.windows import MATCH_IGNORED_KEY
from mrc.read.pretrain.mlm import save_checkpoint

SPACE: Final = "▁"  # stands for the space before a word
GOES_ON: Final = "##"  # before a WordPiece piece inside a word
SPECIAL: Final = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token")


def transfer_vocabulary(start: str | Path, texts: Sequence[str], folder: str | Path, *, pieces: int) -> Path:
    """Write `start` with a Unigram tokenizer of at most `pieces` pieces trained on the texts; return the folder.

    It appears whole or not at all, and has no head. Among pieces of equal worth the tokenizers library chooses by the
    order of a hash table, so two calls may differ in a few.

    Raises: ValueError without texts; FileExistsError if the folder is there; BadCheckpoint for an unusable start.
    """
    final = Path(folder)
    if not any(text.strip() for text in texts):
        raise ValueError("a vocabulary needs texts to train on")
    if final.exists():
        raise FileExistsError(f"{final} already exists")
    old = load_tokenizer(start)
    new = _tokenizer(old, texts, pieces)
    with torch.random.fork_rng(devices=[]):
        model = load_pretrained(AutoModel, start, dtype=torch.float32)
    encoder = model.base_model
    vectors = _vectors(old, new, encoder.get_input_embeddings().weight.detach())
    encoder.set_input_embeddings(
        nn.Embedding(len(vectors), vectors.shape[1], padding_idx=new.pad_token_id, _weight=vectors)
    )
    model.config.update({"vocab_size": len(new), "pad_token_id": new.pad_token_id})
    if hasattr(model.config, MATCH_IGNORED_KEY):
        model.config.update({MATCH_IGNORED_KEY: []})  # ids of old pieces
    draft = final.with_name(f"{final.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    with writing(draft):
        weights = {f"{model.base_model_prefix}.{name}": value for name, value in encoder.state_dict().items()}
        save_checkpoint(model.config, weights, new, draft)
        draft.rename(final)
    return final


def _tokenizer(old: Any, texts: Sequence[str], pieces: int) -> Any:
    """A tokenizer with the old one's normalising, special tokens and pairs, and pieces trained on the texts."""
    names = {name: token for name in SPECIAL if (token := getattr(old, name)) is not None}
    # In the old order: RoBERTa's positions begin behind the number of its padding.
    special = sorted(set(names.values()), key=old.convert_tokens_to_ids)
    tokenizer = Tokenizer(models.Unigram())
    if old.backend_tokenizer.normalizer is not None:
        tokenizer.normalizer = old.backend_tokenizer.normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(SPACE), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=pieces, special_tokens=special, unk_token=old.unk_token, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = _pairs(old, pair_template(old), special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=old.model_max_length,
        model_input_names=old.model_input_names,
        **names,
    )


def _pairs(old: Any, template: Template, special: Sequence[str]) -> Any:
    """What sets the special tokens around one text and around two, as the old tokenizer does."""

    def tokens(ids: Sequence[int], kind: int) -> list[str]:
        return [f"{token}:{kind}" for token in old.convert_ids_to_tokens(list(ids))]

    kinds = template.types
    before, after = tokens(template.prefix, kinds[0]), tokens(template.suffix, kinds[4])
    pair = [*before, f"$A:{kinds[1]}", *tokens(template.middle, kinds[2]), f"$B:{kinds[3]}", *after]
    single = [*before, "$A:0", *tokens(template.suffix, 0)]
    return processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(token, number) for number, token in enumerate(special)]
    )


def _vectors(old: Any, new: Any, known: Tensor) -> Tensor:
    """(pieces, H) vectors of the new pieces: those of the special tokens, else means of the old pieces' (P, H)."""
    special = set(new.all_special_tokens)
    vocabulary = old.get_vocab()
    everything = known.mean(dim=0)
    rows = []
    for piece in new.convert_ids_to_tokens(range(len(new))):
        ids = [vocabulary[piece]] if piece in special else _old_ids(old, vocabulary, piece)
        rows.append(known[ids].mean(dim=0) if ids else everything)
    return torch.stack(rows)


def _old_ids(old: Any, vocabulary: dict[str, int], piece: str) -> list[int]:
    """The old pieces of a new one's text; inside a word, the old piece that is so marked, if there is one."""
    if not piece.startswith(SPACE) and f"{GOES_ON}{piece}" in vocabulary:
        return [vocabulary[f"{GOES_ON}{piece}"]]
    found = old(piece.replace(SPACE, " ").strip(), add_special_tokens=False, verbose=False)["input_ids"]
    return [index for index in found if index != old.unk_token_id]
