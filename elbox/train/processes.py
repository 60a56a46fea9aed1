r"""The processes of a run: who they are, and what they do together.

Every process holds the whole model and takes its share of each global batch. With w processes and gradients \(g_r\) of
the mean loss over the share of process r,

    g = (1/w) Σ_r g_r

is the gradient of the mean loss over the global batch, because all shares are of one size. One process is a world of
size 1, in which nothing here costs or does anything; the training loop is the same for both.

Who starts the processes does not matter: `elbox.train.launch`, `torchrun`, `fabric run`, or `srun` in a SLURM job.
"""

from __future__ import annotations

__all__ = ["Lost", "World", "join", "launched"]

import atexit
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from elbox.errors import ElboxError, RunError, SettingError
from elbox.train.settings import Training

if TYPE_CHECKING:
    from lightning_fabric.plugins.environments import ClusterEnvironment

PATIENCE = timedelta(minutes=30)  # for a process that is alive and does not answer
TORCHRUN = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


class Lost(RunError):
    """Another process of the run has ended without a word, so that this one cannot go on."""


@dataclass(frozen=True)
class World:
    """The processes of a run, as one of them sees them. Every method but `share` is called by all of them, in step.

    Arguments:
        rank: Number of this process.
        size: Number of processes.
        local_rank: Number of this process among those on its machine.
        local_size: Number of processes on its machine.

    Example:
        >>> World().any(True), World().gather(3), World().on_first(lambda: "written")
        (True, [3], 'written')
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def seed(self, seed: int, *more: int) -> int:
        """A seed of this process's own noise: `seed` itself in the first, unless there is more to tell apart."""
        if self.rank == 0 and not more:
            return seed
        return int(np.random.SeedSequence((seed, self.rank, *more)).generate_state(1, np.uint64)[0] >> 1)

    def share(self, x: Any) -> Any:
        """The rows of x that are this process's, neighbours in a tensor or on disk; all rows for everyone where they
        are too few.
        """
        if self.size == 1 or len(x) < self.size:
            return x
        start, stop = (rank * len(x) // self.size for rank in (self.rank, self.rank + 1))
        return x.narrow(0, start, stop - start)

    def over_rows(self, function: Callable[[Any], Tensor], x: Any) -> Tensor:
        """`function(x)`, [N, …] on the CPU, of which each process computes the rows that are its share of x."""
        own = self.share(x)
        if len(own) == len(x):
            return function(x)
        return torch.cat(self.gather(function(own).cpu()))

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Means over the processes, sent as one message; each has the shape of its tensor."""
        if self.size == 1 or not tensors:
            return list(tensors)
        flat = torch.cat([t.detach().reshape(-1) for t in tensors])
        with _answered():
            dist.all_reduce(flat)
        parts = flat.div_(self.size).split([t.numel() for t in tensors])
        return [part.view_as(t) for part, t in zip(parts, tensors, strict=True)]

    @torch.no_grad()
    def equalise(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the values that the first has, in place."""
        for tensor in tensors if self.size > 1 else ():
            value = tensor.detach().contiguous().reshape(-1)
            with _answered():
                dist.broadcast(value.view(torch.uint8), 0)
            tensor.copy_(value.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether it is so for any process."""
        if self.size == 1:
            return flag
        total = torch.tensor(int(flag))
        with _answered():
            dist.all_reduce(total)
        return bool(total)

    def gather(self, value: Any) -> list[Any]:
        """What each process has, by rank."""
        values = [value] * self.size
        if self.size > 1:
            with _answered():
                dist.all_gather_object(values, value)
        return values

    def on_first(self, function: Callable[[], Any]) -> Any:
        """What `function()` returns in the first process, for all of them; an error there is raised in all of them."""
        if self.size == 1:
            return function()
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = function()
            except ElboxError as error:
                found[1] = error
        with _answered():
            dist.broadcast_object_list(found, 0)
        if found[1] is not None:
            raise found[1]
        return found[0]


def join(settings: Training) -> World:
    """Meet the other processes of the run, if there are any; a second call only returns the world.

    Arguments:
        settings: How many processes were asked for: `devices` × `nodes`, or 1 to take what the launcher started.

    Raises:
        SettingError: if several were asked for and nothing has started them, or another number of them.
        RunError: if they cannot be reached.
    """
    asked, environment = settings.devices * settings.nodes, _environment()
    if environment is None:
        if asked > 1:
            raise SettingError(
                f"got devices={settings.devices} and nodes={settings.nodes} in a single process; expected {asked} "
                f"processes; start the script with: torchrun --nproc-per-node {settings.devices}, or use elbox fit "
                f"--devices {settings.devices}"
            )
        return World()
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("SLURM_NTASKS_PER_NODE") or 1)
    size = environment.world_size()
    if asked not in (1, size):
        raise SettingError(
            f"got devices={settings.devices} and nodes={settings.nodes}, but {size} processes were started; expected "
            "the same number; leave devices and nodes out"
        )
    if not dist.is_initialized():
        _meet(environment, local_size)
    return World(environment.global_rank(), size, environment.local_rank(), local_size)


def launched(settings: Training) -> bool:
    """Whether this is one of several processes already, or the settings ask for no more than one."""
    return settings.devices * settings.nodes == 1 or _environment() is not None


def _environment() -> ClusterEnvironment | None:
    """Lightning Fabric's view of what has started this process and others; None if it is alone."""
    environment = _launcher() if dist.is_available() else None
    return None if environment is None or environment.world_size() == 1 else environment


def _launcher() -> ClusterEnvironment | None:
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if os.environ.keys() >= TORCHRUN:
        return TorchElasticEnvironment()
    if "SLURM_STEP_ID" not in os.environ or not SLURMEnvironment.detect():  # a job script without srun is one process
        return None
    try:
        return SLURMEnvironment()
    except RuntimeError as error:
        raise SettingError(
            f"got --ntasks={os.environ.get('SLURM_NTASKS')} from SLURM; expected --ntasks-per-node; use that instead"
        ) from error


def _meet(environment: ClusterEnvironment, local_size: int) -> None:
    for name in [name for name in os.environ if name.startswith("LT_")]:  # `fabric run` has done its part
        del os.environ[name]
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    torch.set_num_threads(max(1, torch.get_num_threads() // local_size))
    if torch.cuda.is_available():
        torch.cuda.set_device(environment.local_rank() % torch.cuda.device_count())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(
            backend, rank=environment.global_rank(), world_size=environment.world_size(), timeout=PATIENCE
        )
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        raise RunError(
            f"could not reach the other processes at {environment.main_address}:{environment.main_port} ({first}); "
            "expected all of them to start; see the messages of the others"
        ) from error
    atexit.register(_leave)


def _leave() -> None:
    gc.collect()  # whatever still holds the connection would end its threads too late, which aborts the process
    with suppress(Exception):
        dist.destroy_process_group()


@contextmanager
def _answered() -> Iterator[None]:
    """A message that is not answered, because the other process is gone, is an error of its own kind."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(
            "got no answer from another process of the run, which was killed or has failed; expected all of them to go "
            "on; see the messages of the others"
        ) from error
