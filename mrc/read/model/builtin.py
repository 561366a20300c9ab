"""A small starting checkpoint made from the given texts alone, for demonstrations and tests.

It is a BERT of a few narrow layers. Three things without training replace pretraining: a WordPiece vocabulary of the
texts; piece vectors from counts of neighbours; and token types that mark the pieces that question and passage share and
how many of them are near (Chen et al. 2017, Reading Wikipedia to Answer Open-Domain Questions, section 3.2: of the
features added to the word vectors, exact match helps most).

It is not a pretrained language model: it knows only the words of the texts, and on real questions any pretrained
encoder is far better.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mrc.errors import writing
from mrc.files import publish_folder
from mrc.read.config import BuiltinConfig
from mrc.read.data.windows import MATCH_IGNORED_KEY, MATCH_TYPES_KEY, TOKEN_TYPES
from mrc.read.model.heads import new_head
from mrc.read.model.network import SpanModel
from mrc.removal import remove_folder

SPECIALS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
KOREAN_ENDINGS: Final = r"(?<=[0-9가-힣]{2})(?:에서|에는|으로|이다|은|는|이|가|을|를|의|에|로|와|과|도)(?![0-9가-힣])"
NEIGHBOURS: Final = (1, 2)  # distances before and after that count for piece vectors
SMOOTHING: Final = 0.75  # power of the neighbours' counts (Levy, Goldberg & Dagan 2015)
POWER_ITERATIONS: Final = 4
VECTOR_SCALE: Final = 0.1  # of piece vectors and token types, the main signal
POSITION_SCALE: Final = 0.03  # of positions
WEIGHT_SCALE: Final = 0.08  # of all other weights; BERT's 0.02 is for wider layers and longer training


def build_builtin(texts: Sequence[str], folder: str | Path, *, seed: int, config: BuiltinConfig | None = None) -> Path:
    """Make a starting checkpoint from `texts` in `folder`, which appears complete or not at all.

    Give passages and training questions, never test questions. Equal texts, seed and config give equal bits.

    Raises: ValueError without texts; FileExistsError if the folder exists.
    """
    settings, final = config or BuiltinConfig(), Path(folder)
    if not any(text.strip() for text in texts):
        raise ValueError("a built-in encoder needs texts to build its vocabulary from")
    if final.exists():
        raise FileExistsError(f"{final} exists already")
    tokenizer = _tokenizer(texts, settings)
    model = _model(tokenizer, texts, settings, seed=seed)
    draft = final.with_name(f"{final.name}.partial")
    remove_folder(draft, root=draft.parent)
    with writing(draft):
        model.save(draft, tokenizer)
        publish_folder(draft, final)
    return final


def _tokenizer(texts: Sequence[str], settings: BuiltinConfig) -> Any:
    """A lower-casing WordPiece tokenizer of the texts' words, with Korean case endings as separate pieces.

    An answer is a run of whole pieces, so a name that shares a piece with its ending could not be an answer.
    """
    tokenizer = _splitter(models.WordPiece(_vocabulary(texts, settings.vocab_size), unk_token=SPECIALS[1]))
    tokenizer.decoder = decoders.WordPiece()
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIALS, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=settings.positions,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names,
    )


def _splitter(model: Any) -> Any:
    """A tokenizer with that model, lower-casing, splitting at spaces, punctuation and Korean case endings."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    endings = pre_tokenizers.Split(Regex(KOREAN_ENDINGS), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), endings])
    return tokenizer


def _vocabulary(texts: Sequence[str], size: int) -> dict[str, int]:
    """WordPiece's pieces of the texts with their ids, special tokens first, the rest in code point order.

    The trainer numbers letters inside words in the order of a hash table and breaks ties by these numbers. Passing the
    letters as special tokens makes the pieces of equal texts equal.
    """
    learner = _splitter(models.WordPiece(unk_token=SPECIALS[1]))
    letters = sorted({letter for text in texts for letter in learner.normalizer.normalize_str(text)})
    first = [*SPECIALS, *(f"##{letter}" for letter in letters if not letter.isspace())]
    learner.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(vocab_size=size, min_frequency=2, show_progress=False, special_tokens=first),
    )
    pieces = sorted(set(learner.get_vocab()) - set(SPECIALS))
    return {piece: index for index, piece in enumerate([*SPECIALS, *pieces])}


def _model(tokenizer: Any, texts: Sequence[str], settings: BuiltinConfig, *, seed: int) -> SpanModel:
    """An untrained network. Positions start as sinusoids, so that distances need not be trained from nothing."""
    pieces = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]  # whole texts may be long
    encoded = [np.asarray(ids, dtype=np.int64) for ids in pieces]
    vectors = piece_vectors(encoded, pieces=len(tokenizer), size=settings.hidden_size, rng=np.random.default_rng(seed))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        encoder = BertModel(_bert_config(tokenizer, encoded, settings), add_pooling_layer=False)
        embeddings = encoder.embeddings
        embeddings.word_embeddings.weight.copy_(torch.from_numpy(VECTOR_SCALE * vectors))
        embeddings.token_type_embeddings.weight.normal_(0.0, VECTOR_SCALE)
        waves = sinusoids(settings.positions, settings.hidden_size)
        embeddings.position_embeddings.weight.copy_(torch.from_numpy(POSITION_SCALE * waves))
    head = new_head("linear", settings.hidden_size, seed=seed)
    return SpanModel(encoder, head, prefix="bert.", architecture="BertForQuestionAnswering", head_name="linear")


def _bert_config(tokenizer: Any, encoded: Sequence[NDArray[np.int64]], settings: BuiltinConfig) -> BertConfig:
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.hidden_size,
        max_position_embeddings=settings.positions,
        type_vocab_size=TOKEN_TYPES,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=0.0,  # costs much time on a CPU
        initializer_range=WEIGHT_SCALE,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    config.update({MATCH_TYPES_KEY: True, MATCH_IGNORED_KEY: _ignored(tokenizer, encoded, settings.common_share)})
    return config


def _ignored(tokenizer: Any, encoded: Sequence[NDArray[np.int64]], common_share: float) -> list[int]:
    """Ids of punctuation and of pieces that stand in more than `common_share` of the texts."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for ids in encoded:
        counts[np.unique(ids)] += 1
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    marks = np.array([not any(letter.isalnum() for letter in piece) for piece in pieces])
    return [int(index) for index in np.flatnonzero((counts > common_share * len(encoded)) | marks)]


def piece_vectors(
    encoded: Sequence[NDArray[np.int64]], *, pieces: int, size: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(pieces, size) vectors of mean square 1 in which pieces with similar neighbours are close.

    A truncated singular value decomposition of the positive pointwise mutual information with the neighbours one and
    two places before and after, left vectors times the root of the values. Others get random vectors.

    Source: Levy & Goldberg 2014, Neural Word Embedding as Implicit Matrix Factorization, section 5.
    """
    rank = min(size, pieces)
    left, values = _decompose(_information(encoded, pieces), rank, seed=int(rng.integers(2**32)))
    vectors = np.zeros((pieces, size))
    vectors[:, :rank] = left * np.sqrt(values)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = norms > 1e-6
    scaled = vectors / np.where(known, norms, 1.0) * np.sqrt(size)
    return np.asarray(np.where(known, scaled, rng.normal(size=vectors.shape)), dtype=np.float32)


def _decompose(table: Any, rank: int, *, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Left singular vectors (pieces, rank) and values (rank,) of a sparse table, largest first.

    By torch instead of SciPy's ARPACK, whose last bits depend on memory addresses.

    Source: Halko, Martinsson & Tropp 2011, Finding Structure with Randomness, algorithm 5.1.
    """
    places = torch.from_numpy(np.stack([table.row, table.col]).astype(np.int64))
    weights = torch.from_numpy(table.data)
    matrix = torch.sparse_coo_tensor(places, weights, table.shape, check_invariants=True).coalesce()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, values, _ = torch.svd_lowrank(matrix, q=rank, niter=POWER_ITERATIONS)
    return left.numpy(), values.numpy()


def _information(encoded: Sequence[NDArray[np.int64]], pieces: int) -> Any:
    """Sparse positive pointwise mutual information (pieces, 4 * pieces) of each piece with its neighbours."""
    table = _neighbour_counts(encoded, pieces)
    rows = np.asarray(table.sum(axis=1)).ravel()
    columns = np.asarray(table.sum(axis=0)).ravel() ** SMOOTHING
    info = np.log(table.data * columns.sum() / (rows[table.row] * columns[table.col]))
    return sparse.coo_array((np.maximum(info, 0.0), (table.row, table.col)), shape=table.shape)


def _neighbour_counts(encoded: Sequence[NDArray[np.int64]], pieces: int) -> Any:
    """Sparse counts (pieces, 4 * pieces): of each piece, its neighbours after and before, closer ones counting more."""
    blocks = []
    for distance in NEIGHBOURS:
        left = np.concatenate([ids[:-distance] for ids in encoded])
        right = np.concatenate([ids[distance:] for ids in encoded])
        counts = sparse.csr_array((np.full(len(left), 1.0 / distance), (left, right)), shape=(pieces, pieces))
        blocks += [counts, counts.T]
    return sparse.csr_array(sparse.hstack(blocks)).tocoo()


def sinusoids(positions: int, size: int) -> NDArray[np.float32]:
    """(positions, size) sines, then cosines, of decreasing frequency. Source: Vaswani et al. 2017, section 3.5."""
    angles = np.arange(positions)[:, None] / 10_000 ** (np.arange(0, size, 2)[None, :] / size)
    return np.asarray(np.concatenate([np.sin(angles), np.cos(angles)], axis=1), dtype=np.float32)
