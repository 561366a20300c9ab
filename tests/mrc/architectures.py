"""A tiny random network, with a tokenizer, of each architecture that transformers gives a question-answering head."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import processors
from transformers import CONFIG_MAPPING, AutoModelForQuestionAnswering, PreTrainedTokenizerFast

from tests.mrc import tiny

POSITIONS: Final = 130
BASE: Final = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
}
DECODED: Final = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": POSITIONS,
}
XLM: Final = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": POSITIONS}
T5: Final = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
GPT: Final = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS, "n_inner": 64, "rotary_dim": 8}
EXPERTS: Final = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
SPARSE: Final = {"block_size": 16, "num_random_blocks": 1}
MIXED: Final = ["linear_attention", "full_attention"]

WHOLE: Final[dict[str, dict[str, Any]]] = {  # architectures with names of their own for sizes
    **dict.fromkeys(("bart", "mbart", "mvp"), DECODED),
    "bigbird_pegasus": {**DECODED, **SPARSE},
    "led": {
        **DECODED,
        "attention_window": 8,
        "max_encoder_position_embeddings": 136,
        "max_decoder_position_embeddings": POSITIONS,
    },
    **dict.fromkeys(("gpt2", "gptj"), GPT),
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 2,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
    },
    "mpt": {"d_model": 32, "n_heads": 2, "n_layers": 2, "expansion_ratio": 2, "max_seq_len": POSITIONS},
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2, "max_position_embeddings": POSITIONS},
    **dict.fromkeys(("flaubert", "xlm"), XLM),
    **dict.fromkeys(("mt5", "t5", "umt5"), T5),
    "funnel": {"block_sizes": [1, 1], "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64, "num_decoder_layers": 1},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "falcon": {key: value for key, value in BASE.items() if key not in ("head_dim", "num_key_value_heads")},
}
MORE: Final[dict[str, dict[str, Any]]] = {
    "albert": {"embedding_size": 16},
    "electra": {"embedding_size": 16},
    "big_bird": SPARSE,
    "convbert": {"embedding_size": 32, "conv_kernel_size": 3, "head_ratio": 2},
    "fnet": {"type_vocab_size": 4},
    "longformer": {"attention_window": 8, "max_position_embeddings": 138},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "minimax": {"layer_types": MIXED, "block_size": 8, **EXPERTS},
    **dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe"), EXPERTS),
    "mobilebert": {
        "embedding_size": 32,
        "intra_bottleneck_size": 32,
        "num_feedforward_networks": 1,
        "true_hidden_size": 32,
    },
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2},
    "nystromformer": {"num_landmarks": 64, "segment_means_seq_len": 64},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "qwen3_next": {
        "layer_types": MIXED,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        **EXPERTS,
    },
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "squeezebert": {
        "embedding_size": 32,
        **dict.fromkeys(("q_groups", "k_groups", "v_groups"), 2),
        **dict.fromkeys(("post_attention_groups", "intermediate_groups", "output_groups"), 2),
    },
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX", "adapter_reduction_factor": 2},
}
LIKE_BERT: Final = (  # [CLS] question [SEP] passage [SEP] with token types
    "albert bert convbert deberta deberta-v2 electra ernie fnet funnel megatron-bert mobilebert nystromformer rembert "
    "roformer squeezebert"
)
WITHOUT_TYPES: Final = "big_bird distilbert flaubert modernbert ultrabert xlm"  # the same without token types
LIKE_ROBERTA: Final = (  # <s> question </s></s> passage </s>
    "bart bigbird_pegasus camembert data2vec-text ibert jina_embeddings_v3 led longformer luke mbart mpnet mvp roberta "
    "roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod yoso"
)


def build(kind: str, folder: Path, **changes: Any) -> Path:
    """The checkpoint of a random network that transformers' class for question answering saves."""
    tokenizer = tokenizer_of(kind)
    sizes = WHOLE[kind] if kind in WHOLE else {**BASE, **MORE.get(kind, {})}
    ids = {f"{name}_id": getattr(tokenizer, f"{name}_id") for name in ("pad_token", "cls_token", "sep_token")}
    ids |= {"bos_token_id": tokenizer.cls_token_id or 0, "eos_token_id": tokenizer.sep_token_id or 0}
    given = {**ids, "vocab_size": len(tokenizer), **sizes, **changes}
    if kind in ("flaubert", "xlm"):
        given |= {"n_words": len(tokenizer), "pad_index": 0, "unk_index": 1, "bos_index": 2, "eos_index": 3}
    if kind in ("mt5", "t5", "umt5"):
        given["decoder_start_token_id"] = tokenizer.pad_token_id
    if kind == "splinter":
        given["question_token_id"] = tokenizer.convert_tokens_to_ids("[MASK]")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = AutoModelForQuestionAnswering.from_config(CONFIG_MAPPING[kind](**given))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer that arranges question and passage as that of the architecture does."""
    if kind == "xlnet":
        return _arranged("$A [SEP] $B:1 [SEP]:1 [CLS]:2")
    if kind == "splinter":
        return _arranged("[CLS] $A [MASK] [SEP] $B:1 [SEP]:1")
    if kind in LIKE_BERT.split():
        return tiny.wordpiece()
    if kind in WITHOUT_TYPES.split():
        return _arranged("[CLS] $A [SEP] $B:1 [SEP]:1", types=False)
    tokenizer = tiny.byte_level()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    if kind in ("mt5", "t5", "umt5"):
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", tokenizer.eos_token_id)]
        )
    elif kind not in LIKE_ROBERTA.split():  # a decoder: question and passage without marks
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
    return tokenizer


def _arranged(pair: str, *, types: bool = True) -> PreTrainedTokenizerFast:
    tokenizer = tiny.wordpiece()
    tokens = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("[CLS]", "[SEP]", "[MASK]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=tokens
    )
    if not types:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer
