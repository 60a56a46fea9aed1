"""Chen et al. (2018) on dSprites: total correlation falls as its weight rises, at less cost in distortion than β-VAE's.

Models are trained for a grid of weights of both objectives and measured on held-out images, where q(z) is the posterior
aggregated over all of these (`elbox.evaluate`): no minibatch estimate enters the comparison.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

import elbox
from elbox.data.sprites import FACTORS, sprites
from reproduce.common import FIGURES, record, table

NAMES = {"beta_vae": "β-VAE", "beta_tcvae": "β-TCVAE"}
QUICK = {"images": 2000, "test": 500, "epochs": 4, "betas": [1.0, 4.0], "hidden": [64], "seeds": [0]}


@dataclass(frozen=True)
class Point:
    """Means over seeds, nats, with standard errors over seeds (NaN for one)."""

    recipe: str
    beta: float
    values: dict[str, tuple[float, float]]

    def mean(self, name: str) -> float:
        return self.values[name][0]

    def shown(self, name: str) -> str:
        mean, se = self.values[name]
        if name == "active":
            return f"{mean:g}"
        return f"{mean:.2f}" if np.isnan(se) else f"{mean:.2f} ± {se:.2f}"


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    start = time.perf_counter()
    data = images(options.images, options.test)
    points = list(sweep(data, options))
    text = (
        f"{options.images} random images of the 737 280, binary as they are; {options.test} others for testing; "
        f"{'-'.join(map(str, options.hidden))} ReLU units, {options.latent} latents, Bernoulli likelihood, Adam 1e-3, "
        f"batch {options.batch}, {options.epochs} epochs, seeds {' '.join(map(str, options.seeds))}; ± is one standard "
        f"error over seeds. Information cannot exceed log {options.test} = {np.log(options.test):.2f} nats. Outlines "
        "recovered from published images (see `elbox.data.sprites`). What must hold: total correlation (TC) falls as "
        "the weight β of β-TCVAE rises, and at matched distortion it is below β-VAE's.\n\n"
        + table(*rows(points)) + "\n\n" + verdict(points)
    )  # fmt: skip
    if options.quick:
        return print(text)
    text += f"\n\n![total correlation against distortion]({draw(points)})"
    name = " ".join(["disentanglement", *arguments])
    record(name, "Chen et al. (2018): total correlation on dSprites", text, start)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--test", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--latent", type=int, default=10)
    parser.add_argument("--hidden", type=int, nargs="+", default=[400, 400])
    parser.add_argument("--betas", type=float, nargs="+", default=[1.0, 2.0, 4.0, 6.0, 10.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="half a minute, nothing recorded: to see that it runs")
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(QUICK)
    return options


def images(train: int, test: int) -> elbox.Data:
    """Random images of dSprites without replacement, as many for validation as for testing."""
    folder = os.environ.get("ELBOX_DATA")
    if not folder:
        raise SystemExit("dsprites_shapes.npz is needed: name its folder in ELBOX_DATA")
    with np.load(Path(folder) / "dsprites_shapes.npz", allow_pickle=False) as z:
        outlines = {name: z[name] for name in z.files}
    count = train + 2 * test
    rows = np.random.default_rng(0).choice(np.prod(list(FACTORS.values())), count, replace=False)
    x = np.concatenate([sprites(part, outlines) for part in np.array_split(rows, 1 + count // 500)])
    return elbox.from_array(x, kind="binary", split=(train / count, test / count, test / count), name="dsprites")


def sweep(data: elbox.Data, options: argparse.Namespace) -> Iterator[Point]:
    known: dict[tuple[str, float], dict[str, tuple[float, float]]] = {}
    for name in NAMES:
        for beta in options.betas:
            objective = "beta_vae" if beta == 1 else name  # with β = 1 both are the ELBO
            if (objective, beta) not in known:
                found = [measure(objective, beta, seed, data, options) for seed in options.seeds]
                known[objective, beta] = {key: _mean([f[key] for f in found]) for key in found[0]}
            print(NAMES[name], beta, known[objective, beta], flush=True)
            yield Point(name, beta, known[objective, beta])


def measure(name: str, beta: float, seed: int, data: elbox.Data, options: argparse.Namespace) -> dict[str, float]:
    """One model, trained and measured on the test images."""
    make = getattr(elbox.recipes, name)
    recipe = make(data.spec, latent=options.latent, beta=beta, hidden=tuple(options.hidden), seed=seed)
    training = elbox.Training(epochs=options.epochs, batch_size=options.batch, lr=1e-3, seed=seed, evaluations=1)
    run = elbox.fit(recipe, data, training)
    e = run.evaluate(samples=10)
    measured = {"distortion": e.distortion, "rate": e.rate, "mi": e.mutual_information, "tc": e.total_correlation,
                "kl": e.dimension_kl}  # fmt: skip
    return {key: value.mean for key, value in measured.items()} | {"active": float(e.active_units)}


def rows(points: list[Point]) -> tuple[list[str], list[list[str]]]:
    """Head and body of the table."""
    head = ["objective", "β", "distortion", "rate", "mutual information", "TC", "dimension-wise KL", "active units",
            "TC of β-VAE at this distortion"]  # fmt: skip
    names = ("distortion", "rate", "mi", "tc", "kl", "active")
    body = []
    for p in points:
        other = matched(points, p)
        body.append([NAMES[p.recipe], f"{p.beta:g}", *map(p.shown, names), "" if other is None else f"{other:.2f}"])
    return head, body


def matched(points: list[Point], point: Point) -> float | None:
    """TC of β-VAE at the distortion of a β-TCVAE, on the line between its neighbours; None outside its range."""
    curve = sorted((p.mean("distortion"), p.mean("tc")) for p in points if p.recipe == "beta_vae")
    at, d = [c[0] for c in curve], point.mean("distortion")
    if point.recipe == "beta_vae" or point.beta == 1 or not at[0] <= d <= at[-1]:
        return None
    return float(np.interp(d, at, [c[1] for c in curve]))


def verdict(points: list[Point]) -> str:
    """Whether what must hold does."""
    ours = [p for p in points if p.recipe == "beta_tcvae"]
    falls = all(a.mean("tc") > b.mean("tc") for a, b in pairwise(ours))
    pairs = [(p.mean("tc"), matched(points, p)) for p in ours]
    pairs = [(tc, other) for tc, other in pairs if other is not None]
    better = sum(tc < other for tc, other in pairs)
    return (
        f"TC of β-TCVAE falls with every step of β: {'yes' if falls else 'no'}. At matched distortion it is below "
        f"β-VAE's for {better} of {len(pairs)} weights whose distortion is in the range of β-VAE's."
    )


def draw(points: list[Point]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    for recipe, label in NAMES.items():
        own = [p for p in points if p.recipe == recipe]
        x, y = [p.mean("distortion") for p in own], [p.mean("tc") for p in own]
        axis.plot(x, y, "o-", label=label)
        for p in own:
            axis.annotate(f"{p.beta:g}", (p.mean("distortion"), p.mean("tc")), fontsize=7)
    axis.set_xlabel("distortion, nats")
    axis.set_ylabel("total correlation of q(z), nats")
    axis.legend(frameon=False)
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / "disentanglement.png", dpi=110)
    return "figures/disentanglement.png"


def _mean(values: list[float]) -> tuple[float, float]:
    n = len(values)
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
