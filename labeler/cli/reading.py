"""train, ask, answer."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import Number, force_option, in_workspace, json_option, on_device, runtime, set_option, show
from labeler.cli.describe import reach_lines, rejected_lines
from labeler.cli.describe.rounds import gate_lines, scores_table
from labeler.cli.describe.snippets import answer_sentence
from labeler.core.console import percent
from mrc.squad import Rejected

if TYPE_CHECKING:
    from labeler.core.config import Config
    from labeler.reading.answer_file import FileAnswers
    from labeler.rounds.machine import Trained

log = logging.getLogger("labeler")

SHOWN = 5  # answers of `labeler ask`


@click.command("train")
@click.option("--model", metavar="PATH_OR_HUB_ID", help="Starting checkpoint; builtin: a small one from the passages.")
@click.option(
    "--head",
    type=click.Choice(["auto", "linear", "cnn", "lstm", "biaffine"]),
    help="Span head; auto: the checkpoint's own, else cnn.",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="PATH_OR_HUB_ID",
    help="Reader, or labeller:NAME, to distil from, weighted by train.distill_weight; repeatable.",
)
@click.option("--epochs", type=Number(min=0, min_open=True), help="Passes over the examples.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed for shuffling and dropout.")
@in_workspace
@on_device
def train_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    model: str | None,
    head: str | None,
    teachers: tuple[str, ...],
    epochs: float | None,
    seed: int | None,
) -> None:
    """Train a reader on the live labels.

    The first training is the baseline; the gate compares each later reader with the current one, as in a round. An
    interrupted training resumes from its last checkpoint.

    \b
    Example:  labeler train --model klue/roberta-base --epochs 4
    """
    from labeler.rounds import machine

    given = (("train.start", model), ("train.head", head), ("train.epochs", epochs), ("round.seed", seed))
    sets = (*sets, *(f"{name}={value}" for name, value in given if value is not None))
    if teachers:
        sets = (*sets, f"train.teachers={json.dumps(teachers)}")
    with runtime(workspace, sets, write=True) as at:
        trained = machine.train(at)
        show(trained, as_json=as_json, text=lambda: _trained_text(trained))


def _trained_text(trained: Trained) -> str:
    lines = [
        f"trained on {trained.examples} examples in {trained.seconds:.0f} s, loss {trained.loss:.3f}: {trained.path}",
        *gate_lines(trained.gate),
        scores_table(trained.scores),
    ]
    if trained.retriever:
        lines.append("retriever trained on {examples} examples in {seconds:.0f} s: {path}".format(**trained.retriever))
        lines.append(f"retriever {trained.retriever['gate']['why']}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of `labeler ask`, with the passage that holds it."""

    text: str
    passage_id: str
    start: int  # offsets in the passage, end exclusive
    end: int
    score: float  # 0-1
    confidence: float | None  # calibrated; of the first answer alone
    title: str
    passage: str


@click.command("ask")
@click.argument("question")
@click.option("-k", "k", type=click.IntRange(min=1), help="Passages to read; default: the setting read.top_k.")
@in_workspace
@on_device
def ask_command(workspace: Path | None, sets: tuple[str, ...], as_json: bool, question: str, k: int | None) -> None:
    """Answer one question from the corpus.

    The answer is bold on a terminal and in « » elsewhere.

    \b
    Example:  labeler ask "벨모라 항구는 누가 세웠는가?"
    """
    if not question.strip():
        raise click.UsageError("QUESTION is empty.")
    from labeler.reading.question_answering import QuestionAnswering

    with runtime(workspace, sets) as at:
        found = QuestionAnswering(at).ask(question, k)
        passages = at.fetch([each.passage_id for each in found])
    answers = [
        Answer(
            each.text,
            each.passage_id,
            each.start,
            each.end,
            each.score,
            each.confidence,
            passages[each.passage_id].title,
            passages[each.passage_id].text,
        )
        for each in found
    ]
    show({"answers": answers}, as_json=as_json, text=lambda: _answers_text(answers))


def _answers_text(answers: list[Answer]) -> str:
    if not answers:
        return "no passage shares a term with the question"
    lines = []
    for rank, each in enumerate(answers[:SHOWN], start=1):
        confidence = "" if each.confidence is None else f"confidence {percent(each.confidence)} %, "
        lines += [
            f"{rank}  {each.text}  ({confidence}score {percent(each.score)} %)",
            f"   {each.title or 'untitled'}: {answer_sentence(each.passage, each.start, each.end)}",
            f"   labeler passages show {each.passage_id[:12]}",
        ]
    if answers[0].confidence is None:
        lines.append("No confidence yet: `labeler round` calibrates this reader.")
    return "\n".join(lines)


@click.command("answer")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    required=True,
    multiple=True,
    metavar="PATH_OR_HUB_ID",
    help="Reader; repeat it for an ensemble, the better readers first.",
)
@click.option(
    "--vote",
    type=click.Choice(["characters", "logits", "hard"]),
    show_default="characters",
    help="Ensemble vote: character probabilities (tokenizer-independent), mean logits, or majority of answers.",
)
@click.option("--large", metavar="PATH_OR_HUB_ID", help="Larger reader for answers whose score is in the band.")
@click.option(
    "--band",
    type=(Number(0, 1), Number(0, 1)),
    show_default="0.2 0.7",
    metavar="LOW HIGH",
    help="Scores, 0-1, between which the larger reader answers.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Output folder.")
@force_option
@click.option("--metric", type=click.Choice(["auto", "squad", "korquad"]), default="auto", show_default=True)
@click.option(
    "--precision", type=click.Choice(["auto", "fp32", "bf16"]), help="Default: the setting compute.precision."
)
@set_option
@json_option
@on_device
def answer_command(
    sets: tuple[str, ...],
    as_json: bool,
    file: Path,
    models: tuple[str, ...],
    vote: str | None,
    large: str | None,
    band: tuple[float, float] | None,
    output: Path,
    force: bool,
    metric: str,
    precision: str | None,
) -> None:
    """Answer a SQuAD-format file with a reader; needs no workspace.

    Reads every question in its own paragraph, whatever its golds are. Writes predictions.json (id to text, for the
    official scripts) and nbest_predictions.json. EM and F1 are those of the scripts. Golds that do not stand in their
    context, or are too long to be answered, are counted and listed. Two questions of one id are refused.

    \b
    Example:  labeler answer dev.json --model models/round-2 -o out
              labeler answer dev.json --model small --model other --large big --band 0.2 0.7 -o out
    """
    from labeler.core.config import load_config
    from labeler.core.console import log_to_stderr

    log_to_stderr()
    if band and band[0] > band[1]:
        raise click.UsageError("--band LOW HIGH: LOW is above HIGH.")
    if band and not large:
        raise click.UsageError("--band needs --large.")
    if vote and len(models) == 1:
        raise click.UsageError("--vote needs several --model.")
    config = load_config(overrides=sets)
    _warn_of_unused(config)
    with file.open("rb"):  # before torch is loaded: OSError names a file that is missing or cannot be read
        pass
    from labeler.core.runtime import use_compute
    from labeler.reading.answer_file import answer_file
    from labeler.reading.reader_spec import ReaderSpec

    found = answer_file(
        file,
        readers=ReaderSpec(models, vote or "characters", large, band or (0.2, 0.7)),
        folder=output,
        config=config.read,
        metric=metric,
        device=use_compute(config.compute),
        precision=precision or config.compute.precision,
        force=force,
    )
    show(found, as_json=as_json, text=lambda: _file_text(found, output))


def _warn_of_unused(config: Config) -> None:
    for name, changed, instead in (
        ("ensemble.members", config.ensemble.members, "name the readers with --model"),
        ("cascade.large", config.cascade.large, "name it with --large"),
        ("experimental.adaptive", config.experimental.adaptive != "off", "each question has one passage here"),
    ):
        if changed:
            log.warning("%s is not used by labeler answer: %s", name, instead)


def _file_text(found: FileAnswers, output: Path) -> str:
    lines = [_summary(found, output), *reach_lines(found.out_of_reach)]
    if found.unanchored:
        lines.append(
            f"{found.unanchored} questions have golds that do not stand in their context, scored by their text:"
        )
    return "\n".join([*lines, *rejected_lines([Rejected(*each) for each in found.rejected])])


def _summary(found: FileAnswers, output: Path) -> str:
    scores = "" if found.exact_match is None else f"; EM {percent(found.exact_match)} %, F1 {percent(found.f1)} %"
    return f"{found.questions} questions in {found.seconds:.1f} s ({found.per_second:.1f}/s){scores}: {output}"
