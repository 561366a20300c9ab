"""The question-answering pipeline of transformers 4, timed on a SQuAD-format file; runs where that is installed.

    PEER/bin/python benchmarks/peers/pipeline.py FILE MODEL [--batch 1] [--threads 1] [--device cpu] -o FOLDER

Windows, stride and longest answer are those of `labeler answer`. Writes predictions.json (id to text) and prints a JSON
line: seconds, CPU seconds (loading left out), questions, versions.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import transformers

SETTINGS = {"max_seq_len": 384, "doc_stride": 128, "max_answer_len": 30, "handle_impossible_answer": False}


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    asked = [
        (qa["id"], qa["question"], paragraph["context"])
        for article in json.loads(Path(options.file).read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    device = 0 if options.device == "cuda" else -1
    answerer = transformers.pipeline("question-answering", model=options.model, tokenizer=options.model, device=device)
    questions, contexts = [question for _, question, _ in asked], [context for *_, context in asked]
    answerer(question=questions[:1], context=contexts[:1], **SETTINGS)  # the first call allocates
    wall, cpu = time.perf_counter(), time.process_time()
    found = answerer(question=questions, context=contexts, batch_size=options.batch, **SETTINGS)
    spent = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    found = [found] if isinstance(found, dict) else found
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {key: answer["answer"] for (key, *_), answer in zip(asked, found, strict=True)}
    (folder / "predictions.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    print(json.dumps({"questions": len(asked), **spent, **versions}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("-o", "--output", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
