"""One training by several processes: each reads its part of every update's questions, and their gradients are added.

The processes are workers of their own (`mrc.read.train.worker`), started from here and spoken to by files and lines of
text; their common state, devices and sums are accelerate's. A gradient is summed once an update, after the last
forward pass: uneven shares of an update cannot keep one process waiting for another's next pass.
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
from mrc.encoder import load_config, pick_device, pick_dtype
from mrc.errors import MrcError, NoDevice, WorkerDied
from mrc.read.train.job import Job
from mrc.read.train.loop import Progress
from mrc.read.train_config import TrainConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

WORKER: Final = "mrc.read.train.worker"
JOB_FILE: Final = "job.json"
LOG_FILE: Final = "team.log"
ERROR_FILES: Final = "error-*.json"
STEP: Final = "update done: "  # begins a line by which the first worker tells of its progress
PATIENCE: Final = timedelta(hours=6)  # how long a process waits for another: one of them reads dev alone


def processes(config: TrainConfig, *, device: str) -> int:
    """How many processes train: as the settings say, or one for each GPU.

    Raises: NoDevice where there are fewer GPUs than processes that want one.
    """
    wanted = config.experimental.processes
    if pick_device(device).type != "cuda":
        return wanted or 1
    gpus = torch.cuda.device_count()
    if wanted > gpus:
        raise NoDevice(f"processes = {wanted}: this machine has {gpus} usable GPUs; set processes = 0")
    return wanted or gpus


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process as one of a team, by accelerate; `parent` is the process that started the team."""

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

    def autocast(self, low: bool) -> AbstractContextManager[Any]:
        """Inside, products are computed in the precision that `join` has settled."""
        context: AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process. A process whose parent is gone ends here: nobody waits for it."""
        if not _lives(self.parent):
            raise SystemExit(1)
        return bool(self._sum(torch.tensor(float(flag), device=self.device)) > 0)

    def all_reduce(self, model: nn.Module, told: Sequence[float]) -> list[float]:
        """Sums over all processes of the model's gradients, in their place, and of the numbers told.

        A weight that has a gradient in no process keeps none.
        """
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        grads = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        present = torch.tensor([float(weight.grad is not None) for weight in weights], device=self.device)
        present = self._sum(present)
        summed = self._sum(torch.cat([grad.flatten() for grad in grads]))
        parts = torch.split(summed, [weight.numel() for weight in weights])
        for weight, part, count in zip(weights, parts, present.tolist(), strict=True):
            weight.grad = part.view_as(weight) if count else None
        numbers: list[float] = self._sum(torch.tensor(told, dtype=torch.float64, device=self.device)).tolist()
        return numbers

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return added


def join(job: Job, parent: int) -> ProcessGroup:
    """This worker as one of its team, by what the launcher has put into the environment."""
    from accelerate import Accelerator, InitProcessGroupKwargs

    device = pick_device(job.device)
    hidden_size = int(getattr(load_config(job.start), "hidden_size", 0))
    low = pick_dtype(job.precision, device=device, hidden_size=hidden_size) is torch.bfloat16
    waiting = InitProcessGroupKwargs(timeout=PATIENCE)
    precision = "bf16" if low else "no"
    return ProcessGroup(
        Accelerator(cpu=device.type == "cpu", mixed_precision=precision, kwargs_handlers=[waiting]), parent
    )


def train_together(job: Job, count: int, progress: Progress | None) -> None:
    """Nothing; `count` worker processes have done the job. They end with this process, whatever ends it.

    Raises: what a worker raised; WorkerDied where one is gone without a word.
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
                _listen(workers.stdout, log, progress)
            code = workers.wait()
        finally:
            if workers.poll() is None:
                os.killpg(workers.pid, signal.SIGTERM)
    if code:
        raise error_of(job)


def _listen(lines: IO[str] | None, log: IO[str], progress: Progress | None) -> None:
    """Hands on what the workers tell of their progress; all else that they say goes to the log."""
    for line in lines or ():
        if not line.startswith(STEP):
            log.write(line)
        elif progress:
            step, total, loss, left = json.loads(line.removeprefix(STEP))
            progress(step, total, loss, left)


def tell(step: int, total: int, loss: float, left: float) -> None:
    """Nothing; the line by which the parent hears of an update."""
    sys.stdout.write(f"{STEP}{json.dumps([step, total, loss, left])}\n")
    sys.stdout.flush()


def leave_word(job: Job, rank: int, error: MrcError) -> None:
    """Nothing; the file by which the parent hears of an error that a user can mend."""
    path = job.partial / f"error-{rank}.json"
    path.write_text(json.dumps({"kind": type(error).__name__, "message": str(error)}), encoding="utf-8")


def error_of(job: Job) -> MrcError:
    """What the workers of a job that failed left word of; WorkerDied where none did."""
    for path in sorted(job.partial.glob(ERROR_FILES)):
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(mrc.errors, told["kind"])
        raised: MrcError = kind(told["message"])
        return raised
    return WorkerDied(f"a training process died; what it said is in {job.partial / LOG_FILE}; train again to go on")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
