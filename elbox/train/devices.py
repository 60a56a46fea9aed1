"""Where and in which arithmetic a run trains: device, precision and compilation, chosen once, with the reason said.

Precisions (storage is float32 except for "64"; "auto" chooses among the first three):

| name | products and convolutions | elsewhere |
|---|---|---|
| 32 | float32 | float32 |
| tf32 | TF32 where the device has it (CUDA), else float32 | float32 |
| bf16 | CPU: large ones in bfloat16 (if compiled, or AMX); CUDA: all that autocast rounds; sums in float32 | float32 |
| 16 | CUDA only: all that autocast rounds, in float16, with loss scaling | float32 |
| 64 | float64 | float64 |

Products are where a low precision gains and where it does least harm: log-densities, their sums over pixels and the
optimiser stay in float32, as does everything that a held-out evaluation computes. A product's result is rounded to
bfloat16 too, so that "auto" takes it only under a likelihood that bears this (`Likelihood.robust`): rounded logits are
harmless, a rounded mean is not where its standard deviation is small.

A choice depends on the settings, the machine and the *counted* cost of a step, never on a measured time: the same seed
must give the same numbers, and compiled code rounds otherwise than eager code. It is kept in every checkpoint and used
again when the run goes on.
"""

from __future__ import annotations

__all__ = ["Choice", "check_processes", "choose", "connect", "device_name", "uncompiled"]

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from elbox.errors import SettingError
from elbox.record import cpu_has_bf16, missing_compiler
from elbox.train.cost import Cost
from elbox.train.processes import World
from elbox.train.settings import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# Measured on two cores with AVX-512: below this many operations forward, products in bfloat16 cost more than they save.
BF16_FLOPS = 10_000_000
THREADS_FLOPS = 10_000_000  # likewise, for a second thread
# A compiled step saves about this much for each operator call and each number written, forward and backward together …
SECONDS_PER_CALL, SECONDS_PER_NUMBER = 3e-6, 0.5e-9
# … and compilation takes 4–12 s, so that it is worth while if it is expected to save this many seconds.
COMPILE_GAIN_SECONDS = 15.0


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Arguments:
        device: Such as `"cpu"` or `"cuda:0"`.
        precision: `"32"`, `"tf32"`, `"bf16"`, `"16"` or `"64"`.
        compile: Whether the step is compiled.
        reasons: One sentence each for device, precision and compilation, to be printed and stored.
        threads: Threads of one operation on a CPU; 0 leaves torch's number.
        processes: Processes that share each batch.
    """

    device: str
    precision: str
    compile: bool
    reasons: tuple[str, ...] = ()
    threads: int = 0
    processes: int = 1

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        return {**asdict(self), "reasons": list(self.reasons)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Choice:
        """The choice that `to_json` described."""
        return cls(**{**values, "reasons": tuple(values["reasons"])})


def device_name(wanted: str, world: World | None = None) -> tuple[str, str]:
    """The device of this process for the setting `wanted`, with the reason; one that is not there raises
    SettingError.
    """
    cuda = torch.cuda.device_count()
    if world is not None and world.size > 1:
        return _device_of(wanted, world, [] if wanted == "cpu" else world.gather(_own_cuda(world)))
    if wanted == "auto":
        if cuda:
            return "cuda:0", "device cuda:0: found a CUDA device"
        return "cpu", "device cpu: no CUDA device found"
    if wanted.startswith("cuda"):
        index = int(wanted.partition(":")[2] or 0)
        if index >= cuda:
            raise SettingError(f"got device={wanted!r}, but {cuda} CUDA devices were found; use device='auto' or 'cpu'")
        return f"cuda:{index}", f"device cuda:{index}: as asked"
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise SettingError("got device='mps', but no such device was found; use device='auto' or 'cpu'")
    return wanted, f"device {wanted}: as asked"


def _own_cuda(world: World) -> str | None:
    """Which CUDA device a process would take: it may see all of its machine, or be shown only its own, as by SLURM."""
    cuda = torch.cuda.device_count()
    return str(torch.cuda.get_device_properties(world.local_rank % cuda).uuid) if cuda else None


def check_processes(settings: Training) -> None:
    """Refuse more processes on this machine than it can serve, before any of them is started.

    Raises:
        SettingError: if they are more than the CUDA devices, or on the CPU more than the cores and more than 4, which
            share any CPU.
    """
    devices, cuda, cores = settings.devices, torch.cuda.device_count(), _cores()
    if settings.device == "cpu" or (settings.device == "auto" and not cuda):
        if devices > max(4, cores):
            raise SettingError(
                f"got devices={devices} on a CPU with {cores} cores; expected at most {max(4, cores)} processes; use "
                f"devices={cores}"
            )
    elif devices > cuda:
        raise SettingError(
            f"got devices={devices} with device={settings.device!r}, and {cuda} CUDA devices; expected a CUDA device "
            "for each process, or the CPU; use device='cpu', or fewer processes"
        )


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device_of(wanted: str, world: World, taken: Sequence[str | None]) -> tuple[str, str]:
    """The device of one of several processes, from what each of them would take."""
    asked, cuda = f"{world.size} processes, {world.local_size} on this machine", len({*taken} - {None})
    if wanted == "cpu" or (wanted == "auto" and not cuda):
        return "cpu", f"device cpu: {asked}, with {torch.get_num_threads()} threads each"
    if wanted not in ("auto", "cuda") or cuda < world.size:
        raise SettingError(
            f"got device={wanted!r} for {asked}, and {cuda} CUDA devices; expected a CUDA device for each, or the CPU; "
            "use device='cpu', or fewer processes"
        )
    return f"cuda:{world.local_rank % torch.cuda.device_count()}", f"device cuda: {asked}, with a device each"


def choose(settings: Training, device: str, why: str, cost: Cost, steps: int, *, robust: bool = True) -> Choice:
    """Choose precision and compilation for a run.

    Arguments:
        settings: The settings, which may already say what to do.
        device: The device, as named by `device_name`.
        why: The reason for that device.
        cost: Counted cost of one step.
        steps: Steps of the whole run.
        robust: Whether the step bears rounding of a network's outputs to bfloat16.

    Raises:
        SettingError: if the settings ask for what the device cannot do.
    """
    kind = device.partition(":")[0]
    compiled, compile_why = _compile(settings, kind, cost, steps)
    precision, precision_why = _precision(settings.precision, kind, cost, compiled=compiled, robust=robust)
    threads, threads_why = _threads(device, cost)
    return Choice(device, precision, compiled, (why, precision_why, compile_why, *threads_why), threads)


def _precision(wanted: str, device: str, cost: Cost, *, compiled: bool, robust: bool) -> tuple[str, str]:
    if (wanted == "16" and device != "cuda") or (wanted in ("bf16", "64") and device == "mps"):
        raise SettingError(f"got precision={wanted!r} on device {device}, which cannot do it; use 'auto' or '32'")
    if wanted == "bf16" and device == "cpu" and not (compiled or cpu_has_bf16(compiled=False)):
        return _no_bf16(device, compiled=False)
    if wanted == "tf32" and device != "cuda":
        return "32", f"precision 32: a {device} device has no TF32"
    if wanted != "auto":
        return wanted, f"precision {wanted}: as asked"
    if device == "cuda" and torch.cuda.get_device_capability()[0] >= 8:
        return "tf32", "precision tf32: this device multiplies fast in TF32, and all sums stay in float32"
    if device != "cpu" or not cpu_has_bf16(compiled=compiled):
        return _no_bf16(device, compiled=compiled)
    work = f"{cost.flops / 1e6:.0f} million operations of its products a step"
    if cost.flops < BF16_FLOPS:
        return "32", f"precision 32: with {work}, the network is too small to gain from bfloat16"
    if not robust:
        return "32", "precision 32: this likelihood would feel its parameters rounded to bfloat16"
    return "bf16", f"precision bf16: with {work}, products in bfloat16 are faster; all sums stay in float32"


def _no_bf16(device: str, *, compiled: bool) -> tuple[str, str]:
    return "32", f"precision 32: this {device} has no fast bfloat16 products{'' if compiled else ' uncompiled'}"


def uncompiled(choice: Choice, why: str) -> Choice:
    """What is left of a choice to compile where that failed: products in bfloat16 may have needed it, too."""
    precision, (device, precision_why, _, *more) = choice.precision, choice.reasons
    if precision == "bf16" and choice.device == "cpu" and not cpu_has_bf16(compiled=False):
        precision, precision_why = _no_bf16("cpu", compiled=False)
    reasons = (device, precision_why, f"not compiled after all: {why}", *more)
    return replace(choice, precision=precision, compile=False, reasons=reasons)


def _compile(settings: Training, device: str, cost: Cost, steps: int) -> tuple[bool, str]:
    wanted, missing = settings.compile, missing_compiler(device)
    if settings.precision == "16":  # its gradient scaling looks at gradients, which a recorded step cannot
        missing = "precision 16 scales its gradients by what they are"
    if settings.strategy == "fsdp":
        missing = "weights that are shared out come and go"
    if wanted and missing:
        raise SettingError(f"got compile=True, but {missing}; expected a step that can be compiled; leave compile out")
    if wanted is not None:
        return wanted, f"{'compiled' if wanted else 'not compiled'}: as asked"
    saved = steps * (cost.calls * SECONDS_PER_CALL + cost.numbers * SECONDS_PER_NUMBER)
    if saved < COMPILE_GAIN_SECONDS:
        return False, f"not compiled: it would save about {saved:.0f} s over {steps} steps, which compiling would cost"
    if missing:
        return False, f"not compiled: it would save about {saved:.0f} s, but {missing}"
    return True, f"compiled: it should save about {saved:.0f} s over {steps} steps"


def _threads(device: str, cost: Cost) -> tuple[int, tuple[str, ...]]:
    """One thread where a step is so short that a second one costs more than it does, most of all on a busy machine."""
    if device != "cpu" or cost.flops >= THREADS_FLOPS or torch.get_num_threads() == 1:
        return 0, ()
    return 1, (f"one thread: {cost.flops / 1e6:.0f} million operations a step are too few to share",)


def connect(choice: Choice) -> Fabric:
    """Lightning Fabric on this process's own device with the chosen precision; it need not know of other processes."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    kind, _, index = choice.device.partition(":")
    autocast = {"16": "16-mixed", "64": "64-true"} | ({"bf16": "bf16-mixed"} if kind == "cuda" else {})
    precision: Any = autocast.get(choice.precision, "32-true")
    devices: Any = [int(index or 0)] if kind == "cuda" else 1
    fabric = Fabric(accelerator=kind, devices=devices, precision=precision, plugins=[LightningEnvironment()])
    fabric.launch()
    return fabric
