"""Distributed training: several processes each take a part of every update's questions and sum their gradients.

The worker processes (`mrc.read.train.worker`) are started here and communicate by files and lines of text; devices
and collective operations are accelerate's. Gradients are summed once per update, after the last forward pass, so that
processes with fewer passes do not wait for those of others.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any, Final

import torch
from torch import nn

import mrc.errors
from mrc.encoder.compute import pick_device, pick_dtype
from mrc.encoder.loading import load_config
from mrc.errors import MrcError, NoDevice, WorkerDied
from mrc.read.train.job import Job
from mrc.read.train.loop import Progress
from mrc.read.train_config import TrainConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

WORKER: Final = "mrc.read.train.worker"
JOB_FILE: Final = "job.json"
LOG_FILE: Final = "workers.log"
ERROR_FILES: Final = "error-*.json"
STEP: Final = "update done: "  # prefix of the lines in which the first worker reports its progress
TIMEOUT: Final = timedelta(hours=6)  # of waiting for another process: only one of them evaluates dev


def process_count(config: TrainConfig, *, device: str) -> int:
    """The number of training processes: as the settings say, or one for each GPU.

    Raises: NoDevice where there are fewer GPUs than processes.
    """
    wanted = config.experimental.processes
    if pick_device(device).type != "cuda":
        return wanted or 1
    gpus = torch.cuda.device_count()
    if wanted > gpus:
        raise NoDevice(f"processes = {wanted}: this machine has {gpus} usable GPUs; set processes = 0")
    return wanted or gpus


@dataclass(frozen=True, slots=True)
class AccelerateGroup:
    """This process as a member of an accelerate process group; `parent` is the process that started it."""

    accelerator: Accelerator
    parent: int

    @property
    def rank(self) -> int:
        return int(self.accelerator.process_index)

    @property
    def size(self) -> int:
        return int(self.accelerator.num_processes)

    @property
    def device(self) -> torch.device:
        return torch.device(self.accelerator.device)

    def autocast(self, bf16: bool) -> AbstractContextManager[Any]:
        """A context in which products are computed in the precision chosen by `join_group`."""
        context: AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process. Exits the process if its parent is gone."""
        if not _is_alive(self.parent):
            raise SystemExit(1)
        return bool(self._sum(torch.tensor(float(flag), device=self.device)) > 0)

    def all_reduce(self, model: nn.Module, numbers: Sequence[float]) -> list[float]:
        """Sum the model's gradients in place, and the numbers, over all processes.

        A weight without a gradient in any process keeps none.
        """
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        grads = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        present = torch.tensor([float(weight.grad is not None) for weight in weights], device=self.device)
        present = self._sum(present)
        summed = self._sum(torch.cat([grad.flatten() for grad in grads]))
        parts = torch.split(summed, [weight.numel() for weight in weights])
        for weight, part, count in zip(weights, parts, present.tolist(), strict=True):
            weight.grad = part.view_as(weight) if count else None
        sums: list[float] = self._sum(torch.tensor(numbers, dtype=torch.float64, device=self.device)).tolist()
        return sums

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return added


def join_group(job: Job, parent: int) -> AccelerateGroup:
    """Join the process group that the launcher has described in the environment."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    device = pick_device(job.device)
    hidden_size = int(getattr(load_config(job.start), "hidden_size", 0))
    bf16 = pick_dtype(job.precision, device=device, hidden_size=hidden_size) is torch.bfloat16
    waiting = InitProcessGroupKwargs(timeout=TIMEOUT)
    precision = "bf16" if bf16 else "no"
    return AccelerateGroup(
        Accelerator(cpu=device.type == "cpu", mixed_precision=precision, kwargs_handlers=[waiting]), parent
    )


def train_distributed(job: Job, count: int, progress: Progress | None) -> None:
    """Do the job in `count` worker processes, which end when this process ends.

    Raises: what a worker raised; WorkerDied where one died without an error message.
    """
    for old in job.partial.glob(ERROR_FILES):
        old.unlink()
    job.write(job.partial / JOB_FILE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command += ["-m", WORKER, str(job.partial / JOB_FILE), str(os.getpid())]
    threads = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // count))}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **threads},
    ) as workers:
        try:
            with (job.partial / LOG_FILE).open("w") as log:
                _relay(workers.stdout, log, progress)
            code = workers.wait()
        finally:
            if workers.poll() is None:
                os.killpg(workers.pid, signal.SIGTERM)
    if code:
        raise worker_error(job)


def _relay(lines: IO[str] | None, log: IO[str], progress: Progress | None) -> None:
    """Pass the progress that the workers report to `progress`; write all other lines to the log."""
    for line in lines or ():
        if not line.startswith(STEP):
            log.write(line)
        elif progress:
            step, total, loss, left = json.loads(line.removeprefix(STEP))
            progress(step, total, loss, left)


def report_progress(step: int, total: int, loss: float, left: float) -> None:
    """Report an update to the parent process, as a line on stdout."""
    sys.stdout.write(f"{STEP}{json.dumps([step, total, loss, left])}\n")
    sys.stdout.flush()


def write_error(job: Job, rank: int, error: MrcError) -> None:
    """Write the file from which the parent process raises a worker's error."""
    path = job.partial / f"error-{rank}.json"
    path.write_text(json.dumps({"kind": type(error).__name__, "message": str(error)}), encoding="utf-8")


def worker_error(job: Job) -> MrcError:
    """The error that a worker of a failed job wrote; WorkerDied where none did."""
    for path in sorted(job.partial.glob(ERROR_FILES)):
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(mrc.errors, stored["kind"])
        raised: MrcError = kind(stored["message"])
        return raised
    return WorkerDied(f"a training process died; its output is in {job.partial / LOG_FILE}; train again to resume")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
