"""Read parquet files in small batches, only the columns that are imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labeler.core.errors import ImportRefused
from labeler.core.files import sha256_of
from labeler.importing.fields.names import is_known, looks_like_id
from labeler.importing.formats.content import Content, Part, gather
from labeler.importing.formats.nested import is_nested, node_parts
from labeler.importing.formats.reading import Reading
from labeler.importing.formats.records import parts
from mrc.errors import MissingExtra

BATCH = 500  # rows
BATCH_BYTES = 1 << 28  # that a batch may take
FLOOR, RATIO = 1 << 28, 100  # bytes that any file may unpack to; larger ones: times the size of the file


def read_parquet(path: Path, reading: Reading) -> Content:
    """Read a parquet file. Raises ImportRefused, MissingExtra, OSError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(f"{path}: parquet files need pyarrow; install it: pip install 'labeler[hf]'") from error
    try:
        found = list(_parts(path, pyarrow.parquet.ParquetFile(path, memory_map=False), reading))
    except (pyarrow.ArrowException, ValueError, OverflowError, UnicodeDecodeError) as error:
        why = str(error).partition("\n")[0][:200]
        raise ImportRefused(f"{path}: not a parquet file that can be read ({why}); write it again") from error
    return gather(found, sha256=sha256_of(path), format="parquet")


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
    size = path.stat().st_size
    room = max(FLOOR, RATIO * size)
    if file.metadata.num_rows > size:
        raise ImportRefused(f"{path}: {file.metadata.num_rows:,} rows in {size:,} bytes; write it again")
    for batch in file.iter_batches(batch_size=_batch_size(path, file.metadata, room), columns=wanted):
        room -= batch.nbytes
        if room < 0:
            raise ImportRefused(f"{path}: unpacks to over {RATIO} times its size; write it again without repetitions")
        yield from batch.to_pylist()


def _batch_size(path: Path, metadata: Any, room: int) -> int:
    """The rows of a batch: few where a dictionary could repeat one long text in every row."""
    largest = 1
    for group in range(metadata.num_row_groups):
        columns = metadata.row_group(group)
        for column in range(columns.num_columns):
            chunk = columns.column(column)
            if chunk.total_uncompressed_size > room:
                raise ImportRefused(f"{path}: unpacks to over {RATIO} times its size; is it what it should be?")
            if chunk.has_dictionary_page:
                largest = max(largest, chunk.total_uncompressed_size)
    return max(1, min(BATCH, BATCH_BYTES // largest))
