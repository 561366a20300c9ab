"""Hard negatives mined with the bi-encoder that is being trained; see `mrc.retrieve.training.mining`."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from mrc.encoder.compute import pick_dtype
from mrc.retrieve.dense.encoder import BiEncoder
from mrc.retrieve.dense.search import VectorSearch
from mrc.retrieve.training.contrastive_batches import Mined
from mrc.retrieve.training.mining import Relevance
from mrc.retrieve.training.train_config import BiEncoderExample, BiEncoderTrainConfig
from mrc.types import Passage


def mines_now(plan: Sequence[tuple[int, object]], step: int, config: BiEncoderTrainConfig) -> bool:
    """Whether an epoch with new mining begins here; never the first, where the encoder is untrained."""
    epoch = plan[step][0]
    begins = step > 0 and plan[step - 1][0] != epoch
    return bool(begins and config.hard_negatives and config.mine_every and epoch % config.mine_every == 0)


def mine(
    encoder: BiEncoder,
    examples: Sequence[BiEncoderExample],
    passages: Sequence[Passage],
    relevance: Relevance,
    config: BiEncoderTrainConfig,
    seed: int,
) -> Mined:
    """The hard negatives that the encoder in its current state ranks high."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(passages))[: config.mine_passages])
    frozen = _frozen_copy(encoder)
    search = VectorSearch(frozen.passages([passages[row].text for row in drawn]), device=frozen.model.device.type)
    found = search.search(frozen.questions([example.question for example in examples]), config.mine_depth).documents
    ranked = np.where(found >= 0, drawn[found], -1)[:, config.mine_skip :]
    return {
        number: relevance.non_relevant(number, rows, count=len(rows)) for number, rows in enumerate(ranked.tolist())
    }


def _frozen_copy(encoder: BiEncoder) -> BiEncoder:
    """A copy that computes as the encoder of an index does, and is not trained."""
    device = encoder.model.device
    dtype = pick_dtype(encoder.encoding.precision, device=device, hidden_size=encoder.encoding.dimension)
    model = copy.deepcopy(encoder.model).to(dtype)
    if device.type == "cpu" and dtype is torch.bfloat16:
        model.set_attn_implementation("eager")
    tokenizer = copy.deepcopy(encoder.tokenizer)  # it is saved with its last truncation length
    return BiEncoder(encoder.encoding, model, tokenizer, device=device)
