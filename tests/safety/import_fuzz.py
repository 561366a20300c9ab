"""Files of every format with random changes, and what an import must do with them.

A change keeps the structure (one value of the JSON replaced, removed or repeated) or not (bytes cut, flipped, inserted,
other encodings, gzip). An import ends with 0 or with one line, in bounded time, and a refused one changes nothing.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.commands import new_workspace, run
from tests.safety.server_fuzz import changed

HANG, WAIT = 10.0, 60.0  # seconds of the processor that an import may take; on the clock of a busy machine
ROLES = ("gold", "pool", "dev", "corpus", "test")
_DOCUMENTED = Path(__file__).parents[2] / "docs" / "formats.md"
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\x00\x00")
_CHUNKS = (
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\r",
    b"\n",
    b'"',
    b"{",
    b"]",
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b",",
)
_KEYS = ("id", "answers", "answer", "answer_start", "text", "context", "qas", "data", "title", "is_impossible", "label")


def seeds() -> dict[str, bytes]:
    """Valid files by name: every example of the documentation, with the record three times where that makes sense."""
    found = {}
    for line in _DOCUMENTED.read_text(encoding="utf-8").splitlines():
        cells = line.split(" | ")
        if line.startswith("| ") and len(cells) == 3 and "`" in cells[1]:
            content = cells[2].strip(" |`").replace("⏎", "\n").replace("⇥", "\t")
            name = cells[1].strip(" `")
            repeated = name.endswith("jsonl") and "\n" not in content
            found[name] = ("\n".join([content] * 3) if repeated else content).encode()
    return found


def binary_seeds(folder: Path) -> dict[str, bytes]:
    """The files of a parquet file and of a saved dataset, by their path."""
    import datasets
    import pyarrow.parquet

    row = {"id": "q1", "title": "T", "context": "Oda built it.", "question": "Who?"}
    row_with_answers = {**row, "answers": {"text": ["Oda"], "answer_start": [0]}}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row_with_answers] * 3), folder / "a.parquet")
    datasets.Dataset.from_list([row_with_answers] * 3).save_to_disk(str(folder / "set"))
    files = [folder / "a.parquet", *sorted((folder / "set").iterdir())]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


# --- changes -------------------------------------------------------------------------------------------------------


def spoiled(name: str, content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """The name and content of a changed file."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = _json_change(content, chance) if chance.random() < 0.6 else content
    if chance.random() < 0.4:
        content = _byte_change(content, chance)
    if chance.random() < 0.05:
        content = content.decode("utf-8", "replace").encode(
            chance.choice(("utf-16", "utf-16-le", "cp949", "utf-8-sig")), "replace"
        )
    if chance.random() < 0.1:
        name, content = f"{name}.gz", gzip.compress(content, mtime=0)
        content = _byte_change(content, chance) if chance.random() < 0.5 else content
    if chance.random() < 0.05:
        name = f"x.{chance.choice(('json', 'jsonl', 'csv', 'tsv', 'txt', 'md', 'parquet'))}"
    return name, content


def _json_change(content: bytes, chance: random.Random) -> bytes:
    """One value of a JSON document, or of one of its lines, changed; other content as it is."""
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    try:
        value = json.loads(lines[place])
    except (ValueError, RecursionError):
        return content
    new = _renamed(value, chance) if chance.random() < 0.15 else changed(value, chance)
    try:
        lines[place] = json.dumps(new).encode()
    except (ValueError, RecursionError):
        return content
    return b"\n".join(lines)


def _renamed(value: Any, chance: random.Random) -> Any:
    """The value with a key of an object somewhere in it named as another known field."""
    if isinstance(value, list) and value:
        place = chance.randrange(len(value))
        return [*value[:place], _renamed(value[place], chance), *value[place + 1 :]]
    if not isinstance(value, dict) or not value:
        return value
    key = chance.choice(list(value))
    if chance.random() < 0.5:
        return {chance.choice(_KEYS) if each == key else each: inner for each, inner in value.items()}
    return {**value, key: _renamed(value[key], chance)}


def _byte_change(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) + 1)
    match chance.randrange(6):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + chance.choice(_CHUNKS) + content[place:]
        case 2:
            return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
        case 3:
            return chance.choice(_BOMS) + content
        case 4:
            end = min(len(content), place + chance.randrange(200))
            return content[:end] + content[place:end] * chance.choice((1, 3, 50)) + content[end:]
    end = min(len(content), place + chance.randrange(50))
    return content[:place] + content[end:]


# --- imports -------------------------------------------------------------------------------------------------------


class Session:
    """A workspace into which changed files are imported; a new one after every few."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._text = seeds()
        self._binary = binary_seeds(folder)
        self._count = 0
        self._workspace = folder

    def one(self, seed: int) -> None:
        """Import one changed file. Raises AssertionError where it does not end as it must."""
        chance = random.Random(seed)
        if self._count % 40 == 0:
            self._workspace = new_workspace(self._folder / f"ws{self._count}")
        self._count += 1
        place = self._folder / "given"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        file = self._file(place, chance)
        arguments = ("--as", chance.choice(ROLES))
        if chance.random() < 0.1:
            arguments = ("--split", "gold=1,dev=1,pool=rest")
        extra = ("--empty", chance.choice(("none", "reject")), "--id-prefix", "p-") if chance.random() < 0.2 else ()
        imported(self._workspace, file, *arguments, *extra)
        if self._count % 40 == 0:
            shutil.rmtree(self._workspace)

    def _file(self, place: Path, chance: random.Random) -> Path:
        if chance.random() < 0.15:
            return self._binary_file(place, chance)
        name = chance.choice(list(self._text))
        name, content = spoiled(name, self._text[name], chance)
        (place / name).write_bytes(content)
        return place if chance.random() < 0.03 else place / name

    def _binary_file(self, place: Path, chance: random.Random) -> Path:
        spoilt = chance.choice(list(self._binary))
        for name, content in self._binary.items():
            (place / name).parent.mkdir(exist_ok=True)
            new = content
            if name == spoilt:
                new = (
                    _json_change(content, chance)
                    if name.endswith("json") and chance.random() < 0.5
                    else _byte_change(content, chance)
                )
            (place / name).write_bytes(new)
        return place / ("a.parquet" if spoilt == "a.parquet" else "set")


def imported(workspace: Path, file: Path, *arguments: str) -> None:
    """Import a file as a command does: done, or one line and nothing changed, in bounded time."""
    before, began, cpu = _state(workspace), time.monotonic(), time.process_time()
    ran = run("import", file, *arguments, "-w", workspace)
    seconds, used = time.monotonic() - began, time.process_time() - cpu
    assert used < HANG, f"{used:.1f} s of the processor"
    assert seconds < WAIT, f"{seconds:.1f} s"
    assert ran.code in (0, 1), f"{ran.code}: {ran.err}"
    assert "Traceback" not in ran.err, ran.err
    if ran.code == 1:
        message = ran.fault
        assert re.search(r"given|bomb", message), f"no place: {message}"
        assert _state(workspace) == before, "half written"


def _state(workspace: Path) -> list[int]:
    with closing(sqlite3.connect(workspace / "labeler.db")) as database:
        tables = ("imports", "documents", "passages", "questions", "labels", "label_answers", "hidden_questions")
        return [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


# --- bombs ---------------------------------------------------------------------------------------------------------


def bombs(size: int) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """File name, and what writes it: small files that unpack to `size` bytes, and plain ones of that size."""

    def packed(start: bytes, unit: bytes, end: bytes) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            with gzip.open(path, "wb", compresslevel=9) as file:
                file.write(start)
                block = unit * ((1 << 20) // len(unit))
                for _ in range(size >> 20):
                    file.write(block)
                file.write(end)

        return write

    def plain(start: bytes, unit: bytes, end: bytes) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            with path.open("wb") as file:
                file.write(start)
                for _ in range(size >> 20):
                    file.write(unit * ((1 << 20) // len(unit)))
                file.write(end)

        return write

    yield "bomb-zeros.json.gz", packed(b"", b"\x00", b"")
    yield "bomb-spaces.json.gz", packed(b"[", b" ", b"]")
    yield "bomb-text.jsonl.gz", packed(b'{"question": "', b"x", b'"}')
    yield "bomb-rows.jsonl.gz", packed(b"", b'{"question": "a"}\n', b"")
    yield "bomb-objects.json.gz", packed(b"[{}", b",{}", b"]")
    yield "bomb-line.jsonl", plain(b'{"question": "', b"x", b'"}\n')
    yield "bomb-value.json", plain(b'{"data": ["', b"x", b'"]}')
    yield "bomb-deep.json", plain(b"", b"[", b"")
    yield "bomb-deep-objects.json", plain(b"", b'{"a":', b"1")
    yield "bomb-empty-lists.json", plain(b"[[[]", b",[]", b"]]")
    yield "bomb-empty-objects.json", plain(b"[{}", b",{}", b"]")
    yield "bomb-numbers.json", plain(b"[1", b",1", b"]")
    yield "bomb-digits.json", plain(b"[", b"9", b"]")
    yield "bomb-members.json", plain(b"{", b'"a":[],', b'"b":1}')
    yield "bomb-rows.jsonl", plain(b"", b"{}\n", b"")
    yield "bomb-cells.csv", plain(b"question,", b",", b"\n")
    yield "bomb-rows.csv", plain(b"question\n", b"\n", b"a\n")
    yield "bomb-quotes.csv", plain(b'question\n"', b'""', b'"\n')
    yield "bomb-spaces.txt", plain(b"", b" \n", b"a")
    yield "bomb-lines.md", plain(b"# a\n", b"a\n\n", b"")
    yield "bomb-array.csv", plain(b'question,answers\na,"[', b"[", b'"\n')
    yield "bomb-dictionary.parquet", lambda path: _dictionary(path, rows=2000)
    yield "bomb-nulls.parquet", lambda path: _nulls(path, rows=5_000_000)


def _dictionary(path: Path, *, rows: int) -> None:
    """A parquet file in which one long text is repeated by reference."""
    import pyarrow
    import pyarrow.parquet

    long = pyarrow.array([random.Random(0).randbytes(1 << 19).hex()])
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), long)
    table = pyarrow.table({"text": column})
    pyarrow.parquet.write_table(table, path, compression="zstd")


def _nulls(path: Path, *, rows: int) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.nulls(rows, pyarrow.string())}), path)


def explode(folder: Path, size: int, *, only: str = "", say: Callable[[str], None] = lambda line: None) -> None:
    """Import every bomb under a role that reads it, and as reviews. Raises AssertionError."""
    workspace = new_workspace(folder / "ws")
    for name, write in bombs(size):
        if not re.search(only, name):
            continue
        path = folder / name
        write(path)
        began = time.monotonic()
        imported(workspace, path, "--as", "corpus" if name.endswith((".txt", ".md", ".parquet")) else "pool")
        say(f"{name}: {time.monotonic() - began:.1f} s, {peak_mib():.0f} MiB")
        if name.endswith((".json", ".json.gz")):
            imported(workspace, path, "--as", "reviews")
            say(f"{name} as reviews: {time.monotonic() - began:.1f} s, {peak_mib():.0f} MiB")
        path.unlink()


def peak_mib() -> float:
    """The highest memory use of this process."""
    with Path("/proc/self/status").open(encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":  # in a process of its own, whose memory is measured
    with tempfile.TemporaryDirectory() as given:
        explode(Path(given), int(sys.argv[1]) << 20)
    sys.stdout.write(f"{peak_mib():.0f}\n")
