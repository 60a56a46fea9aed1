"""What commands that measure a trained model have in common: the run, its device, and processes that share the work."""

from __future__ import annotations

__all__ = ["Device", "Devices", "Precision", "fit_in", "opened", "together"]

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from elbox.data.memory import fits
from elbox.runs import Run, load_run
from elbox.train import Training
from elbox.train.devices import device_name
from elbox.train.launch import launch
from elbox.train.processes import World, join, launched

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Devices = Annotated[int, typer.Option(min=1, help="Processes that share the examples, with a device each.")]
Precision = Annotated[str, typer.Option(help="auto, 32 or bf16: auto takes bf16 products where that changes nothing.")]


def together(command: Callable[..., None], given: dict[str, Any]) -> World | None:
    """The processes that share the work of a command, as this one of them sees them.

    Arguments:
        command: The command.
        given: Its arguments, with `device` and `devices`, the number of processes.

    Returns:
        The world; None in the process that started the others, which have done the work by then.

    Raises:
        SettingError: if there is no such device.
    """
    settings = Training(device=given["device"], devices=given["devices"])
    if launched(settings):
        return join(settings)
    launch(command, given, settings)
    return None


def opened(run: Path, data_dir: Path | None, device: str, world: World) -> Run:
    """The run, with its model on this process's device."""
    loaded = load_run(run, data_dir=data_dir)
    loaded.model.to(device_name(device, world)[0])
    return loaded


def fit_in(world: World) -> Callable[[int], bool]:
    """Whether so many bytes fit into memory once for each process of a machine, as all processes find together."""
    return lambda need: not world.any(not fits(need * world.local_size))
