"""The rate of the matrix products that an encoder is made of, by workers of one thread each: JSON, in FLOP a second.

python benchmarks/peers/matrix.py [--workers 1] [--rows 2048] [--width 384] [--dtype bfloat16] [--seconds 2]
"""

from __future__ import annotations

import argparse
import json
import threading
import time

import torch


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    done = [0.0] * options.workers
    end = time.perf_counter() + options.seconds
    began, cpu = time.perf_counter(), time.process_time()
    workers = [threading.Thread(target=_work, args=(options, done, each, end)) for each in range(options.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    spent = time.perf_counter() - began, time.process_time() - cpu
    rates = {"per_second": sum(done) / spent[0], "per_cpu_second": sum(done) / spent[1]}
    print(json.dumps({"workers": options.workers, "dtype": options.dtype, **rates}))


def _work(options: argparse.Namespace, done: list[float], place: int, end: float) -> None:
    """Multiplies until the end; the floating-point operations done are left in `done[place]`."""
    torch.set_num_threads(1)
    rows, width = options.rows, options.width
    dtype = getattr(torch, options.dtype)
    shapes = ((width, width), (width, 4 * width), (4 * width, width))
    pairs = [(torch.randn(rows, inner, dtype=dtype), torch.randn(outer, inner, dtype=dtype)) for inner, outer in shapes]
    with torch.inference_mode():
        while time.perf_counter() < end:
            for left, right in pairs:
                torch.nn.functional.linear(left, right)
                done[place] += 2.0 * rows * left.shape[1] * right.shape[0]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--seconds", type=float, default=2.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
