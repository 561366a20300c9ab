"""train, ask, answer."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from labeler.cli.common import in_workspace, json_option, on_device, runtime, set_option, show
from labeler.core.console import percent, table

log = logging.getLogger("labeler")


@click.command("train")
@click.option(
    "--model", metavar="PATH_OR_HUB_ID", help="Starting checkpoint; `builtin`: a small one made from the passages."
)
@click.option(
    "--head",
    type=click.Choice(["auto", "linear", "cnn", "lstm", "biaffine"]),
    help="What turns the encoder's output into spans; auto: as the model has it, cnn for one without.",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="PATH_OR_HUB_ID",
    help="A reader to learn from, with train.distill_weight; repeatable.",
)
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
    teachers: tuple[str, ...],
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

    given = (("train.start", model), ("train.head", head), ("train.epochs", epochs), ("round.seed", seed))
    sets = (*sets, *(f"{name}={value}" for name, value in given if value is not None))
    if teachers:
        sets = (*sets, f"train.teachers={json.dumps(teachers)}")
    with runtime(workspace, sets, write=True) as at:
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
    from labeler.reading.on_demand import ask

    if not question.strip():
        raise click.UsageError("QUESTION is empty.")
    with runtime(workspace, sets) as at:
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


@click.command("answer")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    required=True,
    multiple=True,
    metavar="PATH_OR_HUB_ID",
    help="The reader; several vote, the better ones first.",
)
@click.option(
    "--vote",
    type=click.Choice(["characters", "logits", "hard"]),
    show_default="characters",
    help="How several readers vote: on characters whatever their tokenizers, by mean logits, or by counting answers.",
)
@click.option("--large", metavar="PATH_OR_HUB_ID", help="A larger reader, asked where the score lies in the band.")
@click.option(
    "--band",
    type=(click.FloatRange(0, 1), click.FloatRange(0, 1)),
    show_default="0.2 0.7",
    metavar="LOW HIGH",
    help="Scores, 0-1, between which the larger reader is asked.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write into."
)
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
    metric: str,
    precision: str | None,
) -> None:
    """Read a SQuAD-format file with a reader; needs no workspace.

    Every question is read in its own paragraph. Writes predictions.json (id to text, as the official scripts read
    it) and nbest_predictions.json. Several readers vote; a larger one is asked only where the answer's score says
    that it may help.

    \b
    Example:  labeler answer dev.json --model models/round-2 -o out
              labeler answer dev.json --model small --model other --large big --band 0.2 0.7 -o out
    """
    from labeler.core.config import load_config
    from labeler.core.console import log_to_stderr
    from labeler.reading.on_demand import answer_file
    from labeler.reading.reader_spec import Readers

    log_to_stderr()
    config = load_config(overrides=sets)
    if band and band[0] > band[1]:
        raise click.UsageError("--band LOW HIGH: LOW is above HIGH.")
    if band and not large:
        raise click.UsageError("--band: there is no larger reader to ask; name one with --large.")
    if vote and len(models) == 1:
        raise click.UsageError("--vote: one reader does not vote; give --model several times.")
    for name, changed, instead in (
        ("ensemble.members", config.ensemble.members, "name the readers with --model"),
        ("cascade.large", config.cascade.large, "name it with --large"),
        ("experimental.adaptive", config.experimental.adaptive != "off", "every question has one passage here"),
    ):
        if changed:
            log.warning("%s is not used by labeler answer: %s", name, instead)
    found = answer_file(
        file,
        readers=Readers(models, vote or "characters", large, band or (0.2, 0.7)),
        folder=output,
        config=config.read,
        metric=metric,
        device=config.compute.device,
        precision=precision or config.compute.precision,
    )
    marks = "" if found.exact_match is None else f"; EM {percent(found.exact_match)}, F1 {percent(found.f1)}"
    show(
        found,
        as_json=as_json,
        text=lambda: (
            f"{found.questions} questions in {found.seconds:.1f} s ({found.per_second:.1f}/s){marks}: {output}"
        ),
    )
