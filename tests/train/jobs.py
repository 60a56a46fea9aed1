"""What the processes of tests/train/test_distributed.py do; each is called in every process of a world."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elbox.train import Silent, Training, train
from elbox.train.processes import join
from tests.train.test_stream import Bits
from tests.train.toys import ToyVAE, bits


class Quiet(nn.Module):
    """A VAE without noise: its code is the mean of q(z|x)."""

    def __init__(self, dims: int = 12, hidden: int = 8, latent: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(dims, hidden), nn.Tanh(), nn.Linear(hidden, latent))
        self.decoder = nn.Linear(latent, dims)
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = x.to(self.progress.dtype)
        z = self.encoder(x)
        logits = self.decoder(z)
        distortion = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1).mean()
        return distortion + 0.5 * z.square().sum(-1).mean(), {"distortion": distortion.detach()}


BASE = {"epochs": 3, "batch_size": 8, "lr": 0.01, "evaluations": 3, "checkpoint_seconds": 0.0}
CASES: dict[str, dict[str, Any]] = {
    "adam": {},
    "clip and average": {"clip": 0.05, "ema": 0.9},
    "sgd, cosine": {"optimizer": "sgd", "schedule": "cosine"},
    "double": {"precision": "64"},
    "streamed": {"stream": True},
    "fsdp": {"strategy": "fsdp", "clip": 0.05, "ema": 0.9},
    "fsdp, adagrad": {"strategy": "fsdp", "optimizer": "adagrad"},
    "fsdp, adamax": {"strategy": "fsdp", "optimizer": "adamax"},
    "fsdp, sgd": {"strategy": "fsdp", "optimizer": "sgd"},
}
RECORDED: dict[str, dict[str, Any]] = {
    "recorded adam": {"compile": True, "clip": 0.05, "ema": 0.9},
    "recorded adamax": {"compile": True, "clip": 0.05, "optimizer": "adamax"},
}


def run(folder: Path, changes: dict[str, Any], step: nn.Module | None = None, **options: Any) -> Any:
    """One run of 24 steps, its held-out rows shared out; what came of it is left in the folder."""
    stream = changes.get("stream", False)
    settings = Training(**BASE | {name: value for name, value in changes.items() if name != "stream"})
    world, x, step = join(settings), bits(), step or Quiet()
    own = world.share(x)

    def held_out() -> dict[str, float]:
        _, logs = step(own)
        bounds = world.gather((len(own), -float(logs["distortion"])))
        return {"bound": sum(n * b for n, b in bounds) / sum(n for n, _ in bounds)}

    result = train(step, Bits() if stream else x, settings, held_out=held_out, folder=folder, **options)
    if world.first:
        torch.save([p.detach() for p in step.parameters()], folder / "weights.pt")
    return result


def equal_runs(folder: Path, cases: dict[str, dict[str, Any]], devices: int = 2) -> None:
    """Every case once."""
    for name, changes in cases.items():
        run(folder / name, changes | {"devices": devices})


def noise_and_files(folder: Path) -> None:
    """What each process drew, wrote and was told."""
    world = join(Training(devices=2))
    folder = folder / str(world.rank)  # its own, so that all that is in it was written by this process
    observer = Silent()
    drawn: list[float] = []

    class Noisy(ToyVAE):
        def forward(self, x: Tensor) -> Any:
            if self.training:
                drawn.append(float(torch.rand(())))
            return super().forward(x)

    train(Noisy(seed=world.rank), bits(), Training(**BASE, devices=2), folder=folder, observer=observer)
    files = sorted(p.name for p in folder.rglob("*") if p.is_file()) if folder.exists() else []
    found = world.gather((drawn, files))
    if world.first:
        torch.save(found, folder.parent / "found.pt")


def stopped_and_resumed(folder: Path) -> None:
    """A noisy run in one go and in two halves, to the bit; then a half that one process will finish."""
    for strategy in ("ddp", "fsdp"):
        changes = {"devices": 2, "strategy": strategy, "ema": 0.9}
        for name, stops in (("whole", [None]), ("halves", [13, None]), ("half", [13])):
            for stop in stops:
                again = name == "halves" and stop is None
                run(folder / strategy / name, changes, ToyVAE(), stop_after=stop, resume=again)


class Steered(Quiet):
    """What it remembers of the batches of this process decides what it does with the next."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        loss, logs = super().forward(x)
        if self.training:
            self.seen.lerp_(x.to(self.seen.dtype).mean(), 0.5)
        return loss * (1 + self.seen), logs


def steered(folder: Path) -> None:
    """A run that is saved often, or once, or stopped and resumed, with fewer evaluations than epochs."""
    changes = {"devices": 2, "evaluations": 1}
    run(folder / "often", changes, Steered())
    run(folder / "once", changes | {"checkpoint_seconds": 1e6}, Steered())
    run(folder / "halves", changes, Steered(), stop_after=13)
    run(folder / "halves", changes, Steered(), resume=True)


def indivisible(folder: Path) -> None:
    """A batch that two processes cannot share."""
    run(folder, {"batch_size": 7, "devices": 2})


def unequal(folder: Path) -> None:
    """Each process has loaded its own part of the data."""
    train(Quiet(), bits(70 - 10 * join(Training(devices=2)).rank), Training(**BASE, devices=2), folder=folder)


def short_of_memory(folder: Path) -> None:
    """`elbox fit` where one process, the second or the first, finds less memory than the other when it loads."""
    import numpy as np

    from elbox.cli.fit import fit
    from elbox.data import memory

    world, file = join(Training(devices=2)), folder / "x.npy"
    if world.first:
        folder.mkdir()
        np.save(file, np.random.default_rng(0).integers(0, 17, (600, 4, 4)).astype(np.uint8))
    world.any(False)
    for short in (0, 1):
        memory.available_memory = lambda short=short: 1 if world.rank == short else 1 << 40
        settings = ["hidden=8", "latent=2", "levels=17"]
        options = {"epochs": 1, "compile": False, "precision": "32", "devices": "2", "quiet": True}
        fit(str(file), settings=settings, out=folder / str(short), **options)


def nan(folder: Path) -> None:
    """A loss that is not finite in one process only."""

    class Bad(Quiet):
        def forward(self, x: Tensor) -> Any:
            loss, logs = super().forward(x)
            return loss * (1.0 if join(Training()).first else float("nan")), logs

    run(folder, {"devices": 2}, Bad())


class After(Quiet):
    """Does something in the process of one rank, after a few steps."""

    def __init__(self, rank: int, do: Callable[[], None]) -> None:
        super().__init__()
        self.rank, self.do, self.calls = rank, do, 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        if self.calls == 12 and join(Training()).rank == self.rank:
            self.do()
        return super().forward(x)


def full_disk(folder: Path) -> None:
    """The first process cannot write any more after a while."""
    limits = (2000, resource.RLIM_INFINITY)
    run(folder, {"devices": 2}, After(0, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)))


def killed(folder: Path) -> None:
    """The second process is killed from outside, in effect."""
    run(folder, {"devices": 2}, After(1, lambda: os.kill(os.getpid(), signal.SIGKILL)))


def broken(folder: Path) -> None:
    """A defect that shows in one process only."""
    world = join(Training(devices=2))
    1 / (world.size - 1 - world.rank)
    world.any(False)


def evaluations(folder: Path, name: str = "shared") -> None:
    """Evaluation and codes of the test split, as one process or several find them."""
    import elbox
    from elbox.runs import _info

    data = elbox.load("digits")
    recipe = elbox.recipes.vae(data.spec, latent=2, hidden=(16,), seed=3)
    run = elbox.Run(recipe, _info(recipe, data, Training()), [], data=data)
    world = join(Training())
    codes = world.over_rows(lambda own: elbox.encode(recipe.model, own), data.test.x)
    found = {"evaluation": run.evaluate(samples=20, precision="32"), "codes": codes}
    found["in small chunks"] = run.evaluate(samples=20, precision="32", memory=1 << 16)
    streamed = elbox.load(folder / "x.npy", levels=17, stream=True)
    run = elbox.Run(recipe, _info(recipe, streamed, Training()), [], data=streamed)
    found["streamed"] = run.evaluate(split="train", samples=2, precision="32")
    if world.first:
        torch.save(found, folder / f"{name}.pt")


def several_things(folder: Path) -> None:
    """In one start of the processes."""
    stopped_and_resumed(folder)
    steered(folder / "steered")
    evaluations(folder)
    noise_and_files(folder)
