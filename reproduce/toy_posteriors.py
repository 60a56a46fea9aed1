"""Posteriors of two latent variables that no normal distribution fits: what each flow makes up for.

p(z) = N(0, I) and p(x|z) = N(g(z), 0.3² I); log p(x) is a sum over a fine grid. Only the posterior is trained, for all
of 16 examples together, so that its shape must follow x. Its gap is log p(x) − ELBO = KL(q(z|x) ‖ p(z|x)).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import elbox
from elbox.flows import (
    Affine,
    Autoregressive,
    Continuous,
    Coupling,
    Householder,
    Inverse,
    Linear,
    Neural,
    Planar,
    Radial,
    Shift,
    Spline,
    Sylvester,
)
from elbox.likelihoods import FixedGaussian
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal, Flow, FullNormal, LowRankNormal
from elbox.priors import StandardNormal
from reproduce.common import FIGURES, record, table

EXAMPLES, CONTEXT, SIGMA, REACH = 16, 32, 0.3, 6.0
ENOUGH = 0.9  # of the diagonal posterior's gap is to be closed


class Banana(nn.Module):
    """z ↦ (0.3 z₁, z₂ − z₁²): given the second, z lies along a parabola."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([0.3 * z[..., 0], z[..., 1] - z[..., 0].square()], -1)


class Ring(nn.Module):
    """z ↦ ‖z‖: given it, z lies on a circle."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.linalg.vector_norm(z, dim=-1, keepdim=True)


class TwoModes(nn.Module):
    """z ↦ (|z₁|, z₂): given it, z lies at two places."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([z[..., 0].abs(), 0.5 * z[..., 1]], -1)


TOYS: dict[str, tuple[type[nn.Module], Tensor]] = {  # with the range of x, [2, F]
    "banana": (Banana, torch.tensor([[-0.3, -1.5], [0.3, 0.0]])),
    "ring": (Ring, torch.tensor([[1.2], [2.0]])),
    "two modes": (TwoModes, torch.tensor([[0.9, -0.5], [1.3, 0.5]])),
}


def flow(*steps: nn.Module) -> Callable[[int], nn.Module]:
    """A posterior for x of so many features, its encoder with one hidden layer."""
    return lambda f: Flow(MLP(f, [64], Flow.output_shape(2, CONTEXT), nn.Tanh), 2, steps, CONTEXT)


def turns(count: int, step: Callable[..., nn.Module], *arguments: object) -> list[nn.Module]:
    """Steps in which the dimensions take turns."""
    return [step(2, CONTEXT, *arguments, flipped=bool(t % 2)) for t in range(count)]


def normal(cls: type, *rank: int) -> Callable[[int], nn.Module]:
    return lambda f: cls(MLP(f, [64], cls.output_shape(2, *rank), nn.Tanh), 2, *rank)


POSTERIORS: dict[str, Callable[[], Callable[[int], nn.Module]]] = {
    "diagonal normal": lambda: normal(DiagonalNormal),
    "low-rank normal": lambda: normal(LowRankNormal, 1),
    "full normal": lambda: normal(FullNormal),
    "planar, 16": lambda: flow(*[Planar(2, CONTEXT) for _ in range(16)]),
    "radial, 16": lambda: flow(*[Radial(2, CONTEXT) for _ in range(16)]),
    "Sylvester, 8": lambda: flow(*[Sylvester(2, CONTEXT, Householder(2)) for _ in range(8)]),
    "IAF, 8": lambda: flow(*turns(8, Autoregressive, None, (64,))),
    "MAF, 8": lambda: flow(*[Inverse(f) for f in turns(8, Autoregressive, Affine(), (64,))]),
    "NICE, 8": lambda: flow(*turns(8, Coupling, Shift(), (64,))),
    "RealNVP, 8": lambda: flow(*turns(8, Coupling, Affine(), (64,))),
    "Glow, 8": lambda: flow(*[f(2, CONTEXT) for _ in range(8) for f in (Linear, Coupling)]),
    "spline, 4": lambda: flow(*turns(4, Coupling, Spline(), (64,))),
    "NAF, 4": lambda: flow(*turns(4, Autoregressive, Neural(), (64,))),
    "continuous, 1": lambda: flow(Continuous(2, CONTEXT, (64, 64), nn.Tanh, 1e-4)),
}
LIMITS = {  # what a kind of posterior cannot do, however it is trained
    "diagonal normal": "no correlation, no curve",
    "low-rank normal": "no curve",
    "full normal": "no curve",
}


def examples(toy: str, seed: int) -> Tensor:
    """x, evenly over its range: [EXAMPLES, F]."""
    low, high = TOYS[toy][1]
    points = torch.quasirandom.SobolEngine(len(low), scramble=True, seed=seed).draw(EXAMPLES)
    return low + (high - low) * points


def grid(side: int) -> Tensor:
    axis = torch.linspace(-REACH, REACH, side)
    return torch.cartesian_prod(axis, axis)


def log_joint(toy: str, z: Tensor, x: Tensor) -> Tensor:
    """log p(x, z) of codes [N, 2] and examples [B, F]: [N, B]."""
    px = FixedGaussian(TOYS[toy][0](), SIGMA)(z[:, None])
    return px.log_prob(x) + StandardNormal(2)().log_prob(z)[:, None]


def evidence(toy: str, x: Tensor, side: int = 1201) -> Tensor:
    """log p(x) [B] by the rectangle rule."""
    found = torch.cat([torch.logsumexp(log_joint(toy, z, x).double(), 0)[None] for z in grid(side).split(100_000)])
    return torch.logsumexp(found, 0) + 2 * math.log(2 * REACH / (side - 1))


def trained(toy: str, posterior: nn.Module, x: Tensor, options: argparse.Namespace) -> elbox.VAE:
    """The posterior at the end of Adam, the weight of log p(x, z) rising from 0.1 to 1 over the first half.

    Reference: Rezende & Mohamed (2015), eq. 20 (that weight, an inverse temperature, so that modes are found).
    """
    model = elbox.VAE(StandardNormal(2), FixedGaussian(TOYS[toy][0](), SIGMA), posterior)
    optimizer = torch.optim.Adam(posterior.parameters(), options.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    for step in range(options.steps):
        weight = min(1.0, 0.1 + 1.8 * step / options.steps)
        terms = model.terms(x, options.samples)
        group = terms.groups["z"]
        loss = (group.log_qz - weight * (terms.log_px + group.log_pz)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(posterior.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def gap(model: elbox.VAE, x: Tensor, log_p: Tensor, draws: int = 20_000) -> tuple[float, float]:
    """Mean over examples of log p(x) − ELBO, and its standard error over draws."""
    log_w = torch.cat([model.terms(x, 1000).log_w for _ in range(draws // 1000)]).double()
    of_draws = (log_p - log_w).mean(1)
    return float(of_draws.mean()), float(of_draws.std() / draws**0.5)


@torch.no_grad()
def density(model: elbox.VAE, x: Tensor, side: int = 121) -> Tensor:
    """q(z|x) of one example [1, F] on the grid, as an image."""
    found = model.encode(x).log_prob(grid(side)[:, None]).exp()
    return found.reshape(side, side).T.flip(0)


def draw(pictures: dict[str, list[tuple[str, Tensor]]], path: Path) -> None:
    """One row for each toy: the true posterior of an example, and what was made of it."""
    from matplotlib.figure import Figure

    columns = max(map(len, pictures.values()))
    figure = Figure(figsize=(1.3 * columns, 1.55 * len(pictures)), layout="constrained")
    axes = figure.subplots(len(pictures), columns, squeeze=False)
    for row, (toy, images) in zip(axes, pictures.items(), strict=True):
        for axis, (label, image) in zip(row, images, strict=False):
            axis.imshow(image.sqrt(), cmap="Greys", vmin=0, vmax=float(images[0][1].max().sqrt()))
            axis.set_title(label, fontsize=6)
        row[0].set_ylabel(toy, fontsize=8)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=140)


def one_toy(toy: str, options: argparse.Namespace) -> tuple[list[list[str]], list[tuple[str, Tensor]]]:
    """Rows of the table, and pictures of one example."""
    x = examples(toy, options.seed)
    log_p, shown = evidence(toy, x), x[:1]
    true = (log_joint(toy, grid(121), shown) - log_p[:1]).exp().float().reshape(121, 121).T.flip(0)
    rows, pictures, baseline = [], [("p(z|x)", true)], math.nan
    for name in options.only:
        torch.manual_seed(options.seed)
        start = time.perf_counter()
        model = trained(toy, POSTERIORS[name]()(x.shape[1]), x, options)
        seconds = time.perf_counter() - start
        value, se = gap(model, x, log_p)
        baseline = value if name == "diagonal normal" else baseline
        closed = 1 - value / baseline
        verdict = "" if name == "diagonal normal" else "yes" if closed >= ENOUGH else LIMITS.get(name, "no")
        rows.append([toy, name, f"{value:.3f} ± {se:.3f}", f"{closed:.0%}", verdict, f"{seconds:.0f}"])
        print(rows[-1], flush=True)
        pictures.append((f"{name}: {value:.2f}", density(model, shown)))
    return rows, pictures


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=32, help="of each example in a step")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--toys", nargs="+", choices=list(TOYS), default=list(TOYS))
    parser.add_argument("--only", nargs="+", choices=list(POSTERIORS), default=list(POSTERIORS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few steps of each; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.quick:
        options.steps = 20
    start, rows, pictures = time.perf_counter(), [], {}
    for toy in options.toys:
        found, pictures[toy] = one_toy(toy, options)
        rows += found
    head = ["posterior p(z\\|x)", "q(z\\|x), steps", "gap, nats", "of the diagonal's gap closed", "≥ 90 %", "s"]
    text = (
        f"Two latent variables, {EXAMPLES} examples of each toy, the posterior alone trained, on all of them, for "
        f"{options.steps} steps of Adam (cosine from {options.lr}) with {options.samples} samples of each example, "
        f"seed {options.seed}; encoders of 64 tanh units, {CONTEXT} features of context. Gaps are means over the "
        "examples of log p(x), by quadrature, less the ELBO of 20 000 draws.\n\n" + table(head, rows)
    )
    if options.quick:
        print(text)
        return
    draw(pictures, FIGURES / "toy_posteriors.png")
    text += "\n\nOne example of each, p(z|x) at the left, with each posterior's gap over all examples.\n\n"
    text += "![true and approximate posteriors](figures/toy_posteriors.png)"
    record(" ".join(["toy_posteriors", *arguments]), "Toy posteriors: what each flow makes up for", text, start)
