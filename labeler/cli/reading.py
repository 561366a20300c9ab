"""train, ask, evaluate, answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import desk, in_workspace, json_option, on_device, percent, set_option, show, table

if TYPE_CHECKING:
    from labeler.evaluation import Evaluation
    from labeler.ranking import Comparison, Miss


@click.command("train")
@click.option(
    "--model", metavar="PATH_OR_HUB_ID", help="Starting checkpoint; `builtin`: a small one made from the passages."
)
@click.option("--head", type=click.Choice(["linear"]), help="What turns the encoder's output into spans.")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), help="Passes over the examples.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the order of examples and of dropout.")
@in_workspace
@on_device
def train_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    model: str | None,
    head: str | None,
    epochs: float | None,
    seed: int | None,
) -> None:
    """Train a reader on the live labels.

    The first training is the baseline that later rounds have to beat; a later one is judged by the gate as every
    round is. An interrupted training goes on from its last checkpoint.

    \b
    Example:  labeler train --model klue/roberta-base --epochs 4
    """
    from labeler.rounds import machine

    given = (("round.start", model), ("train.head", head), ("train.epochs", epochs), ("round.seed", seed))
    sets = (*sets, *(f"{name}={value}" for name, value in given if value is not None))
    with desk(workspace, sets, write=True) as at:
        trained = machine.train(at)
    text = (
        f"trained on {trained.examples} examples in {trained.seconds:.0f} s, loss {trained.loss:.3f}: {trained.path}\n"
        f"{trained.why}"
    )
    if trained.retriever:
        text += "\nretriever trained on {examples} examples in {seconds:.0f} s: {path}".format(**trained.retriever)
        text += f"\nretriever {trained.retriever['gate']['why']}"
    show(trained, as_json=as_json, text=lambda: text)


@click.command("ask")
@click.argument("question")
@click.option("-k", "k", type=click.IntRange(min=1), help="Passages to read; default: the setting read.top_k.")
@in_workspace
@on_device
def ask_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, question: str, k: int | None) -> None:
    """Answer one question from the corpus.

    \b
    Example:  labeler ask "벨모라 항구는 누가 세웠는가?"
    """
    from labeler.answering import ask

    if not question.strip():
        raise click.UsageError("QUESTION is empty.")
    with desk(workspace, sets) as at:
        answers = ask(at, question, k=k)
    rows = [(each.text, percent(each.score), percent(each.confidence), each.passage_id[:12]) for each in answers[:5]]
    show(
        {"answers": answers},
        as_json=as_json,
        text=lambda: (
            table(("answer", "score %", "confidence %", "passage"), rows) + _no_confidence(answers[0].confidence)
            if rows
            else "no passage shares a term with it"
        ),
    )


def _no_confidence(confidence: float | None) -> str:
    if confidence is not None:
        return ""
    return "\nno confidence: no round has calibrated this reader over as many passages, found as they are now"


@click.command("evaluate")
@click.option("--split", type=click.Choice(["dev", "test", "calibration"]), default="dev", show_default=True)
@click.option(
    "--compare",
    metavar="INDEX",
    help="Also retrieve by another index: the fingerprint of a stored one, or settings (k1=0.5,dense.model=none).",
)
@click.option("--misses", metavar="K", type=click.IntRange(1, 100), help="List questions not found in the first K.")
@in_workspace
@on_device
def evaluate_command(
    workspace: Path | None, sets: tuple[str, ...], as_json: bool, split: str, compare: str | None, misses: int | None
) -> None:
    """Measure retrieval and reader on a split.

    Three measures: is the gold passage among the first retrieved (top), or any passage in which the answer stands
    (answer_in); the reader on the gold passage; both together. Intervals are 95%, by a bootstrap over documents.
    Without a reader only retrieval is measured.

    \b
    Example:  labeler evaluate --split test --json
              labeler evaluate --compare method=okapi,k1=1.2 --misses 3
    """
    from labeler.evaluation import evaluate

    with desk(workspace, sets, write=True) as at:
        found = evaluate(at, split, compare=compare, misses=misses)
    show(found, as_json=as_json, text=lambda: _evaluation_text(found))


def _evaluation_text(found: Evaluation) -> str:
    rows: list[tuple[Any, ...]] = []
    for name, value in (found.retrieval or {}).items():
        rows.append(("retrieval", name, percent(value), _bounds(found, f"retrieval.{name}")))
    for part, reading in (("reader, gold passage", found.reader), ("end to end", found.end_to_end)):
        if reading is not None:
            key = "reader" if part.startswith("reader") else "end_to_end"
            rows.append((part, "exact match", percent(reading.exact_match), _bounds(found, f"{key}.exact_match")))
            rows.append((part, "F1", percent(reading.f1), _bounds(found, f"{key}.f1")))
    parts = [f"{found.questions} {found.split} questions", table(("what", "measure", "%", "95% interval"), rows)]
    if found.comparison is not None:
        parts += ["", _comparison_text(found.comparison)]
    if found.misses is not None:
        parts += ["", _misses_text(found.misses, found.reasons or {})]
    return "\n".join(parts)


def _comparison_text(found: Comparison) -> str:
    rows = [
        (name, f"{100 * each.mean:+.1f}", f"{100 * each.low:+.1f} to {100 * each.high:+.1f}")
        for name, each in found.differences.items()
    ]
    title = f"index {found.index[:12]} against {found.other[:12]}: {found.better} questions better, {found.worse} worse"
    return f"{title}\n" + table(("measure", "difference", "95% interval"), rows)


def _misses_text(misses: Sequence[Miss], reasons: Mapping[str, int]) -> str:
    rows = [
        ("-" if each.rank is None else str(each.rank + 1), each.id, each.question[:60], "; ".join(each.reasons))
        for each in misses
    ]
    counts = ", ".join(f"{name} {count}" for name, count in reasons.items())
    return f"{len(misses)} not found ({counts})\n" + table(("rank", "id", "question", "why"), rows)


def _bounds(found: Evaluation, key: str) -> str:
    bounds = found.intervals.get(key)
    return f"{percent(bounds[0])} to {percent(bounds[1])}" if bounds else ""


@click.command("answer")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="PATH_OR_HUB_ID", help="The reader.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write into."
)
@click.option("--metric", type=click.Choice(["auto", "squad", "korquad"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@set_option
@json_option
@on_device
def answer_command(
    sets: tuple[str, ...], as_json: bool, file: Path, model: str, output: Path, metric: str, precision: str
) -> None:
    """Read a SQuAD-format file with a reader; needs no workspace.

    Every question is read in its own paragraph. Writes predictions.json (id to text, as the official scripts read
    it) and nbest_predictions.json.

    \b
    Example:  labeler answer dev.json --model models/round-2 -o out
    """
    from labeler.answering import answer_file
    from labeler.cli.common import log_to_stderr
    from labeler.config import load_config

    log_to_stderr()
    config = load_config(overrides=sets)
    found = answer_file(
        file,
        model=model,
        folder=output,
        config=config.read,
        metric=metric,
        device=config.train.device,
        precision=precision,
    )
    marks = "" if found.exact_match is None else f"; EM {percent(found.exact_match)}, F1 {percent(found.f1)}"
    show(
        found,
        as_json=as_json,
        text=lambda: (
            f"{found.questions} questions in {found.seconds:.1f} s ({found.per_second:.1f}/s){marks}: {output}"
        ),
    )
