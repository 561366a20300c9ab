"""Training a reader with transformers' own Trainer, as its question-answering example does.

    python benchmarks/peers/trainer.py FILE START -o FOLDER [--epochs 3] [--tuned] [--threads 2] [--device cpu]

FILE is SQuAD-format; windows of 384 tokens that share 128; a window without the answer points at [CLS]. As it comes:
float32, every window padded to 384, batches of 8, a rate of 5e-5. `--tuned`: bfloat16, windows padded to the longest of
their batch, batches of windows of like length. Writes the model and prints a JSON line: seconds and CPU seconds of the
training (tokenising and loading left out), windows, versions.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

LENGTH, STRIDE = 384, 128


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    tokenizer = AutoTokenizer.from_pretrained(options.start)
    windows = _windows(Path(options.file), tokenizer, padded=not options.tuned)
    tuned: dict[str, Any] = {"bf16": True, "train_sampling_strategy": "group_by_length"} if options.tuned else {}
    arguments = TrainingArguments(
        output_dir=f"{options.output}.run",
        num_train_epochs=options.epochs,
        use_cpu=options.device == "cpu",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=options.seed,
        **tuned,
    )
    transformers.set_seed(options.seed)  # of the new head
    trainer = Trainer(
        model=AutoModelForQuestionAnswering.from_pretrained(options.start),
        args=arguments,
        train_dataset=windows,
        data_collator=DataCollatorWithPadding(tokenizer) if options.tuned else default_data_collator,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    spent = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    trainer.save_model(options.output)
    tokenizer.save_pretrained(options.output)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    print(json.dumps({**spent, "windows": len(windows), **versions}))


def _windows(path: Path, tokenizer: Any, *, padded: bool) -> list[dict[str, Any]]:
    """Every window of every question, with the tokens at which its answer starts and ends."""
    asked = [
        (qa["question"], paragraph["context"], qa["answers"][0])
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    encoded = tokenizer(
        [question for question, _, _ in asked],
        [context for _, context, _ in asked],
        truncation="only_second",
        max_length=LENGTH,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if padded else False,
    )
    found = []
    for place, question in enumerate(encoded["overflow_to_sample_mapping"]):
        answer = asked[question][2]
        start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
        inside = encoded.sequence_ids(place)
        offsets = encoded["offset_mapping"][place]
        starts = [at for at, (low, high) in enumerate(offsets) if inside[at] == 1 and low <= start < high]
        ends = [at for at, (low, high) in enumerate(offsets) if inside[at] == 1 and low < end <= high]
        first, last = (starts[0], ends[0]) if starts and ends else (0, 0)
        columns = {name: encoded[name][place] for name in tokenizer.model_input_names}
        found.append({**columns, "start_positions": first, "end_positions": last})
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("start")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
