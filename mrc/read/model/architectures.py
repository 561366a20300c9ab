"""How each architecture to which transformers gives a question-answering head is read, or why it is not.

`python -m mrc.read.model.architectures` prints the table in docs/reading.md.

transformers' own class, for one window without padding, decides what the right logits are. Most classes put one
linear layer on the encoder. Listed are those that do more, that need more inputs, or whose output depends on padding.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES as CLASSES

from mrc.errors import BadCheckpoint


@dataclass(frozen=True, slots=True)
class Architecture:
    """How an architecture is read.

    Attributes:
        own_head: its head is not one linear layer; see `mrc.read.model.own_heads`.
        alone: its output depends on padding, so that only windows of one length are read together.
        types: it takes token types, though its configuration does not say how many there are.
        global_question: the tokens before the first separator attend to all, and all attend to them.
        sparse: it attends to blocks where a window is longer than its limit; windows up to the limit are read.
        marked_question: token types are computed, 0 up to the first separator.
        text_to_text: its class has no base model, and its decoder reads the window once more, a piece later.
        refused: why it is not read.
    """

    own_head: bool = False
    alone: bool = False
    types: bool = False
    global_question: bool = False
    sparse: bool = False
    marked_question: bool = False
    text_to_text: bool = False
    refused: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is read with padding, token types and one linear layer, as BERT is."""
        return self == PLAIN


PLAIN: Final = Architecture()
ALONE: Final = Architecture(alone=True)
PAGES: Final = Architecture(refused="it reads the layout or the pictures of pages, which a text does not have")
TEXT_TO_TEXT: Final = Architecture(text_to_text=True)

_PLAIN: Final = """
    albert arcee bart bert bloom camembert data2vec-text deberta deberta-v2 diffllama distilbert electra ernie exaone4
    falcon flaubert gpt2 gpt_neo gpt_neox gptj ibert jina_embeddings_v3 led llama luke mbart megatron-bert minimax
    ministral ministral3 mistral mixtral mobilebert mpnet mpt mvp nemotron opt qwen2 qwen2_moe qwen3 qwen3_moe
    qwen3_next rembert roberta roberta-prelayernorm roformer seed_oss smollm3 squeezebert ultrabert xlm xlm-roberta
    xlm-roberta-xl xmod
"""

ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    **dict.fromkeys(_PLAIN.split(), PLAIN),
    **dict.fromkeys(("convbert", "fnet", "nystromformer", "yoso"), ALONE),
    **dict.fromkeys(("mt5", "t5", "umt5"), TEXT_TO_TEXT),
    **dict.fromkeys(("layoutlmv2", "layoutlmv3", "lilt", "lxmert", "markuplm"), PAGES),
    "big_bird": Architecture(own_head=True, sparse=True, marked_question=True),
    "bigbird_pegasus": Architecture(sparse=True),
    "canine": Architecture(refused="its tokenizer gives no offsets"),
    "funnel": Architecture(alone=True, types=True),
    "longformer": Architecture(global_question=True),
    "modernbert": Architecture(own_head=True),
    "mra": Architecture(refused="its attention needs a kernel that is compiled for a GPU; without it, it is left out"),
    "reformer": Architecture(refused="its attention hashes at random, so that its scores differ from run to run"),
    "roc_bert": Architecture(refused="its tokenizer gives no offsets, and it reads shapes and sounds of characters"),
    "splinter": Architecture(own_head=True),
    "xlnet": Architecture(types=True),
}


def architecture_of(config: Any, source: str | Path) -> Architecture:
    """How the architecture of a configuration is read.

    Raises: BadCheckpoint where it is not, with the reason.
    """
    kind = str(getattr(config, "model_type", ""))
    if kind not in CLASSES:
        raise BadCheckpoint(f"{source}: transformers has no question-answering head for {kind}; choose an encoder")
    found = ARCHITECTURES.get(kind)
    if found is None:
        raise BadCheckpoint(f"{source}: {kind} cannot be read: it is unknown to this version; choose an encoder")
    if reason := found.refused or _refused_settings(config):
        raise BadCheckpoint(f"{source}: {kind} cannot be read: {reason}; choose another model")
    return found


def sparse_limit(config: Any) -> int | None:
    """The longest window that BigBird's kinds read with full attention; None where they always do."""
    if getattr(config, "attention_type", None) != "block_sparse":
        return None
    return (5 + 2 * int(config.num_random_blocks)) * int(config.block_size)


def _refused_settings(config: Any) -> str:
    """Why these settings of an architecture cannot be read; empty where they can."""
    match config.model_type:
        case "ibert" if config.quant_mode:
            return "quant_mode computes with ranges that depend on the batch"
        case "nystromformer" if config.num_landmarks != config.segment_means_seq_len:
            return "num_landmarks differs from segment_means_seq_len, so it reads windows of one length only"
        case "xmod" if config.default_language is None:
            return "default_language in its config.json is not set"
        case "yoso" if not config.use_expectation:
            return "use_expectation is off, so that its attention hashes at random"
    return ""


def table() -> str:
    """A Markdown table of the architectures by how they are read, those that are not with the reason."""
    rows: dict[str, list[str]] = {}
    for kind in sorted(ARCHITECTURES, key=lambda kind: (bool(ARCHITECTURES[kind].refused), kind)):
        rows.setdefault(_description(ARCHITECTURES[kind]), []).append(f"`{kind}`")
    lines = [f"| {how} | {', '.join(kinds)} |" for how, kinds in rows.items()]
    return "\n".join(["| how it is read | architectures (`model_type` in config.json) |", "|---|---|", *lines])


def _description(how: Architecture) -> str:
    if how.refused:
        return f"refused: {how.refused}"
    parts = [
        (how.own_head, "with the head of its class in transformers, which is more than a linear layer"),
        (how.alone, "only together with windows of the same length, because padding would change its scores"),
        (how.types, "with token types"),
        (how.marked_question, "with token types that mark the question"),
        (how.global_question, "with global attention on the question"),
        (how.text_to_text, "by encoder and decoder"),
        (how.sparse, "with full attention, in windows up to the length from which transformers reads sparsely"),
    ]
    return "; ".join(text for holds, text in parts if holds) or "as it is, padded or packed"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
