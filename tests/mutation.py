"""Mutation testing of the core logic: `python -m tests.mutation` (`make mutants`).

Operators come from cosmic-ray. A seeded sample of mutants of each module is tested, each in a fork of this process
that loads the mutated source and runs the tests of its module until one fails. A surviving mutant must be killed by a
new test, or listed with a reason in tests/equivalent_mutants.toml; otherwise the exit code is 1. The table is written
to docs/mutants.md.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parent.parent
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
TABLE = ROOT / "docs" / "mutants.md"
SAMPLE = 12  # mutants per module
SEED = 0
TIMEOUT = 300.0  # seconds; a mutant that loops forever is killed

W = "tests/labeler/"
C = "tests/mrc/calibration/"
R = "tests/mrc/retrieve/"
#: module -> its tests, the fastest first
TARGETS: dict[str, tuple[str, ...]] = {
    "labeler/rounds/select.py": (W + "test_select.py",),
    "labeler/rounds/gate.py": (W + "test_gate.py",),
    "labeler/rounds/strategies/mix.py": (W + "test_select.py", W + "test_strategies.py"),
    "labeler/evaluation/alarms.py": (W + "test_alarms.py",),
    "labeler/rounds/adjudication.py": (W + "test_adjudication.py",),
    "labeler/rounds/holdout.py": (W + "test_holdout.py",),
    "labeler/rounds/steps/labelling.py": (W + "test_labelling.py", W + "test_round_wiring.py"),
    "labeler/rounds/steps/calibrating.py": (W + "test_calibrating.py",),
    "labeler/rounds/steps/predicting.py": (W + "test_round_wiring.py", W + "test_predicting.py"),
    "labeler/rounds/steps/reviewing.py": (W + "test_predicting.py", W + "test_round_wiring.py", W + "test_given.py"),
    "labeler/importing/splits.py": (W + "test_splits.py",),
    "labeler/review/studio/pull.py": (W + "test_pulling.py",),
    "labeler/review/studio/pull_project.py": (W + "test_pulling.py",),
    "mrc/decode.py": ("tests/mrc/test_decode.py",),
    "mrc/calibration/selective.py": (C + "test_selective.py",),
    "mrc/calibration/platt.py": (C + "test_platt.py", C + "test_calibrate.py"),
    "mrc/calibration/calibrate.py": (C + "test_calibrate.py",),
    "mrc/calibration/retrieval_weight.py": (C + "test_retrieval_weight.py",),
    "mrc/calibration/scorers.py": (C + "test_scorers.py", C + "test_calibrate.py"),
    "mrc/calibration/features.py": (C + "test_features.py",),
    "mrc/calibration/quality.py": (C + "test_quality.py",),
    "mrc/calibration/certification.py": (C + "test_certification.py", C + "test_looks.py"),
    "mrc/calibration/looks.py": (C + "test_looks.py",),
    "mrc/retrieve/fuse.py": (R + "test_fuse.py",),
    "mrc/retrieve/bounds.py": (R + "test_kernel_loops.py", R + "test_kernel.py"),
    "mrc/retrieve/kernel.py": (R + "test_kernel_loops.py",),
    "mrc/retrieve/tuning.py": (R + "test_tuning.py",),
}

_ROW = re.compile(r"^\| `([^`]+)` \|([ \d|]+)\|$", re.MULTILINE)

INTRODUCTION = (
    "# Mutation testing",
    "",
    "`make mutants` changes one operator, number or branch of the core logic at a time, and runs its tests.",
    f"It tests a seeded sample of {SAMPLE} mutants per module (seed {SEED}). A mutant that passes its tests must be",
    "killed by a new test, or be listed in `tests/equivalent_mutants.toml` with the reason why it changes nothing.",
    "",
)

#: slow to import and not mutated: imported once, before the forks
PRELOADED = (
    "numpy", "scipy.optimize", "scipy.sparse", "sklearn.cluster", "sklearn.decomposition", "sklearn.ensemble",
    "sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.pipeline", "torch", "transformers", "numba",
    "sqlalchemy", "alembic", "jinja2", "click", "httpx", "tqdm", "_pytest.python", "_pytest.assertion.rewrite",
)  # fmt: skip

#: the operators of cosmic-ray that mimic mistakes: neighbours, off by one, a branch or a loop dropped
OPERATORS = (
    *(f"ReplaceComparisonOperator_{pair}" for pair in (
        "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in (
        "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul", "BitOr_BitAnd",
        "BitAnd_BitOr", "RShift_LShift", "LShift_RShift")),
    "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub", "AddNot", "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop", "ExceptionReplacer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed source of a module; `before` and `after` are its changed lines without indentation."""

    module: str  # path from the root
    line: int
    before: str
    after: str
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies a mutant while other lines of the module change."""
        return self.module, self.before, self.after


def mutants_of(module: str) -> list[Mutant]:
    """All mutants of a module, without those in annotations and those whose code is the same."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = (ROOT / module).read_text(encoding="utf-8")
    original, skipped = ast.dump(ast.parse(source)), untested_lines(source)
    found: dict[tuple[str, str, str], Mutant] = {}
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        for occurrence in range(10_000):
            mutated = mutate_code(source, operator, occurrence)
            if mutated is None:
                break
            mutant = _mutant(module, source, mutated)
            if (
                mutant
                and mutant.line not in skipped
                and _compiles(mutated)
                and ast.dump(ast.parse(mutated)) != original
            ):
                found.setdefault(mutant.key, mutant)
    return list(found.values())


def _mutant(module: str, source: str, mutated: str) -> Mutant | None:
    lines, changed = source.splitlines(), mutated.splitlines()
    blocks = difflib.SequenceMatcher(None, lines, changed, autojunk=False).get_opcodes()
    first = next((block for block in blocks if block[0] != "equal"), None)
    if first is None:
        return None
    _, start, end, other_start, other_end = first
    before = " ".join(line.strip() for line in lines[start:end])
    after = " ".join(line.strip() for line in changed[other_start:other_end])
    if after in (re.sub(r"\*(?=,)", "/", before), before.replace("strict=True", "strict=False")):
        return None  # the mark of keyword-only arguments is no product, `strict` of zip an assertion
    return Mutant(module, start + 1, before, after, mutated)


def _compiles(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def untested_lines(source: str) -> set[int]:
    """The lines of annotations, decorators and imports for types, which are no logic."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            parts += node.decorator_list
        if isinstance(node, ast.FunctionDef):
            parts += [node.returns, *(each.annotation for each in [*node.args.args, *node.args.kwonlyargs])]
        if isinstance(node, ast.AnnAssign):
            parts.append(node.annotation)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            lines.add(node.lineno)
        for part in parts:
            if part is not None and not isinstance(part, ast.Name):  # a bare name cannot be mutated
                lines |= set(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    return lines


def sample(mutants: Sequence[Mutant], count: int, *, seed: int) -> list[Mutant]:
    """A pseudo-random sample that changes little when other lines of the module change, in order of lines."""

    def place(mutant: Mutant) -> bytes:
        return hashlib.sha256("\n".join([str(seed), *mutant.key]).encode()).digest()

    return sorted(sorted(mutants, key=place)[:count], key=lambda mutant: (mutant.line, mutant.after))


# --- running --------------------------------------------------------------------------------------


class MutatedLoader(importlib.machinery.SourceFileLoader):
    """Loads a module from another source under its own path."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.get_filename(fullname), "exec", dont_inherit=True)


class MutatedFinder(importlib.abc.MetaPathFinder):
    """Finds the mutated module before all others do."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.module.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        file = str(ROOT / self._mutant.module)
        return importlib.util.spec_from_file_location(
            fullname, file, loader=MutatedLoader(fullname, file, self._mutant.source)
        )


def run_tests(mutant: Mutant | None, tests: Sequence[str], *, timeout: float) -> str:
    """killed, survived or timeout; without a mutant: survived if all tests pass."""
    child = os.fork()
    if child == 0:
        os.setsid()
        _in_child(mutant, tests)
    deadline = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout"
        time.sleep(0.05)


def _in_child(mutant: Mutant | None, tests: Sequence[str]) -> None:
    """Run the tests with the mutated module and end the process."""
    import pytest

    if mutant is not None:
        sys.meta_path.insert(0, MutatedFinder(mutant))
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder  # compiled code of the original must not be used
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        quiet = ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]  # see PRELOADED
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *quiet, "--basetemp", f"{folder}/tests", *tests])
    os._exit(int(code))


def preload() -> None:
    """Import what is slow and not mutated."""
    for name in PRELOADED:
        importlib.import_module(name)


def equivalent() -> dict[tuple[str, str, str], str]:
    """Mutant -> why it is equivalent."""
    with EQUIVALENT.open("rb") as file:
        listed = tomllib.load(file).get("mutant", [])
    return {(each["module"], each["before"], each["after"]): each["why"] for each in listed}


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a module: numbers of mutants, and the survivors."""

    module: str
    all: int
    tested: int
    killed: int
    equivalent: tuple[Mutant, ...]
    survivors: tuple[Mutant, ...]


def run_module(module: str, count: int, *, seed: int) -> Result:
    """Test a sample of the mutants of a module."""
    everything = mutants_of(module)
    known, chosen = equivalent(), sample(everything, count, seed=seed)
    began = time.monotonic()
    if run_tests(None, TARGETS[module], timeout=TIMEOUT) != "survived":
        raise SystemExit(f"{module}: its tests fail without a mutant: {' '.join(TARGETS[module])}")
    print(
        f"{module}: {len(chosen)} of {len(everything)} mutants, tests take {time.monotonic() - began:.0f} s", flush=True
    )
    killed, same, survivors = 0, [], []
    for mutant in chosen:
        if mutant.key in known:
            same.append(mutant)
            continue
        outcome = run_tests(mutant, TARGETS[module], timeout=TIMEOUT)
        if outcome == "survived":
            survivors.append(mutant)
            print(f"  survived {module}:{mutant.line}\n    - {mutant.before}\n    + {mutant.after}", flush=True)
        else:
            killed += 1
    return Result(module, len(everything), len(chosen), killed, tuple(same), tuple(survivors))


def table(results: Sequence[Result], before: str = "") -> str:
    """The results as Markdown; the rows of modules that were not run are those of the table `before`."""
    known = equivalent()
    fresh = {
        each.module: (f"`{each.module}`", each.all, each.tested, each.killed, len(each.equivalent), len(each.survivors))
        for each in results
    }
    kept = {found[1]: (f"`{found[1]}`", *map(int, found[2].split("|"))) for found in _ROW.finditer(before)}
    rows = [row for row in (fresh.get(module) or kept.get(module) for module in TARGETS) if row]
    total = ("all", *(sum(int(row[column]) for row in rows) for column in range(1, 6)))
    listed = [line for line in before.splitlines() if line.startswith("- `") and line.split("`")[1] not in fresh]
    listed += [
        f"- `{mutant.module}`: `{mutant.before}` -> `{mutant.after}`: {known[mutant.key]}"
        for each in results
        for mutant in each.equivalent
    ]
    return "\n".join(
        [
            *INTRODUCTION,
            "| module | mutants | tested | killed | equivalent | survived |",
            "|---|---|---|---|---|---|",
            *(f"| {' | '.join(map(str, row))} |" for row in [*rows, total]),
            "",
            "## Equivalent mutants",
            "",
            *sorted(listed),
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Test the mutants of all modules, or of those whose path contains one of the given words."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("words", nargs="*", help="parts of module paths; default: all modules")
    parser.add_argument("--sample", type=int, default=SAMPLE, help=f"mutants per module, default {SAMPLE}")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.chdir(ROOT)
    preload()
    modules = [module for module in TARGETS if not options.words or any(word in module for word in options.words)]
    results = [run_module(module, options.sample, seed=options.seed) for module in modules]
    for each in results:
        print(f"{each.module}: {each.killed} killed, {len(each.equivalent)} equivalent, {len(each.survivors)} survived")
    before = TABLE.read_text(encoding="utf-8") if options.words and TABLE.is_file() else ""
    TABLE.write_text(table(results, before), encoding="utf-8")
    return int(any(each.survivors for each in results))


if __name__ == "__main__":
    sys.exit(main())
