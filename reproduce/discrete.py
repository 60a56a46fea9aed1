r"""Discrete codes: estimators on the 200H–784V sigmoid belief network of Tucker et al. (2017).

Two things are published, and both are measured. The training bound (Grathwohl et al., 2018, table 1, after two million
steps), here after equally many passes; and the variance of the gradient for the encoder's weights (Tucker et al., 2017,
§5), here at the weights with which REBAR's run ends, for all estimators.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

import elbox
from elbox.estimators import NVIL, REBAR, RELAX, VIMCO, Estimator, Relaxed, Score, StraightThrough
from elbox.nn import MLP
from elbox.schedules import Linear
from elbox.train.step import Step
from reproduce.common import record, table

# Grathwohl et al. (2018), table 1, MNIST, one layer: best training objective of the linear and of the nonlinear model
PUBLISHED = {
    "Relaxed": (-111.3, -102.2),
    "NVIL": (-112.5, -101.5),
    "REBAR": (-111.6, -81.01),
    "RELAX": (-111.20, -78.13),
}


def scalar(spec: elbox.DataSpec) -> MLP:
    """The baseline of both papers' code: 100 tanh units, on centred images."""
    return MLP(spec.event_shape, [100], 1, torch.nn.Tanh, offset=spec.offset, scale=spec.scale)


ESTIMATORS: dict[str, Callable[[elbox.DataSpec], Estimator]] = {
    "Relaxed": lambda spec: Relaxed(0.5),
    "Relaxed, 1 → 0.5": lambda spec: Relaxed(Linear(1.0, 0.5, over=1.0)),
    "StraightThrough": lambda spec: StraightThrough(),
    "ST-Gumbel": lambda spec: StraightThrough(0.5),
    "NVIL": lambda spec: NVIL(scalar(spec)),
    "NVIL, normalised": lambda spec: NVIL(scalar(spec), normalize=True),
    "REBAR": lambda spec: REBAR(scalar(spec)),
    "RELAX": lambda spec: RELAX(MLP(200, [200], 1, torch.nn.Tanh, spec.dims), scalar(spec)),
    "Score, K = 2": lambda spec: Score(),
    "Score, L_5": lambda spec: Score(),
    "VIMCO, L_5": lambda spec: VIMCO(),
}
OBJECTIVES = {"Score, K = 2": elbox.ELBO(samples=2), "Score, L_5": elbox.IWAE(5), "VIMCO, L_5": elbox.IWAE(5)}


def recipe(name: str, spec: elbox.DataSpec, hidden: tuple[int, ...], seed: int) -> elbox.Recipe:
    """The same network and weights for every estimator."""
    base = elbox.recipes.rebar(spec, hidden=hidden, seed=seed)
    torch.manual_seed(seed)
    return replace(base, objective=OBJECTIVES.get(name, elbox.ELBO()), estimator=ESTIMATORS[name](spec))


def log_variance(made: elbox.Recipe, x: torch.Tensor, draws: int) -> float:
    """log of the mean variance of one derivative for the encoder's weights, over draws on one batch."""
    step = Step(made.model, made.objective, made.estimator).eval()
    parameters = list(made.model.posterior.parameters())
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    step.progress.fill_(1.0)
    for _ in range(draws):
        for p, mean, square in zip(torch.autograd.grad(step(x)[0], parameters), first, second, strict=True):
            mean += p / draws
            square += p.square() / draws
    total = sum(float((square - mean.square()).sum()) for mean, square in zip(first, second, strict=True))
    return torch.tensor(total * draws / (draws - 1) / sum(p.numel() for p in parameters)).log().item()


def mean_and_error(values: list[float]) -> str:
    t = torch.tensor(values, dtype=torch.float64)
    return f"{t.mean():.2f}" + (f" ± {t.std() / len(values) ** 0.5:.2f}" if len(values) > 1 else "")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nonlinear", action="store_true", help="two tanh layers of 200 on each side")
    parser.add_argument("--draws", type=int, default=200, help="gradients for each variance")
    parser.add_argument("--test", type=int, default=2000, help="number of test images")
    parser.add_argument("--only", nargs="+", help="names of estimators")
    parser.add_argument("--quick", action="store_true", help="one pass over scikit-learn's digits")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    data = elbox.load("digits", binarise="threshold") if options.quick else elbox.load("mnist", binarise="static")
    passes, seeds = (1, 1) if options.quick else (options.passes, options.seeds)
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(seeds):
        for name, row in one_seed(data, passes, seed, options).items():
            found.setdefault(name, []).append(row)
    published = {} if options.quick else {name: pair[options.nonlinear] for name, pair in PUBLISHED.items()}
    rows = [[*row_of(name, values), str(published.get(name, ""))] for name, values in found.items()]
    head = ["estimator", "training ELBO, last pass", "−ELBO, test", "log variance of the gradient", "ms a step"]
    found_table = table([*head, "published"], rows)
    if options.quick:
        print(found_table)
        return
    text = (
        "Statically binarised MNIST, 200 bits with a learned prior, "
        f"{'200 + 200 tanh units on each side' if options.nonlinear else 'linear encoder and decoder'}, Adam 1e-3 for "
        f"everything, batch 24, {passes} passes, {seeds} seeds. Published: best training bound after two million steps "
        "(Grathwohl et al., 2018, table 1). The variance is that of the gradient of one batch of 24 for the encoder's "
        "weights, mean over weights, at the same weights (REBAR's) for all estimators, with baselines and control "
        "variates as their own runs left them; normalised NVIL's gradient is shorter, and L_5 is another objective "
        "than the ELBO and has another gradient."
        f"\n\n{found_table}"
    )
    record(" ".join(["discrete", *arguments]), "Discrete codes: estimators on the 200H–784V network", text, start)


def one_seed(data: elbox.Data, passes: int, seed: int, options: argparse.Namespace) -> dict[str, tuple[float, ...]]:
    """Last training ELBO, test ELBO, log variance and milliseconds a step, for each estimator."""
    names = [name for name in ESTIMATORS if options.only is None or name in (*options.only, "REBAR")]
    training = elbox.Training(epochs=passes, batch_size=24, lr=1e-3, seed=seed, evaluations=1)
    trained, found = {}, {}
    for name in names:
        begin = time.perf_counter()
        made = recipe(name, data.spec, (200, 200) if options.nonlinear else (), seed)
        run = trained[name] = elbox.fit(made, data, training)
        milliseconds = 1000 * (time.perf_counter() - begin) / training.steps(len(data.train.x))
        last = [row["elbo"] for row in run.metrics if row.get("split") == "train"][-1]
        test = elbox.evaluate(run.model, data.examples("test", options.test), samples=1).elbo.mean
        found[name] = (last, -test, milliseconds)
        print(seed, name, found[name], flush=True)
    x, weights = data.examples("train", 24).float(), trained["REBAR"].model.state_dict()
    for name, run in trained.items():
        run.model.load_state_dict(weights)
        found[name] = (*found[name][:2], log_variance(run.recipe, x, options.draws), found[name][2])
    return found


def row_of(name: str, values: list[tuple[float, ...]]) -> list[str]:
    train, test, variance, milliseconds = (list(column) for column in zip(*values, strict=True))
    return [name, *map(mean_and_error, (train, test, variance)), f"{sum(milliseconds) / len(values):.1f}"]
