"""The subwords of a checkpoint's tokenizer as terms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mrc.analyzers.base import without_surrogates
from mrc.encoder.files import check_folder
from mrc.encoder.tokenizer_files import check_tokenizer_json
from mrc.errors import BadCheckpoint

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PREFIX = "wordpiece:"
_BATCH = 256


class WordPiece:
    """Subwords by the tokenizer of a checkpoint, without unknown tokens.

    `version` holds a hash of `tokenizer.json`: an index stays valid when the folder is copied, and is stale when the
    folder holds another tokenizer.
    """

    def __init__(self, folder: str) -> None:
        """Raises BadCheckpoint: there is no readable `tokenizer.json` in the folder."""
        path = Path(folder).expanduser().resolve() / "tokenizer.json"
        try:
            path.stat()
            check_folder(path.parent)
            check_tokenizer_json(path.parent)
            content = path.read_bytes()
        except OSError as error:
            hint = "name the folder of a checkpoint with a fast tokenizer as wordpiece:FOLDER"
            raise BadCheckpoint(f"{path}: {error.strerror}; {hint}") from None
        self.name = f"{PREFIX}{path.parent}"
        self.version = f"1+tokenizers{version('tokenizers')}+{hashlib.sha256(content).hexdigest()[:16]}"
        self._tokenizer = _tokenizer(path, content)

    def terms(self, texts: Iterable[str]) -> Iterator[list[str]]:
        remaining = map(without_surrogates, texts)
        while batch := list(islice(remaining, _BATCH)):
            for encoding in self._tokenizer.encode_batch(batch, add_special_tokens=False):
                yield [token for token in encoding.tokens if token not in self._unknown]

    def __call__(self, text: str) -> list[str]:
        return next(self.terms([text]))

    @property
    def _unknown(self) -> frozenset[str]:
        model = self._tokenizer.model
        return frozenset({getattr(model, "unk_token", None) or "[UNK]"})


def _tokenizer(path: Path, content: bytes) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(content)
    except ValueError as error:
        raise BadCheckpoint(f"{path}: not a tokenizer ({str(error)[:200]}); save the checkpoint again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
