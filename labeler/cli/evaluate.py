"""evaluate, ablate."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.cli.common import in_workspace, json_option, on_device, plain, runtime, set_option, show
from labeler.core.console import log_to_stderr


@click.command("evaluate")
@click.option("--split", type=click.Choice(["dev", "test", "calibration"]), default="dev", show_default=True)
@click.option(
    "--compare",
    metavar="INDEX",
    help="Also retrieve by another index: the fingerprint of a stored one, or settings (k1=0.5,dense.model=none).",
)
@click.option("--misses", metavar="K", type=click.IntRange(1, 100), help="List questions not found in the first K.")
@click.option("--rules", is_flag=True, help="Tell what each rule on answers changed on dev, and which are on.")
@in_workspace
@on_device
def evaluate_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    split: str,
    compare: str | None,
    misses: int | None,
    rules: bool,
) -> None:
    """Measure retrieval and reader on a split.

    Three measures: is the gold passage among the first retrieved (top), or any passage in which the answer stands
    (answer_in); the reader on the gold passage; both together. Intervals are 95%, by a bootstrap over documents.
    Without a reader only retrieval is measured.

    \b
    Example:  labeler evaluate --split test --json
              labeler evaluate --compare method=okapi,k1=1.2 --misses 3
    """
    from labeler.cli.describe.evaluation import evaluation_text
    from labeler.evaluation.end_to_end import evaluate

    with runtime(workspace, sets, write=True) as at:
        found = evaluate(at, split, compare=compare, misses=misses, rules=rules)
    show(found, as_json=as_json, text=lambda: evaluation_text(found))


@click.command("ablate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="PATH_OR_HUB_ID", help="Starting checkpoint of all arms.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the study."
)
@click.option("--arms", default="cnn,lstm,biaffine", show_default=True, help="Named arms beside linear, with commas.")
@click.option(
    "--arm",
    "own",
    multiple=True,
    metavar="NAME=SECTION.KEY=VALUE,…",
    help="An arm of your own: settings, or named arms to put together; repeatable.",
)
@click.option("--control", "controls", multiple=True, metavar="NAME", help="An arm that is tested but never chosen.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Trainings of a final arm.")
@click.option("--finalists", type=click.IntRange(min=0), default=3, show_default=True, help="Best arms kept.")
@click.option("--train", type=click.IntRange(min=1), default=1000, show_default=True, help="Questions trained on.")
@click.option("--screen-dev", type=click.IntRange(min=1), default=500, show_default=True, help="To screen by.")
@click.option(
    "--dev", type=click.IntRange(min=1), default=1000, show_default=True, help="To choose by, those included."
)
@click.option("--test", type=click.IntRange(min=1), default=1500, show_default=True, help="Questions of the test.")
@click.option("--split-by", type=click.Choice(["paragraph", "document"]), default="paragraph", show_default=True)
@click.option("--metric", type=click.Choice(["auto", "squad", "korquad"]), default="auto", show_default=True)
@click.option(
    "-k", "top_k", type=click.IntRange(0, 100), default=5, show_default=True, help="Passages read end to end; 0: none."
)
@click.option("--no-test", is_flag=True, help="Stop before the choice, so that arms may still be added.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings at a time.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of each training.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where the models run.")
@set_option
@json_option
def ablate_command(
    file: Path,
    model: str,
    output: Path,
    arms: str,
    own: tuple[str, ...],
    controls: tuple[str, ...],
    seeds: int,
    finalists: int,
    train: int,
    screen_dev: int,
    dev: int,
    test: int,
    split_by: str,
    metric: str,
    top_k: int,
    no_test: bool,
    jobs: int,
    threads: int,
    device: str,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train and compare readers on one labelled file.

    Every arm is trained once and marked on a part of dev; the plain linear reader and the best arms are then trained
    on every seed and marked on all of dev; the best is written down as chosen, and only then is test read, once.
    Interrupted, the same command goes on. Writes study.json, table.txt and plot.svg.

    \b
    Example:  labeler ablate squad.json --model sentence-transformers/all-MiniLM-L6-v2 --arms cnn,overlap -o study
              labeler ablate squad.json --model klue/roberta-base --arm both=lstm,train.exact_match_features=words -o study
    """
    from labeler.ablation import Design, Sizes
    from labeler.ablation.arms import chosen_arms
    from labeler.ablation.page import as_json as arms_as_json
    from labeler.ablation.page import text_of
    from labeler.ablation.study import run_study

    log_to_stderr()
    study = run_study(
        Design(
            file=file,
            folder=output,
            start=str(Path(model).resolve()) if Path(model).is_dir() else model,
            arms=tuple(chosen_arms(arms, own, controls)),
            common=(*sets, f"compute.device={device}"),
            sizes=Sizes(train, min(screen_dev, dev), dev, test),
            seeds=seeds,
            finalists=finalists,
            split_by=split_by,
            metric=metric,
            top_k=top_k,
            test=not no_test,
            jobs=jobs,
            threads=threads,
        )
    )
    result = {"arms": plain(arms_as_json(study.lines)), "choice": plain(study.choice), "folder": str(study.folder)}
    show(result, as_json=as_json, text=lambda: text_of(study))
