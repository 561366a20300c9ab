"""The training of one run: its examples, its starting checkpoint, and what it took."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from labeler.ablation import PARTS, Cost, Run
from labeler.ablation.cost import Meter
from labeler.ablation.data import contexts_of, part_examples, passages_of
from labeler.ablation.lock import held
from mrc.read import DevExample, TrainingExample
from mrc.read.data.negatives import SEARCHED, without_answer
from mrc.text import passage_id
from mrc.types import Example, Passage

READER = "reader"
PRETRAIN_SEED = 0


def train_run(run: Run) -> Cost:
    """Trains the run's reader into its folder; what that took."""
    from mrc.read.train.trainer import train

    begin, start_seconds = _start(run)
    meter = Meter.of(run.folder / "spent.json")
    examples = part_examples(run.data, "train")
    config = run.config.training
    watched = _watched(part_examples(run.data, "screen")) if config.early_stopping_patience else []
    found = train(
        _taught(examples, _negatives(run, examples)),
        start=begin,
        config=config,
        seed=run.seed,
        folder=run.folder / READER,
        progress=meter.told,
        dev=watched,
        metric=run.metric,
        device=run.config.compute.device,
        precision=run.config.compute.precision,
    )
    spent = meter.note()
    return Cost(spent.seconds, start_seconds, spent.peak_mib, found.examples, found.steps)


def _taught(examples: Sequence[Example], negatives: Mapping[str, tuple[str, ...]]) -> list[TrainingExample]:
    taught = []
    for each in examples:
        start, end = (each.answers[0].start, each.answers[0].end) if each.answers else (-1, -1)
        taught.append(
            TrainingExample(
                each.id,
                each.question,
                each.context,
                start,
                end,
                negatives=negatives.get(each.id, ()),
                golds=tuple(span.text for span in each.answers),
            )
        )
    return taught


def _watched(examples: Sequence[Example]) -> list[DevExample]:
    """What early stopping looks at: the questions of the screening, so what it gains there is partly luck."""
    return [
        DevExample(each.id, each.question, each.context, tuple(span.text for span in each.answers)) for each in examples
    ]


def _negatives(run: Run, examples: Sequence[Example]) -> dict[str, tuple[str, ...]]:
    """Question id -> its best-ranked passages of the training part that hold no answer of it."""
    count = run.config.train.negatives
    if not count:
        return {}
    from mrc.retrieve.index import Index

    passages = contexts_of(examples)
    texts = {passage.id: passage.text for passage in passages}
    asked = [each for each in examples if each.answers]
    found = Index.build(passages, run.config.index).retrieve([each.question for each in asked], SEARCHED)
    mined = {}
    for each, hits in zip(asked, found, strict=True):
        others = [texts[hit.passage_id] for hit in hits if hit.passage_id != passage_id(each.context)]
        mined[each.id] = tuple(without_answer([span.text for span in each.answers], others, run.metric))[:count]
    return mined


def _start(run: Run) -> tuple[str, float]:
    """The starting checkpoint, prepared on passages without labels where the settings say so, and the CPU seconds of
    that. Made once for the same passages and settings, whatever the run's seed."""
    settings = run.config.pretrain
    if not settings.on:
        return run.start, 0.0
    from mrc.read.pretrain.pretraining import pretrain

    passages = _free_passages(run)
    compute = run.config.compute
    named = [run.start, asdict(settings), [passage.id for passage in passages], compute.device, compute.precision]
    home = run.starts / hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:12]
    home.mkdir(parents=True, exist_ok=True)
    with held(home):
        noted = home / "spent.json"
        folder = home / "model"
        if not folder.is_dir():
            meter = Meter.of(noted)
            pretrain(
                run.start,
                [passage.text for passage in passages],
                folder,
                config=settings,
                seed=PRETRAIN_SEED,
                progress=meter.told,
                device=compute.device,
                precision=compute.precision,
            )
            meter.note()
        return str(folder), float(json.loads(noted.read_text(encoding="utf-8"))["seconds"])


def _free_passages(run: Run) -> list[Passage]:
    """The passages that no question of another part than `train` belongs to: only from them may an arm learn."""
    held_out = {
        passage.id for part in PARTS if part != "train" for passage in contexts_of(part_examples(run.data, part))
    }
    return [passage for passage in passages_of(run.data) if passage.id not in held_out]
