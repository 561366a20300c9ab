"""simulate, plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from labeler.cli.common import Number, in_workspace, json_option, plain, runtime, set_option, show
from labeler.cli.describe.plan import plan_text
from labeler.core.console import log_to_stderr

MOST_AUDITS, MOST_RELEASED = 1_000_000, 1_000_000_000


@click.command("simulate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="Starting checkpoint of the readers: a folder, a hub name, or builtin.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the replay."
)
@click.option("--arms", help="Named arms beside supervised and oracle, with commas; see above.")
@click.option(
    "--arm",
    "own",
    multiple=True,
    metavar="NAME=SECTION.KEY=VALUE,…",
    help="An arm of your own: settings, or named arms to combine; repeatable.",
)
@click.option("--split", default="gold=1000,dev=500,test=1500,pool=5000", show_default=True, help="As of import.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Rounds of each arm.")
@click.option("--reviews", type=click.IntRange(min=0), default=150, show_default=True, help="Reviews a round.")
@click.option("--noise", type=Number(0, 1), default=0.0, help="Share of wrong reviews, 0-1.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Splits and trainings.")
@click.option("--dense", help="Bi-encoder of a hybrid index: a folder or hub name.")
@click.option("--language", type=click.Choice(["auto", "ko", "en"]), default="auto", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes at a time; default: one for each core.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of each.")
@set_option
@json_option
def simulate_command(file: Path, as_json: bool, **options: Any) -> None:
    """Play rounds on a labelled file with hidden answers.

    The file is split once a seed; a simulated reviewer answers from the hidden labels. All arms of a seed share the
    split, the index and the seed reader. Every round's reader is scored on the same test questions, end to end.
    supervised never plays a round; oracle trains on all labels of the pool. Interrupted, the same command resumes, and
    more arms can be added. The predictions of every round are frozen and a certificate's audit is drawn from them 500
    times: how often it misses, and how much of the pool it certifies. With its audit counted, the minutes of people are
    compared with random review (arm random) and with labelling everything. What `labeler plan` says after each round is
    kept and compared with what came. Writes simulation.html, table.txt, results.json.

    Arms, by what they compare:

    \b
    reviews        default, random, uncertain, random-pseudo, uncertain-pseudo, self-training,
                   strategy-uncertain, strategy-margin, strategy-disagreement
    pseudo-labels  no-pseudo, threshold, whole-pool, softmatch, soft, hard-soft, second-generation,
                   pseudo-passes-1, pseudo-passes-4, gold-passes-2, gold-passes-8, batch-8, batch-32
    folds          folds-1, folds-2, folds-3 (they train a seed reader of their own)
    reading        no-retrieval, no-negatives, first-gold
    steadiness     average, long-warmup, layer-decay, no-retry; with --seeds the table has the spread

    \b
    Example:  labeler simulate squad.json --model sentence-transformers/all-MiniLM-L6-v2 -o replay
              labeler simulate squad.json --model builtin --arms default --arm few=review.review_budget=50 -o replay
              labeler simulate squad.json --model builtin --arms soft --arm mine=soft,folds-2 -o replay
    """
    with file.open("rb"):  # OSError names a file that is missing or cannot be read
        pass
    from labeler.replay.page import PAGE, format_replay
    from labeler.replay.study import run_replay

    log_to_stderr()
    replay = run_replay(_design(file, **options))
    curves = {name: [plain(point) for point in each.points] for name, each in replay.results.items()}
    keys = ("seeds", "gap_closed", "spread", "lowest_change", "seconds", "forecasts", "by_hand", "releases")
    summary = {name: {key: plain(getattr(each, key)) for key in keys} for name, each in replay.results.items()}
    validity = {name: list(each.validity) for name, each in replay.results.items() if each.validity}
    result = {"arms": curves, "summary": summary, "validity": validity}
    result |= {"folder": str(replay.folder), "page": str(replay.folder / PAGE)}
    show(result, as_json=as_json, text=lambda: f"{format_replay(replay)}\n\npage  {replay.folder / PAGE}")


def _design(
    file: Path,
    *,
    model: str,
    output: Path,
    arms: str | None,
    own: tuple[str, ...],
    reviews: int,
    noise: float,
    jobs: int | None,
    sets: tuple[str, ...],
    **options: Any,
) -> Any:
    """The design of a replay; the other options are fields of it."""
    import os

    from labeler.core.config import load_config
    from labeler.core.settings import SPREADING, ComputeConfig
    from labeler.replay import Design
    from labeler.replay.arms import DEFAULT, chosen_arms

    start = str(Path(model).resolve()) if Path(model).is_dir() else model
    given = (f"train.start={start}", f"review.review_budget={reviews}", f"round.simulated_error_rate={noise}")
    compute = ComputeConfig().with_engine_of(load_config(overrides=sets).compute)
    spreading = tuple(f"compute.{name}" for name in SPREADING)  # not part of the replay, which goes on without Ray too
    kept = (each for each in sets if each.partition("=")[0].strip() not in spreading)
    common = ("round.reviewer=simulated", *given, *kept)
    return Design(
        file=file,
        folder=output,
        arms=chosen_arms(DEFAULT if arms is None else arms, own, common),
        common=common,
        jobs=jobs or os.cpu_count() or 1,
        compute=compute,
        **options,
    )


@click.command("plan")
@click.option(
    "--target-em",
    type=Number(0, 1, min_open=True),
    metavar="0-1",
    help="Exact match wanted on dev.",
)
@click.option(
    "--target-released", type=click.IntRange(1, MOST_RELEASED), help="Pseudo-labels wanted that an audit releases."
)
@click.option("--precision", type=Number(0, 1, min_open=True, max_open=True), metavar="0-1",
              help="Precision of released pseudo-labels; default: calibrate.target_precision.")  # fmt: skip
@click.option(
    "--audits", type=click.IntRange(1, MOST_AUDITS), default=300, show_default=True, help="Of one certificate."
)
@click.option("--hourly-rate", type=Number(min=0), help="Price of an hour of people, in your currency.")
@in_workspace
def plan_command(
    workspace: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    target_em: float | None,
    target_released: int | None,
    precision: float | None,
    audits: int,
    hourly_rate: float | None,
) -> None:
    """Forecast what a target costs in labels, time and money.

    Fits a learning curve through the rounds so far, with its uncertainty, and changes nothing. After one round the
    range rests on an assumption, which is printed. Says so where the target is reached, is out of reach of the pool,
    or nothing can be forecast yet. Without a target, prints the curve.

    \b
    Example:  labeler plan --target-em 0.45 --hourly-rate 25
              labeler plan --target-released 5000 --precision 0.9
    """
    from labeler.planning.evidence import gather
    from labeler.planning.plan import Target, plan

    if target_em is not None and target_released is not None:
        raise click.UsageError("Give --target-em or --target-released, not both.")
    with runtime(workspace, sets) as at:
        with at.database.read() as session:
            evidence = gather(session, at.config)
        wanted = precision or at.config.calibrate.target_precision
        target = Target(target_em, target_released, wanted, audits=audits)
        found = plan(evidence, at.config, target, hourly_rate=hourly_rate)
    show({"forecast": found}, as_json=as_json, text=lambda: plan_text(found))
