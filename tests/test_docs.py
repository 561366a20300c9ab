"""The documentation is right: its links and paths exist, its commands are those of the program, generated pages fit."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from labeler.ablation.arms import chosen_arms
from labeler.cli import cli
from labeler.core.config import section_types
from labeler.demo.encyclopaedia import make_encyclopaedia
from labeler.rounds.steps import human_review
from mrc.corpus import Corpus
from mrc.settings import settings_of
from tests.labeler.fake_studio import FakeStudio
from tests.mrc import tiny
from tests.worlds import SETTINGS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PACKAGE_PATH = re.compile(r"(?:labeler|mrc|db|tests|benchmarks|docs|\.github)/[\w./-]*\w\.\w+")
PLACEHOLDERS = {"N": "1", "A": "1", "B": "2"}  # of the documentation, where the program wants a number
FILE_ENDINGS = {"json", "md", "py", "toml", "txt", "csv", "html", "lock"}  # of files named like a section
SMALL_READER = {("read", "max_seq_length"): 64, ("read", "doc_stride"): 20, ("read", "max_answer_length"): 10}
VALUE = "value"  # stands for a placeholder such as FILE or …


@dataclass(frozen=True, slots=True)
class Command:
    """A command line of the documentation. One inside a sentence may leave out arguments."""

    page: str
    line: int
    words: tuple[str, ...]  # behind `labeler`
    in_sentence: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: labeler {' '.join(self.words)}"


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# --- generated pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "module"), [("cli.md", "labeler.cli.reference"), ("settings.md", "labeler.core.settings_text")]
)
def test_generated_pages_are_up_to_date(page: str, module: str) -> None:
    # In a separate process: click keeps the help option of whoever asked a command first.
    made = subprocess.run([sys.executable, "-m", module], check=True, capture_output=True, encoding="utf-8", cwd=ROOT)
    assert read(ROOT / "docs" / page) == made.stdout, f"write it again: python -m {module} > docs/{page}"


def test_the_table_of_architectures_is_up_to_date() -> None:
    module = "mrc.read.model.architectures"
    made = subprocess.run([sys.executable, "-m", module], check=True, capture_output=True, encoding="utf-8", cwd=ROOT)
    page = read(ROOT / "docs" / "reading.md")
    found = page.partition(f"<!-- python -m {module} -->")[2].partition("<!-- end -->")[0]
    assert found.strip() == made.stdout.strip(), f"copy it again: python -m {module}"


# --- links and paths ---------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", without_code(read(page)), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(read(page))):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_of_the_repository_that_a_page_names_exists(page: Path) -> None:
    named = {path for code in re.findall(r"`([^`\n]+)`", read(page)) for path in PACKAGE_PATH.findall(code)}
    assert {path for path in named if not (ROOT / path).exists()} == set()


# --- commands ----------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[Command]:
    """Every `labeler …` command line of a page: in code blocks, after `Example:`, and in inline code."""
    text = read(page)
    for number, line in enumerate(logical_lines(text), 1):
        in_block = re.match(r"\s{4,}|\s*(\$ |Example: )|(make|labeler|pip|python) ", line) is not None
        for code in [line] if in_block else re.findall(r"`([^`]+)`", line):
            for words in split_commands(code):
                yield Command(name_of(page), number, words, in_sentence=not in_block)


def logical_lines(text: str) -> list[str]:
    """Lines with those that end in a backslash joined to the next; in the same number of lines."""
    found: list[str] = []
    for line in text.splitlines():
        if found and found[-1].endswith("\\"):
            found[-1] = f"{found[-1][:-1]} {line.strip()}"
        else:
            found.append(line)
    return found


def split_commands(code: str) -> Iterator[tuple[str, ...]]:
    """The words behind `labeler` of every command in a line of code; alternatives such as `start|stop` one by one."""
    code = re.sub(r"^\s*(\$|Example:|next:)?\s*", "", code)
    for part in re.split(r"\s*(?:&&|;)\s*", re.sub(r"(^|\s)#(\s.*)?$", "", code)):
        part = re.sub(r"^(\w+=\S+ )+", "", part)  # variables before a command
        if not part.startswith("labeler ") or re.search(r"[\[\]]|\.\.\.|…$", part):
            continue
        words = shlex.split(part.replace("…", VALUE))[1:]
        alternatives = words[-1].split("|") if "|" in words[-1] else [words[-1]]
        for last in alternatives:
            yield (*words[:-1], last)


def check(command: Command) -> None:
    """Raises click.UsageError where the program does not know a command, an option or a value."""
    words, current = list(command.words), cli
    context = click.Context(cli, info_name="labeler")
    while isinstance(current, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = current.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name!r}")
        current, context = found, click.Context(found, parent=context, info_name=name)
    if isinstance(current, click.Group) and not current.invoke_without_command:
        if words and words[0] not in ("-h", "--help", "--version"):
            raise click.UsageError(f"{context.command_path} has no option {words[0]}")
        return
    given = [PLACEHOLDERS.get(word, word) for word in words]
    try:
        current.make_context(str(context.info_name), given, parent=context.parent)
    except click.exceptions.Exit:  # --help
        return
    except (click.MissingParameter, click.BadOptionUsage):
        if not command.in_sentence:
            raise


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_line_of_a_page_is_one_that_the_program_takes(page: Path) -> None:
    wrong = []
    for command in commands(page):
        try:
            check(command)
        except click.UsageError as error:
            wrong.append(f"{command}: {error.format_message()}")
    assert wrong == []


def test_command_lines_are_found_and_wrong_ones_are_refused() -> None:
    found = [command for page in PAGES for command in commands(page)]
    assert len(found) > 80
    assert {command.words[0] for command in found} > {"init", "import", "index", "train", "round", "studio", "export"}
    for words in ("imprt f", "index --dens m", "studio begin", "rounds revert one"):
        with pytest.raises(click.UsageError):
            check(Command("", 0, tuple(words.split()), in_sentence=False))


# --- settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {name: {each.name for each in settings_of(kind)} for name, kind in section_types().items()}
    snippets = re.findall(r"`([^`\n]+)`|^ {4}(.+)$", read(page), flags=re.MULTILINE)
    code = "\n".join(inline or block for inline, block in snippets)
    named = re.findall(rf"(?<![\w./-])({'|'.join(known)})\.([a-z]\w*)(?![\w/(.])", code)
    assert {f"{section}.{key}" for section, key in named if key not in known[section] | FILE_ENDINGS} == set()


def test_every_ablation_arm_of_a_page_exists() -> None:
    shown = [command.words for page in PAGES for command in commands(page) if command.words[0] == "ablate"]
    named = {word for words in shown for option, word in pairwise(words) if option == "--arms" and word != "NAME"}
    assert named
    for names in named:
        chosen_arms(names, (), ())


# --- benchmarks --------------------------------------------------------------------------------------


def test_every_benchmark_is_documented_and_every_documented_one_exists() -> None:
    from benchmarks.run import BENCHMARKS

    documented = set(re.findall(r"python benchmarks/(\w+)\.py", read(ROOT / "docs" / "benchmarks.md")))
    assert documented - {"run"} == set(BENCHMARKS)


# --- the quick start ---------------------------------------------------------------------------------


def quick_start() -> list[list[str]]:
    """The blocks of commands of the README's quick start, line by line."""
    section = re.split(r"^## ", read(ROOT / "README.md"), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith("Quick start"))
    blocks = re.findall(r"(?:^    .*\n)+", text, flags=re.MULTILINE)
    return [block.splitlines() for block in blocks if "labeler init" in block]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], None]:
    """Runs lines of commands in a folder with small files, under small settings and with a tiny checkpoint."""
    checkpoint = tiny.bert(tmp_path / "tiny")
    settings = dict(SETTINGS) | SMALL_READER
    for (section, key), value in settings.items():
        monkeypatch.setenv(f"LABELER_{section}__{key}".upper(), str(value))
    monkeypatch.chdir(tmp_path)

    def run(lines: Sequence[str]) -> None:
        for line in lines:
            for part in re.split(r"\s*&&\s*", re.sub(r"\s#.*$", "", line.strip())):
                words = shlex.split(part)
                if words[0] == "cd":
                    monkeypatch.chdir(words[1])
                    continue
                if "--model" in words:
                    words[words.index("--model") + 1] = str(checkpoint)
                done = CliRunner().invoke(cli, words[1:])
                assert done.exit_code == 0, f"{part}: {done.output}"

    return run


def test_the_quick_start_runs_on_a_small_corpus(small: Callable[[Sequence[str]], None]) -> None:
    Path("train.json").write_text(json.dumps(make_encyclopaedia("en", seed=5, documents=500).squad()), encoding="utf-8")
    small(quick_start()[0])
    assert json.loads(Path("grown.json").read_text())["data"]
    assert "<svg" in Path("report.html").read_text()


def test_the_quick_start_with_people_runs_on_a_small_corpus(
    small: Callable[[Sequence[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_encyclopaedia("ko", seed=5, documents=120).squad()["data"]
    Path("articles").mkdir()
    for number, article in enumerate(corpus):
        text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        Path(f"articles/{number}.txt").write_text(text, encoding="utf-8")
    Path("gold.json").write_text(json.dumps({"data": corpus[:50]}), encoding="utf-8")
    rest = [qa["question"] for article in corpus[50:] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    lines = [json.dumps({"question": question}) for question in rest]
    Path("questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    server = FakeStudio()
    monkeypatch.setattr(human_review, "client", lambda runtime: server)
    *commands_before, last = (line for line in quick_start()[1] if "studio start" not in line)  # tests of its own
    small(commands_before)
    assert server.open()
    for task in server.open():
        server.answer(task, "no_answer")
    small([last])
    rounds = json.loads(CliRunner().invoke(cli, ["rounds", "list", "--json"]).stdout)["rounds"]
    assert [each["stage"] for each in rounds] == ["closed", "closed"]


def test_the_python_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.findall(r"^```python\n(.*?)^```", read(ROOT / "README.md"), flags=re.MULTILINE | re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    for folder in re.findall(r'Reader\.load\("(.*?)"\)', example):
        tiny.bert(tmp_path / folder)
    exec(compile(example, "README.md", "exec"), {})
    assert len(Corpus.load("mills")) == 2
