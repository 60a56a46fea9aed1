"""`python -m benchmarks`: time a training step of elbox against a plain PyTorch loop, in interleaved rounds.

All contenders train the same 784-400-20 VAE on the same binarised bytes with Adam, batch 128. The plain loop is the one
of PyTorch's own VAE example: a DataLoader, binary cross-entropy summed, KL in closed form, `.item()` in every step.
Rounds are interleaved (A B C A B C …), so that a machine whose speed drifts slows all of them; quote the ratios, not
the times.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import elbox
from elbox.train import train
from elbox.train.step import Step

BATCH = 128


class Example(nn.Module):
    """The model of PyTorch's VAE example."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


def plain(x: torch.Tensor, epochs: int) -> tuple[float, float]:
    """Seconds and last epoch's mean loss of the plain loop."""
    torch.manual_seed(0)
    model = Example()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(x.float()), batch_size=BATCH, shuffle=True, drop_last=True)
    start, total, count = time.perf_counter(), 0.0, 0
    for epoch in range(epochs):
        for (batch,) in loader:
            optimizer.zero_grad()
            y, mu, logvar = model(batch)
            loss = F.binary_cross_entropy(y, batch.view(-1, 784), reduction="sum")
            loss = loss - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            loss.backward()
            if epoch == epochs - 1:
                total, count = total + loss.item(), count + len(batch)
            else:
                loss.item()
            optimizer.step()
    return time.perf_counter() - start, total / count


def ours(**settings: object) -> Callable[[torch.Tensor, int], tuple[float, float]]:
    """A contender: elbox with these settings; compilation is timed apart, by the session's own clock."""

    def run(x: torch.Tensor, epochs: int) -> tuple[float, float]:
        recipe = elbox.recipes.vae(elbox.DataSpec((1, 28, 28), "binary"))
        step = Step(recipe.model, recipe.objective, recipe.estimator)
        result = train(step, x, elbox.Training(epochs=epochs, batch_size=BATCH, **settings))  # type: ignore[arg-type]
        return result.seconds, -result.history[-1]["elbo"]

    return run


CONTENDERS = {
    "plain loop (PyTorch example)": plain,
    "elbox, fp32, eager": ours(precision="32", compile=False),
    "elbox, fp32, compiled": ours(precision="32", compile=True),
    "elbox, bf16 products, eager": ours(precision="bf16", compile=False),
    "elbox, bf16 products, compiled": ours(precision="bf16", compile=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="steps of each round")
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(options.steps * BATCH // 2, 1, 28, 28, generator=generator) < 0.13).to(torch.uint8)
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    losses: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, run in CONTENDERS.items():
            seconds, losses[name] = run(x, 2)
            times[name].append(1000 * seconds / options.steps)
    report(times, losses, options)


def report(times: dict[str, list[float]], losses: dict[str, float], options: argparse.Namespace) -> None:
    """Print the table and keep it in RESULTS.md."""
    base = times["plain loop (PyTorch example)"]
    lines = ["| contender | ms a step, median (range) | faster than the plain loop, median of rounds | loss, nats |"]
    lines.append("|---|---|---|---|")
    for name, values in times.items():
        ratio = statistics.median(b / v for b, v in zip(base, values, strict=True))
        middle = f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
        lines.append(f"| {name} | {middle} | {ratio:.2f} × | {losses[name]:.2f} |")
    machine = (
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}"
    )
    text = (
        "# Speed\n\n"
        f"`make bench`: {options.rounds} interleaved rounds of {options.steps} steps, 784-400-20 VAE, batch {BATCH}, "
        f"random binary images, Adam.\n{machine}; a shared machine: read the ratios. Compilation (5–25 s) is not "
        "counted.\n\n" + "\n".join(lines) + "\n"
    )
    Path(__file__).with_name("RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
