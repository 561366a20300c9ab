"""Text files of any encoding, atomic writes, and a lock on a folder."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from labeler.core.errors import FileError
from labeler.core.files.compressed import open_bytes
from labeler.core.files.locks import file_lock
from mrc.files import sync, sync_folder
from mrc.removal import TRASH

BLOCK = 1 << 20  # bytes read at a time
SAMPLE = 1 << 18  # bytes given to the detector: with more it gets slower, not better

# utf-32-le starts with the two bytes of utf-16-le, so it is tried first.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that decodes as a whole; `sha256` is of its unpacked bytes. `guessed`: no BOM, and not UTF-8."""

    path: Path
    encoding: str
    guessed: bool
    sha256: str


def detect_encoding(path: Path) -> TextFile:
    """The encoding and hash of a text file, after decoding every byte of it once.

    Tried in this order: byte order mark; UTF-16 that shows in the first bytes; UTF-8; CP949 (a superset of EUC-KR) if
    most of the decoded text is Hangul; the choice of charset_normalizer. A file that is mostly UTF-8 with other bytes
    in it is refused.

    Raises FileError, with the byte position, for an empty, binary, mixed or undecodable file.
    """
    with open_bytes(path) as file:
        head = file.read(4)
    if not head:
        raise FileError(f"{path}: the file is empty")
    bom = next((name for mark, name in _BOMS if head.startswith(mark)), None)
    wide = _utf16_of(head)
    if wide is not None and _undecodable(path, wide) is None:
        return TextFile(path, wide, guessed=True, sha256=sha256_of(path))
    failure = _undecodable(path, bom or "utf-8")
    if failure is None:
        return TextFile(path, bom or "utf-8", guessed=False, sha256=sha256_of(path))
    if bom is not None:
        raise FileError(
            f"{path}: byte {failure} is not {bom}, which its byte order mark announces; save it again as UTF-8"
        )
    encoding = _guess(path, failure)
    second = _undecodable(path, encoding)
    if second is not None:
        raise FileError(f"{path}: byte {failure} is not UTF-8, byte {second} not {encoding}; save it again as UTF-8")
    return TextFile(path, encoding, guessed=True, sha256=sha256_of(path))


def _utf16_of(head: bytes) -> str | None:
    """The UTF-16 of a text without a byte order mark whose first two characters are ASCII; None for other bytes."""
    zeros = [byte == 0 for byte in head]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else None


def _undecodable(path: Path, encoding: str) -> int | None:
    """The position of the first byte that does not decode, or None."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    read = 0
    with open_bytes(path) as file:
        while True:
            block = file.read(BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return read - pending + error.start
            if not block:
                return None
            read += len(block)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the unpacked content of a file."""
    digest = hashlib.sha256()
    with open_bytes(path) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _guess(path: Path, failure: int) -> str:
    """The likely encoding of a file that is not UTF-8 from byte `failure` on."""
    import charset_normalizer

    with open_bytes(path) as file:
        skip = max(0, failure - SAMPLE // 2)
        while skip and (block := file.read(min(skip, BLOCK))):
            skip -= len(block)
        sample = file.read(SAMPLE)
    valid = sum(len(match) for match in _UTF8_SEQUENCE.findall(sample))
    if 2 * valid >= len(_HIGH.findall(sample)):  # CP949 is UTF-8 by chance in about a tenth of its bytes
        raise FileError(f"{path}: byte {failure} is not UTF-8, though the text around it is; correct that place")
    if b"\x00" in sample:
        raise FileError(f"{path}: byte {failure} is not text (a binary file?)")
    if _mostly_hangul(sample):
        return "cp949"
    best = charset_normalizer.from_bytes(sample).best()
    if best is None:
        raise FileError(f"{path}: byte {failure} is not UTF-8, and no other encoding fits; save it again as UTF-8")
    return best.encoding


def _mostly_hangul(sample: bytes) -> bool:
    # The sample may start and end within a character; the two replacement characters do not change the result.
    wide = [char for char in sample.decode("cp949", errors="replace") if char > "\x7f"]
    return sum("가" <= char <= "힣" for char in wide) * 10 >= len(wide) * 7


def open_text(file: TextFile) -> TextIO:
    """Open the file for reading, unpacked, newlines unchanged. The byte order mark is not part of the text."""
    return io.TextIOWrapper(open_bytes(file.path), encoding=file.encoding, newline="")


def read_text(path: Path) -> tuple[str, TextFile]:
    """The whole text of a file, newlines unchanged, and how it was decoded. Raises FileError, OSError."""
    known = detect_encoding(path)
    with open_text(known) as file:
        return file.read(), known


def text_fault(text: str) -> str | None:
    """Why a text cannot be stored (a NUL character, half a surrogate pair), with the offset; None if it can."""
    nul = text.find("\x00")
    if nul >= 0:
        return f"a NUL character at offset {nul}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"half a surrogate pair (U+{ord(text[error.start]):04X}) at offset {error.start}"
    return None


def refuse_outside_links(folder: Path) -> None:
    """Raise FileError if a link in a folder points out of it: the folder could name any file of the machine."""
    home = folder.resolve()
    for base, folders, names in os.walk(folder, followlinks=False):
        for name in (*folders, *names):
            entry = Path(base) / name
            if entry.is_symlink() and not entry.resolve().is_relative_to(home):
                raise FileError(f"{entry}: a link that leads out of {folder}; replace it by the file itself")


@contextlib.contextmanager
def atomic_write(path: Path, *, private: bool = False) -> Iterator[TextIO]:
    """Write a text file (UTF-8, newlines unchanged) that replaces `path` when the block ends without an error.

    `private`: only its owner may read it.
    Raises: OSError naming `path` when its folder is missing or read-only, or the disk is full.
    """
    with _named_in_errors(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        partial = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if not private:  # mkstemp makes private files
                partial.chmod(0o666 & ~_umask())
            partial.replace(path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make an empty folder beside `path` that is renamed to it when the block ends, and removed if it fails.

    Raises: FileError where `path` is a file or a folder that is not empty; OSError as `atomic_write`.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise FileError(f"{path}: exists already; remove it or choose another path")
    with _named_in_errors(path):
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            partial.chmod(0o777 & ~_umask())
            yield partial
            sync_folder(partial)
            partial.replace(path)
            sync(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def is_leftover(path: Path) -> bool:
    """Whether a process of this tool that was killed left this file or folder: a partial one, or a trash folder."""
    return (path.name.startswith(".") and path.name.endswith(".part")) or path.name == TRASH


@contextlib.contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    """Put `path` into OSErrors, which have the temporary name or, for a full disk, none."""
    try:
        yield
    except OSError as error:
        if error.filename is None or ".part" in str(error.filename):
            error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def folder_lock(folder: Path, refusal: Callable[[], Exception]) -> Iterator[None]:
    """Hold the folder's `.lock` for this process; the operating system releases it if the process is killed.

    Raises: the refusal where another process holds it; FileError where `.lock` is a link or no file.
    """
    with file_lock(folder / ".lock", refusal=refusal):
        yield
