"""evaluate, ablate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import in_workspace, json_option, on_device, plain, runtime, set_option, show
from labeler.core.console import log_to_stderr

if TYPE_CHECKING:
    from labeler.ablation import Design


@click.command("evaluate")
@click.option("--split", type=click.Choice(["dev", "test", "calibration"]), default="dev", show_default=True)
@click.option(
    "--compare",
    metavar="INDEX",
    help="Compare retrieval with another index: a stored fingerprint, or settings (k1=0.5,dense.model=none).",
)
@click.option("--misses", metavar="K", type=click.IntRange(1, 100), help="List questions missed in the first K.")
@click.option("--labeller", metavar="NAME", help="Evaluate the imported answers of a labeller instead of the reader.")
@click.option("--rules", is_flag=True, help="Show what each post-processing rule changed on dev, and which are on.")
@in_workspace
@on_device
def evaluate_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    split: str,
    compare: str | None,
    misses: int | None,
    labeller: str | None,
    rules: bool,
) -> None:
    """Evaluate retrieval and reader on a split.

    Retrieval: is the gold passage (top), or any passage that contains the answer (answer_in), among the first k?
    Reader: EM and F1 on the gold passage. End to end: both together. Intervals are 95%, bootstrapped by document.
    Without a reader only retrieval is evaluated.

    \b
    Example:  labeler evaluate --split test --json
              labeler evaluate --compare method=okapi,k1=1.2 --misses 3
              labeler evaluate --labeller roberta
    """
    if labeller is not None:
        if compare or misses or rules:
            raise click.UsageError("--labeller evaluates stored answers; leave out --compare, --misses and --rules.")
        from labeler.cli.labellers import evaluate_labeller

        evaluate_labeller(workspace, sets, as_json, labeller, split)
        return
    from labeler.cli.describe.evaluation import evaluation_text
    from labeler.evaluation.evaluate import evaluate

    with runtime(workspace, sets, write=True) as at:
        found = evaluate(at, split, compare=compare, misses=misses, rules=rules)
    show(found, as_json=as_json, text=lambda: evaluation_text(found))


@click.command("ablate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="PATH_OR_HUB_ID", help="Starting checkpoint of every arm.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the study."
)
@click.option(
    "--arms", default="cnn,lstm,biaffine", show_default=True, help="Named arms beside the base arm, with commas."
)
@click.option(
    "--arm",
    "own",
    multiple=True,
    metavar="NAME=SECTION.KEY=VALUE,…",
    help="An arm of your own: settings, or named arms to combine; repeatable.",
)
@click.option(
    "--control", "controls", multiple=True, metavar="NAME", help="An arm that is tested but never chosen; repeatable."
)
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Trainings of a final arm.")
@click.option("--finalists", type=click.IntRange(min=0), default=3, show_default=True, help="Best arms kept.")
@click.option("--train", type=click.IntRange(min=1), default=1000, show_default=True, help="Training questions.")
@click.option(
    "--screen-dev", type=click.IntRange(min=1), default=500, show_default=True, help="Dev questions of the screening."
)
@click.option(
    "--dev",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Dev questions, those of the screening included.",
)
@click.option("--test", type=click.IntRange(min=1), default=1500, show_default=True, help="Test questions.")
@click.option("--split-by", type=click.Choice(["paragraph", "document"]), default="paragraph", show_default=True)
@click.option("--metric", type=click.Choice(["auto", "squad", "korquad"]), default="auto", show_default=True)
@click.option(
    "-k", "top_k", type=click.IntRange(0, 100), default=5, show_default=True, help="Passages read end to end; 0: skip."
)
@click.option("--no-test", is_flag=True, help="Stop before the choice, so that arms can be added.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Parallel trainings.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of each.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where the models run.")
@set_option
@json_option
def ablate_command(file: Path, as_json: bool, **options: Any) -> None:
    """Train and compare readers on one labelled file.

    Every arm is trained once and scored on a part of dev. The base arm and the best arms are then trained on every
    seed and scored on all of dev. The best is recorded as chosen, and only then is test read, once. The base arm is
    named after its head: linear, or what train.head says. Interrupted, the same command resumes. Writes study.json,
    table.txt and plot.svg.

    \b
    Example:  labeler ablate squad.json --model sentence-transformers/all-MiniLM-L6-v2 --arms cnn,exact-match -o study
              labeler ablate squad.json --model klue/roberta-base --arm both=lstm,exact-match -o study
    """
    with file.open("rb"):  # before torch is loaded: OSError names a file that is missing or cannot be read
        pass
    from labeler.ablation.page import as_json as arms_as_json
    from labeler.ablation.page import format_study
    from labeler.ablation.study import run_study

    log_to_stderr()
    study = run_study(_design(file, **options))
    result = {"arms": plain(arms_as_json(study.results)), "choice": plain(study.choice), "folder": str(study.folder)}
    show(result, as_json=as_json, text=lambda: format_study(study))


def _design(
    file: Path,
    *,
    model: str,
    output: Path,
    arms: str,
    own: tuple[str, ...],
    controls: tuple[str, ...],
    train: int,
    screen_dev: int,
    dev: int,
    test: int,
    no_test: bool,
    device: str,
    sets: tuple[str, ...],
    **options: Any,
) -> Design:
    """The design of a study; the other options are fields of it."""
    from labeler.ablation import Design, Sizes
    from labeler.ablation.arms import base_name, chosen_arms
    from labeler.core.config import load_config
    from labeler.core.settings import ComputeConfig

    start = str(Path(model).resolve()) if Path(model).is_dir() else model
    common = (*sets, f"compute.device={device}")
    compute = ComputeConfig().with_engine_of(load_config(overrides=common).compute)
    return Design(
        file=file,
        folder=output,
        start=start,
        arms=tuple(chosen_arms(arms, own, controls, base=base_name(common, start))),
        common=common,
        sizes=Sizes(train, min(screen_dev, dev), dev, test),
        test=not no_test,
        compute=compute,
        **options,
    )
