"""The training of one run: its examples, its starting checkpoint and its cost."""

from __future__ import annotations

import json

from labeler.ablation import PARTS, Run, TrainingCost
from labeler.ablation.cost import CostMeter
from labeler.ablation.data import contexts_of, part_examples, passages_of
from labeler.ablation.lock import exclusive
from labeler.reading.pretrained import PretrainedStart
from mrc.calibration.retrieval_weight import UNTUNED
from mrc.read import DevExample, TrainingExample
from mrc.read.data.examples import dev_example, training_example
from mrc.read.data.negatives import with_negatives
from mrc.types import Passage

READER = "reader"
PRETRAIN_SEED = 0


def train_run(run: Run) -> TrainingCost:
    """Train the run's reader into its folder; returns the cost."""
    from mrc.read.train.trainer import train

    start, start_seconds = _start(run)
    meter = CostMeter.load(run.folder / "spent.json")
    found = train(
        _examples(run),
        start=start,
        config=run.config.training,
        seed=run.seed,
        folder=run.folder / READER,
        progress=meter.step,
        dev=_early_stopping_examples(run),
        metric=run.metric,
        device=run.config.compute.device,
        precision=run.config.compute.precision,
    )
    usage = meter.save()
    return TrainingCost(usage.seconds, start_seconds, usage.peak_mib, found.examples, found.steps)


def _examples(run: Run) -> list[TrainingExample]:
    """The questions of the training part, with hard negatives from the passages of that part alone."""
    labelled = part_examples(run.data, "train")
    examples = [training_example(each, golds=run.config.train.golds) for each in labelled]
    count, named = run.config.train.negatives, run.config.read.retrieval_weight
    weight = UNTUNED if named is None else named
    if not count:
        return examples
    from mrc.retrieve.index import Index

    passages = {passage.id: passage for passage in contexts_of(labelled)}
    index = Index.build(list(passages.values()), run.config.index)
    return with_negatives(
        examples,
        search=index.retrieve,
        fetch=lambda ids: {key: passages[key] for key in ids},
        count=count,
        metric=run.metric,
        retrieval_weight=weight,
    )


def _early_stopping_examples(run: Run) -> list[DevExample]:
    """The questions of the screening; an arm that stops early by them is screened a little too kindly."""
    if not run.config.training.early_stopping_patience:
        return []
    return [dev_example(each) for each in part_examples(run.data, "screen")]


def _start(run: Run) -> tuple[str, float]:
    """The starting checkpoint, pretrained where the settings say so, and the CPU seconds of pretraining.

    It is made once for the same passages and settings, whatever the run's seed.
    """
    if not run.config.pretrain.on:
        return run.start, 0.0
    compute, texts = run.config.compute, tuple(passage.text for passage in _pretraining_passages(run))
    how = (PRETRAIN_SEED, compute.device, compute.precision, run.config.train.head)
    pretrained = PretrainedStart(run.start, texts, run.config.pretrain, *how)
    folder = pretrained.folder(run.starts)
    cost_file = folder.with_name(f"{folder.name}.json")
    run.starts.mkdir(parents=True, exist_ok=True)
    with exclusive(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            meter = CostMeter.load(cost_file)
            pretrained.make(run.starts, meter.step)
            meter.save()
        return str(folder), float(json.loads(cost_file.read_text(encoding="utf-8"))["seconds"])


def _pretraining_passages(run: Run) -> list[Passage]:
    """The passages that belong to no question of another part than `train`."""
    held_out = {
        passage.id for part in PARTS if part != "train" for passage in contexts_of(part_examples(run.data, part))
    }
    return [passage for passage in passages_of(run.data) if passage.id not in held_out]
