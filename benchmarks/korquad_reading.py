"""Korean reading from 1,000 labels without a Korean checkpoint: morphemes, exact-match features, post-processing rules.

    python benchmarks/korquad_reading.py [-o DIR] [--seeds 1] [--jobs 2] [--set KEY=VALUE ...] [--smoke]

KorQuAD 1.0 dev from LABELER_DATA. The encoder is the built-in one, pretrained on the passages alone: these figures
show that the parts work, not how well Korean reading can do; for that, start from a Korean checkpoint. The arms are
those of `labeler ablate`; then a table of the effect of each rule on dev and on test, on the base arm's answers.
Killed, the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import string
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measure import data_file, labeler, machine
from labeler.ablation.data import part_examples
from labeler.reading.answering import read_in_context
from mrc.metrics import Metric, score
from mrc.postprocess.rules import AnsweredQuestion, RuleEffect, chosen_rules, refined, refiner, rule_effects
from mrc.postprocess.trimming import without_josa
from mrc.read import BuiltinConfig, ReadConfig
from mrc.squad import parse_squad, read_contexts, read_squad
from mrc.text import passage_id
from mrc.types import Example, Passage, Prediction

ARMS = ("morphemes", "exact-match-morphemes")
SETTINGS = ("train.learning_rate=1e-3", "train.head_learning_rate=1e-3")
SIZES = ("--train", "1000", "--screen-dev", "500", "--dev", "1000", "--test", "1500")
SMOKE = ("--train", "24", "--screen-dev", "12", "--dev", "20", "--test", "20")
METRIC: Metric = "korquad"


def main() -> None:
    options = _options()
    folder = Path(options.output or tempfile.mkdtemp(prefix="labeler-korquad-reading-"))
    file = data_file("KorQuAD_v1.0_dev.json")
    start = _start(file, folder / "builtin")
    both = ("--arm", f"both={','.join(ARMS)}")
    arguments = [str(file), "--model", str(start), "-o", str(folder / "study"), "--arms", ",".join(ARMS), *both]
    arguments += ["--seeds", str(options.seeds), "--jobs", str(options.jobs), "--finalists", "3", "-k", "0"]
    arguments += [*(SMOKE if options.smoke else SIZES), "--metric", METRIC]
    for setting in (*SETTINGS, f"train.epochs={1.0 if options.smoke else 8.0}", *options.set):
        arguments += ["--set", setting]
    print(f"{machine()}; the study is in {folder}", flush=True)
    labeler("ablate", *arguments)
    print((folder / "study" / "table.txt").read_text(encoding="utf-8"), flush=True)
    _rules(folder)
    _golds(file, every=20 if options.smoke else 1)


def _start(file: Path, folder: Path) -> Path:
    """The built-in encoder of all arms; its vocabulary covers words and the morphemes that kiwi splits them into."""
    from mrc.read.data.morphemes import spaced
    from mrc.read.model.builtin import build_builtin

    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        passages, _ = read_contexts(parse_squad(file.read_text(encoding="utf-8"), where=str(file)), where=str(file))
        texts = [each.text for each in passages]
        build_builtin([*texts, *spaced(texts)], folder, seed=0, config=BuiltinConfig(vocab_size=8000))
    return folder


def _rules(folder: Path) -> None:
    """Print the effect of each rule on dev, which chooses, and on test, and the scores with the chosen rules."""
    kept = folder / "rules.json"
    if not kept.is_file():
        dev, test = (_judged(folder / "study", part) for part in (("screen", "dev"), ("test",)))
        effects = [rule_effects(each, metric=METRIC, language="ko") for each in (dev, test)]
        rules = chosen_rules(effects[0])
        found = {
            "rules": rules,
            **{name: [_row(each) for each in rows] for name, rows in zip(("dev", "test"), effects, strict=True)},
            "test_scores": {name: _mean_scores(test, used) for name, used in (("no rule", ()), ("chosen", rules))},
        }
        kept.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    print(f"{'rule':10s} {'part':5s} {'changed':>8s} {'fixed':>6s} {'broken':>7s} {'EM points':>10s}")
    for part in ("dev", "test"):
        for row in found[part]:
            print(f"{row['rule']:10s} {part:5s} {row['changed']:8d} {row['fixed']:6d} {row['broken']:7d} "
                  f"{100 * row['exact_match_change']:+10.2f}")  # fmt: skip
    print(f"on by dev: {', '.join(found['rules']) or 'none'}")
    for name, (exact, f1) in found["test_scores"].items():
        print(f"test, {name:8s} EM {100 * exact:.2f} F1 {100 * f1:.2f}")


def _golds(file: Path, *, every: int) -> None:
    """Print how many golds the particle rule shortens, and how many it restores from the whole word."""
    examples, _ = read_squad(parse_squad(file.read_text(encoding="utf-8"), where=str(file)), where=str(file))
    cut = longer = restored = 0
    examples = examples[::every]
    for each in examples:
        start, end = each.answers[0].start, each.answers[0].end
        cut += without_josa(each.question, each.context, start, end)[1] < end
        rest = each.context[end:].split(maxsplit=1)[:1] if not each.context[end : end + 1].isspace() else []
        word = rest[0].rstrip(string.punctuation) if rest else ""
        if word:
            longer += 1
            restored += without_josa(each.question, each.context, start, end + len(word))[1] == end
    print(f"josa on {len(examples)} golds: shortens {cut}; restores {restored} of {longer} from the whole word")


def _row(effect: RuleEffect) -> dict[str, Any]:
    names = ("rule", "changed", "fixed", "broken", "exact_match_change")
    return {name: getattr(effect, name) for name in names}


def _judged(study: Path, parts: Sequence[str]) -> list[AnsweredQuestion]:
    """The questions of these parts with the answers of the base arm, seed 0."""
    from mrc.read.model.reader import Reader

    reader = Reader.load(study / "runs" / "linear-0" / "reader")
    examples = [example for part in parts for example in part_examples(study / "data", part)]
    config = ReadConfig(max_seq_length=min(384, reader.max_positions))
    found = read_in_context(examples, reader, config=config, metric=METRIC)
    return [_judge(example, prediction) for example, prediction in zip(examples, found, strict=True)]


def _judge(example: Example, prediction: Prediction) -> AnsweredQuestion:
    passage = Passage(passage_id(example.context), example.context)
    golds = tuple(each.text for each in example.answers)
    return AnsweredQuestion(example.question, prediction.answers, {passage.id: passage}, golds)


def _mean_scores(judged: Sequence[AnsweredQuestion], rules: Sequence[str]) -> tuple[float, float]:
    """Mean exact match and F1 of the first answers under these rules."""
    refine = refiner(rules, language="ko")
    answers = [refined(each, refine, METRIC) for each in judged]
    scores = [
        score(best[0].text if best else "", each.golds, METRIC) for best, each in zip(answers, judged, strict=True)
    ]
    return sum(each.exact_match for each in scores) / len(scores), sum(each.f1 for each in scores) / len(scores)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", help="folder that keeps encoder, study and tables")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="setting of all arms")
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
