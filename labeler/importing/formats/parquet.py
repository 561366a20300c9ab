"""Read parquet files in small batches, only the columns that are imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labeler.core.errors import ImportRefused
from labeler.core.files import sha256_of
from labeler.importing.fields.names import is_known, looks_like_id
from labeler.importing.formats.content import Content, Part
from labeler.importing.formats.gathering import gather
from labeler.importing.formats.nested import is_nested, node_parts
from labeler.importing.formats.reading import Reading
from labeler.importing.formats.records import parts
from mrc.errors import MissingExtra

BATCH = 500  # rows
_TEXT = "BYTE_ARRAY"
FLOOR, RATIO = 1 << 28, 100  # bytes that any file may unpack to; larger ones: times the size of the file


def read_parquet(path: Path, reading: Reading) -> Content:
    """Read a parquet file. Raises ImportRefused, MissingExtra, OSError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(f"{path}: parquet files need pyarrow; install it: pip install 'labeler[hf]'") from error
    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=False)
        texts = [leaf.path for leaf in map(file.schema.column, range(len(file.schema))) if leaf.physical_type == _TEXT]
        file = pyarrow.parquet.ParquetFile(path, memory_map=False, read_dictionary=texts)
        return gather(_parts(path, file, reading), name=path.name, sha256=sha256_of(path), format="parquet")
    except (pyarrow.ArrowException, ValueError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file system; those of pyarrow have no number
        why = str(error).partition("\n")[0][:200]
        raise ImportRefused(f"{path}: not a parquet file that can be read ({why}); write it again") from error


def _parts(path: Path, file: Any, reading: Reading) -> Iterator[tuple[str, Part]]:
    names = list(file.schema_arrow.names)
    wanted = [name for name in names if is_known(name)]
    if not wanted:
        raise ImportRefused(f"{path}: none of its columns is a question, a context or a text: {', '.join(names[:8])}")
    for number, row in enumerate(_rows(path, file, wanted)):
        if is_nested(row):
            yield from node_parts(str(path), f"row {number}", row, reading)
        else:
            yield from parts(f"{path}: row {number}", row, reading)
    reading.ignore(name for name in names if name not in wanted and looks_like_id(name))


def _rows(path: Path, file: Any, wanted: list[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows, one at a time: a long text that all share is held once, as the file does."""
    size, metadata = path.stat().st_size, file.metadata
    room = max(FLOOR, RATIO * size)
    if metadata.num_rows > size:
        raise ImportRefused(f"{path}: {metadata.num_rows:,} rows in {size:,} bytes; write it again")
    if sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)) > room:
        raise _too_large(path)
    for batch in file.iter_batches(batch_size=BATCH, columns=wanted):
        for number in range(len(batch)):
            (row,) = batch.slice(number, 1).to_pylist()
            room -= _size(row)
            if room < 0:
                raise _too_large(path)
            yield row


def _too_large(path: Path) -> ImportRefused:
    return ImportRefused(f"{path}: unpacks to over {RATIO} times its size; write it again without repetitions")


def _size(value: Any) -> int:
    """About the bytes that a value of a row takes."""
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else len(value) if isinstance(value, str | bytes) else 8
