"""Equal and near-equal texts: an identity that survives trivial edits, and pairs that share most of their shingles.

Splits keep texts of one identity on one side; near-duplicate pairs are listed, and kept together on request.
Source: Broder, "On the resemblance and containment of documents", 1997 (shingles, MinHash); Leskovec, Rajaraman &
Ullman, "Mining of Massive Datasets", chapter 3 (banding). Candidate pairs are checked by their exact Jaccard index.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHINGLE: Final = 4  # characters of a shingle, white space left out
SIMILARITY: Final = 0.7  # Jaccard index of two texts' shingles from which they count as near-duplicates
BANDS: Final = 32  # a pair of similarity .7 shares at least one band with probability 1 - (1 - .7^3)^32 > .9999
ROWS: Final = 3  # MinHash values of a band
KEPT: Final = 10_000  # texts whose shingles are kept while pairs are compared
LARGEST_BUCKET: Final = 200  # texts of one band value compared pairwise; in larger buckets each only with the first

_QUOTES: Final = dict.fromkeys(map(ord, "‘’‚‛“”„‟‹›«»「」『』〝〞＂＇`´′″"), "'") | {ord('"'): "'"}
_DASHES: Final = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
_MARKS: Final = ".?!,;:。、…"  # at the end of a text

Hashes = NDArray[np.uint64]


class _Folded(dict[int, str | int | None]):
    """What `fold` makes of a character by its code point, found when it first occurs; None: it is left out."""

    def __missing__(self, point: int) -> int | None:
        char = chr(point)
        found = None if char.isspace() or unicodedata.category(char) in ("Cf", "Cc") else point
        self[point] = found
        return found


_FOLDED: Final = _Folded(_QUOTES | _DASHES)
# The same for bytes of ASCII, which lower case comes with.
_ASCII: Final = bytes(ord(_QUOTES.get(point) or chr(point).lower()) for point in range(128)) + bytes(range(128, 256))
_LEFT_OUT: Final = bytes(point for point in range(128) if _FOLDED[point] is None)
_ASCII_MARKS: Final = _MARKS.encode("ascii", "ignore")
# Characters that no normal form changes and that compose with nothing; only those of ASCII have a case.
_SIMPLE: Final = re.compile("[\x00-\x7f가-힣一-鿿‘’“”–—·《》「」『』〈〉]*")


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two texts by their keys, `a` before `b`. `similarity`: Jaccard index of their shingles, 0-1; 1 if the identity
    is the same."""

    a: str
    b: str
    similarity: float


def fold(text: str) -> str:
    """The text without what trivial edits change: compatibility-composed, case folded, without white space, format
    characters and marks at its end, with one form of quotation mark and dash.

    White space goes entirely, since Korean is spaced freely (`누가 세웠나?` and `누가세웠나?` are one question).
    A text of nothing else is only stripped. Folding twice changes nothing.
    Source: Unicode 16, section 3.13.5, "compatibility caseless match".
    """
    if text.isascii():
        return _folded_ascii(text).decode("ascii")
    kept = text.lower().translate(_FOLDED) if _SIMPLE.fullmatch(text) else _folded_fully(text)
    return kept.rstrip(_MARKS) or kept or text.strip()


def _folded_fully(text: str) -> str:
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
    return unicodedata.normalize("NFKC", folded.translate(_FOLDED))  # what white space parted may compose now


def _folded_ascii(text: str) -> bytes:
    kept = text.encode("ascii").translate(_ASCII, _LEFT_OUT)
    return kept.rstrip(_ASCII_MARKS) or kept or text.strip().encode("ascii")


def identity(text: str) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of the folded text: equal for texts that are nearly equal."""
    folded = _folded_ascii(text) if text.isascii() else fold(text).encode("utf-8", "surrogatepass")
    return hashlib.sha256(folded).hexdigest()[:32]


def near_duplicates(texts: Mapping[str, str], *, similarity: float = SIMILARITY) -> list[NearDuplicate]:
    """The pairs of texts whose Jaccard index of shingles is at least `similarity`, most similar first, then by key.

    Pairs of one identity are among them with similarity 1. Of more than `LARGEST_BUCKET` texts that share a band,
    each is compared with the first of them alone, so that a thousand copies give a thousand pairs and not a million.

    Raises: ValueError for a similarity that is not above 0 and at most 1.
    """
    if not 0 < similarity <= 1:
        raise ValueError(f"similarity must be above 0 and at most 1, not {similarity}")
    keys = sorted(texts)
    signatures = np.empty((len(keys), BANDS), dtype=np.uint64)
    for number, key in enumerate(keys):
        signatures[number] = signature(shingles(texts[key]))
    shingled = lru_cache(maxsize=KEPT)(lambda number: shingles(texts[keys[number]]))
    found = {}
    for one, other in _candidates(signatures):
        index = jaccard(shingled(one), shingled(other))
        if index >= similarity:
            found[one, other] = index
    pairs = [NearDuplicate(keys[one], keys[other], index) for (one, other), index in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.a, pair.b))


def shingles(text: str) -> Hashes:
    """The distinct hashes of the shingles of a text's fold, ascending, (S,); a shorter fold is one shingle."""
    points = _points(text)
    return np.unique(_gram_hashes(points, max(1, min(SHINGLE, points.size))))


def gram_hashes(text: str, width: int) -> Hashes:
    """The hash of every run of `width` characters of a text's fold, in order; none of a shorter one."""
    points = _points(text)
    return _gram_hashes(points, width) if points.size >= width else np.empty(0, dtype=np.uint64)


def _points(text: str) -> Hashes:
    return np.frombuffer(fold(text).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)


def _gram_hashes(points: Hashes, width: int) -> Hashes:
    hashes: Hashes = np.zeros(max(points.size - width + 1, 1), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(min(width, points.size)):
            hashes = _mixed(hashes + points[place : place + hashes.size] + np.uint64(0x9E3779B97F4A7C15))
    return hashes


def jaccard(one: Hashes, other: Hashes) -> float:
    """Shared over all distinct shingles, 0-1."""
    shared = np.intersect1d(one, other, assume_unique=True).size
    return shared / (one.size + other.size - shared)


def _candidates(signatures: Hashes) -> Iterator[tuple[int, int]]:
    """Pairs of numbers whose MinHash values agree in a band, the lower first; each pair once."""
    seen: set[tuple[int, int]] = set()
    for band in range(BANDS):
        for members in _buckets(signatures[:, band]):
            pairs = (
                combinations(members, 2) if len(members) <= LARGEST_BUCKET else ((members[0], m) for m in members[1:])
            )
            fresh = [pair for pair in pairs if pair not in seen]
            seen.update(fresh)
            yield from fresh


def _buckets(values: Hashes) -> Iterator[list[int]]:
    """The numbers of equal values, ascending, of values that occur more than once."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    edges = [0, *(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist(), values.size]
    for start, end in pairwise(edges):
        if end - start > 1:
            yield order[start:end].tolist()


def signature(hashes: Hashes) -> Hashes:
    """One value a band of a text's shingles, (BANDS,): the hash of its `ROWS` MinHash values."""
    with np.errstate(over="ignore"):
        lowest: Hashes = _mixed(hashes[None, :] ^ _SEEDS[:, None]).min(axis=1).reshape(BANDS, ROWS)
        joined: Hashes = lowest[:, 0]
        for row in range(1, ROWS):
            joined = _mixed(joined + lowest[:, row])
    return joined


def _mixed(values: Hashes) -> Hashes:
    """Every bit of 64-bit values spread over all others. Source: Steele, Lea & Flood 2014, SplitMix64's finaliser."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_SEEDS: Final[Hashes] = np.random.default_rng(0).integers(0, 2**63, size=BANDS * ROWS, dtype=np.uint64)
