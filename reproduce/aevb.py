"""Kingma & Welling (2014), figures 2 and 3: AEVB against wake–sleep and Monte-Carlo EM, on MNIST and Frey faces."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import Tanh

import elbox
from elbox.estimators import MAP, AnalyticKL, Estimator, MonteCarloEM, WakeSleep
from elbox.evaluate import held_out, marginal_likelihood
from elbox.likelihoods import PredictedGaussian
from elbox.train import train
from elbox.train.step import Step
from reproduce.common import FIGURES, record, table
from reproduce.latent_sizes import small_weights

METHODS: dict[str, type[Estimator]] = {"AEVB": AnalyticKL, "wake–sleep": WakeSleep, "MCEM": MonteCarloEM}
COLOURS = {"AEVB": "tab:red", "wake–sleep": "tab:green", "MCEM": "tab:blue"}
RATES = (0.01, 0.02, 0.1)  # the paper's candidates for Adagrad's step, of which the first steps choose
SIZES = {"mnist": (3, 5, 10, 20, 200), "frey_faces": (2, 5, 10, 20)}
HIDDEN = {"mnist": 500, "frey_faces": 200}
Row = dict[str, float]


@dataclass(frozen=True)
class Job:
    """One curve: what is trained on what, for how long, and what is measured on the way."""

    method: str
    data: elbox.Data
    latent: int
    hidden: int
    examples: int
    samples: int
    seed: int
    evaluations: int = 40
    marginal: int = 0

    def recipe(self) -> elbox.Recipe:
        """The paper's network and criterion: small initial weights, MAP with p(θ) = N(0, I)."""
        likelihood = PredictedGaussian if self.data.spec.kind == "real" else None
        made = elbox.recipes.vae(
            self.data.spec, self.latent, (self.hidden,), Tanh, likelihood=likelihood, warmup=0.0, seed=self.seed
        )
        small_weights(made.model, self.seed)
        return replace(made, estimator=MAP(METHODS[self.method](), self.examples))

    def run(self, rate: float, samples: int | None = None) -> list[Row]:
        """Metrics of training and of held-out evaluations, with the number of training samples seen."""
        made, x = self.recipe(), self.data.train.x[: self.examples]
        step = Step(made.model, made.objective, made.estimator, self.data.prepare)
        epochs = max(1, (samples or self.samples) // len(x))
        settings = elbox.Training(
            epochs=epochs, batch_size=100, lr=rate, optimizer="adagrad", seed=self.seed, evaluations=self.evaluations
        )
        seen, test = self.data.examples("train", self.marginal or 1), self.data.examples("test")

        def measure() -> Row:
            values = held_out(made.model, test, made.objective)
            if self.marginal:
                values |= marginals(made.model, {"train": seen, "test": test[: self.marginal]})
            return values

        rows = train(step, x, settings, held_out=None if samples else measure).history
        return [{**row, "seen": row["step"] * min(100, len(x))} for row in rows]


def marginals(model: elbox.VAE, splits: dict[str, Tensor]) -> Row:
    """The paper's estimate of log p(x): 50 samples, 4 leapfrog steps between them."""
    found = {name: marginal_likelihood(model, x) for name, x in splits.items()}
    rates = {f"acceptance/{name}": f.acceptance for name, f in found.items()}
    return {f"marginal/{name}": f.log_likelihood.mean for name, f in found.items()} | rates


def best_rate(job: Job, trial: int) -> float:
    """The rate with the highest training bound after so many samples."""
    found = {rate: job.run(rate, trial)[-1]["elbo"] for rate in RATES}
    return max(found, key=lambda rate: found[rate] if math.isfinite(found[rate]) else -math.inf)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--figure", choices=("2", "3"), default="2")
    parser.add_argument("--data", choices=tuple(SIZES), default="mnist", help="of figure 2")
    parser.add_argument(
        "--samples", type=float, default=2e6, help="training samples of each curve; the paper: 1e8, 6e7"
    )
    parser.add_argument("--latent", type=int, nargs="+", help="latent dimensions, instead of the paper's")
    parser.add_argument("--examples", type=int, nargs="+", default=[1000, 50_000], help="of figure 3")
    parser.add_argument("--marginal", type=int, default=500, help="images of each marginal likelihood; the paper: 1000")
    parser.add_argument("--trial", type=float, default=1e5, help="samples that choose the learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that it works; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.quick:
        options.samples, options.trial, options.marginal, options.examples = 4e3, 1e3, 20, [1000]
        options.latent = options.latent or [2]
    start, figure = time.perf_counter(), figure2 if options.figure == "2" else figure3
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            print(figure(options, Path(folder))[0])
        return
    text, title = figure(options, FIGURES)
    record(" ".join(["aevb", *arguments]), title, text, start)


def figure2(options: Any, folder: Path) -> tuple[str, str]:
    """The bound against the number of training samples, for each latent size."""
    name = options.data
    data = elbox.load(name, binarise="dynamic") if name == "mnist" else elbox.load(name, kind="real")
    offset = data.spec.dims * math.log(255) if name == "frey_faces" else 0.0  # a density of grey levels in [0, 1]
    curves: dict[tuple[str, str], list[Row]] = {}
    rows = []
    for latent in options.latent or SIZES[name]:
        for method in ("AEVB", "wake–sleep"):
            examples = 1000 if options.quick else len(data.train.x)
            job = Job(method, data, latent, HIDDEN[name], examples, int(options.samples), options.seed)
            rate = best_rate(job, int(options.trial))
            found = [row | {"elbo": row["elbo"] + offset} for row in job.run(rate)]
            curves[f"$N_z$ = {latent}", method] = found
            last = {row["split"]: row["elbo"] for row in found}
            best = max(row["elbo"] for row in found if row["split"] == "held_out")
            rows.append(
                [str(latent), method, f"{rate:g}", f"{last['train']:.2f}", f"{last['held_out']:.2f}", f"{best:.2f}"]
            )
            print(rows[-1], flush=True)
    picture = draw(curves, "elbo", folder / f"aevb_figure2_{name}.png", "ELBO, nats")
    head = ["latent", "method", "rate", "bound, training", "bound, test, at the end", "best"]
    ordered = all(better(curves, f"$N_z$ = {n}") for n in options.latent or SIZES[name])
    text = (
        f"{data.describe()}, {data.protocol}; {HIDDEN[name]} hidden tanh units, Adagrad (of the rates {RATES} the one "
        f"with the best training bound after {options.trial:,.0f} samples), batch 100, L = 1, MAP with p(θ) = N(0, I), "
        f"weights from N(0, 0.01²), {options.samples:,.0f} training samples, seed {options.seed}. What must hold: AEVB "
        f"above wake–sleep at every size: **{'it does' if ordered else 'it does not'}**.\n\n"
    )
    return text + table(head, rows) + f"\n\n![bound against training samples]({picture})", (
        f"Kingma & Welling (2014), figure 2: AEVB and wake–sleep on {name}"
    )


def better(curves: dict[tuple[str, str], list[Row]], panel: str) -> bool:
    """Whether AEVB ends above wake–sleep on held-out data."""
    ends = {
        m: [r["elbo"] for r in rows if r["split"] == "held_out"][-1] for (p, m), rows in curves.items() if p == panel
    }
    return ends["AEVB"] > ends["wake–sleep"]


def figure3(options: Any, folder: Path) -> tuple[str, str]:
    """The marginal likelihood against the number of training samples, for few and many training examples."""
    data = elbox.load("mnist", binarise="dynamic")
    curves: dict[tuple[str, str], list[Row]] = {}
    rows = []
    for examples in options.examples:
        for method in METHODS:
            job = Job(method, data, 3, 100, examples, int(options.samples), options.seed, 10, options.marginal)
            rate = best_rate(job, int(options.trial))
            found = job.run(rate)
            curves[f"$N_{{train}}$ = {examples}", method] = found
            last = [row for row in found if row["split"] == "held_out"][-1]
            accepted = [f"{row['acceptance']:.2f}" for row in found if "acceptance" in row][-1:]
            values = [f"{last[key]:.2f}" for key in ("marginal/train", "marginal/test", "elbo", "acceptance/test")]
            rows.append([str(examples), method, f"{rate:g}", *values, *(accepted or ["–"])])
            print(rows[-1], flush=True)
    picture = draw(curves, "marginal", folder / "aevb_figure3.png", "marginal log-likelihood, nats")
    head = ["examples", "method", "rate", "log p(x), train", "log p(x), test", "test ELBO", "acceptance there"]
    text = (
        "Dynamic MNIST, 3 latent dimensions, 100 tanh units, Adagrad (its rate chosen), batch 100, MAP with p(θ) "
        f"= N(0, I), {options.samples:,.0f} training samples, seed {options.seed}; log p(x) by Hamiltonian Monte "
        f"Carlo (appendix D) on the first {options.marginal} training and test images. Chains of MCEM start at an "
        "encoder that follows them, and each batch has one update of the weights (the paper: no encoder, five "
        "updates).\n\n"
    )
    return text + table([*head, "acceptance, training"], rows) + f"\n\n![marginal likelihood]({picture})", (
        "Kingma & Welling (2014), figure 3: AEVB, wake–sleep and Monte-Carlo EM"
    )


def draw(curves: dict[tuple[str, str], list[Row]], key: str, path: Path, label: str) -> str:
    """As in the paper: one panel for each size, training dashed and test solid."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(panel for panel, _ in curves))
    figure = Figure(figsize=(2.6 * len(panels), 2.8), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for (panel, method), rows in curves.items():
        axis, colour = axes[panels.index(panel)], COLOURS[method]
        for split, line in (("train", "--"), ("held_out", "-")):
            column = key if key == "elbo" else f"{key}/{'train' if split == 'train' else 'test'}"
            source = split if key == "elbo" else "held_out"
            points = [(row["seen"], row[column]) for row in rows if row["split"] == source]
            axis.plot(*zip(*points, strict=True), line, color=colour, label=f"{method} ({split.replace('_', ' ')})")
        axis.set_title(panel, fontsize=10)
        axis.set_xlabel("training samples evaluated", fontsize=8)
        axis.set_xscale("log" if key == "elbo" else "linear")
    shown = sorted(
        row[k] for rows in curves.values() for row in rows for k in row if k == key or k.startswith(f"{key}/")
    )
    axes[0].set_ylim(shown[len(shown) // 10], shown[-1] + 0.05 * (shown[-1] - shown[len(shown) // 10]) + 1)
    axes[0].set_ylabel(label)
    axes[0].legend(fontsize=6, frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    return f"figures/{path.name}"
