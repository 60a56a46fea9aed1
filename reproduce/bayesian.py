"""Full variational Bayes (Kingma & Welling, 2014, appendix F) against MAP and maximum likelihood, on few digits."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

import elbox
from elbox.evaluate import MeanSE, held_out
from elbox.posteriors import LocalNormal
from elbox.train import train
from elbox.train.step import Step
from reproduce.common import record, table

RECIPES = {"maximum likelihood": "vae", "MAP": "map_vae", "full variational Bayes": "bayesian_vae"}
PLAIN = {"activation": nn.ReLU, "warmup": 0.0}  # of maximum likelihood, as the other two have it
NUMBERS = ("elbo", "local", "log_likelihood")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--test", type=int, default=1000, help="number of test images")
    parser.add_argument("--latent", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=200)
    parser.add_argument("--scale", type=float, default=1.0, help="of the prior of the weights, N(0, scale²)")
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that it works; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.quick:
        options.examples, options.steps, options.seeds, options.test, options.hidden = [100], 200, 1, 50, 20
    start, rows = time.perf_counter(), []
    data = elbox.load("mnist", binarise="static")
    for examples in options.examples:
        found = {name: measured(data, name, examples, options) for name in RECIPES}
        for name, (values, last) in found.items():
            gain = MeanSE.of(values["elbo"] - found["MAP"][0]["elbo"])
            rows.append([str(examples), name, *(str(MeanSE.of(values[n])) for n in NUMBERS), f"{last:.2f}", str(gain)])
            print(rows[-1], flush=True)
    head = ["examples", "weights", "ELBO", "ELBO, local q", "log p(x)", "ELBO, end of training", "ELBO over MAP"]
    text = (
        f"The first N training images of statically binarised MNIST; 784-{options.hidden}-{options.latent}, ReLU, "
        f"Adam, batch 100, {options.steps:,} steps, prior of the decoder's weights N(0, {options.scale:g}²), "
        f"{options.seeds} seeds; held-out: the first {options.test} test images, means over seeds, ± over images. "
        "Weights are those with the best bound on 1000 validation images; the end of training shows what that choice "
        "saved. *Local q*: optimised for each test image, in the place of the encoder, which has learned from N images "
        "too. log p(x): 200 samples, which for full variational Bayes are samples of the weights too. What must hold: "
        "full variational Bayes above "
        "MAP at every size.\n\n" + table(head, rows)
    )
    if options.quick:
        print(text)
        return
    record(" ".join(["bayesian", *arguments]), "Full variational Bayes over weights, on few digits", text, start)


def measured(data: elbox.Data, name: str, examples: int, options: Any) -> tuple[dict[str, np.ndarray], float]:
    """Values of each test image, means over seeds, and the validation ELBO at the end of training."""
    found = [trained(data, name, examples, seed, options) for seed in range(options.seeds)]
    values = {n: np.mean([each[0][n] for each in found], 0) for n in NUMBERS}
    return values, float(np.mean([last for _, last in found]))


def trained(data: elbox.Data, name: str, examples: int, seed: int, options: Any) -> tuple[dict[str, np.ndarray], float]:
    spec, more = (
        replace(data.spec, examples=examples),
        PLAIN if name == "maximum likelihood" else {"scale": options.scale},
    )
    made = elbox.recipes.RECIPES[RECIPES[name]](spec, options.latent, (options.hidden,), seed=seed, **more)
    step = Step(made.model, made.objective, made.estimator, data.prepare)
    batch = min(100, examples)
    settings = elbox.Training(epochs=options.steps // (examples // batch), batch_size=batch, seed=seed)
    valid, test = data.examples("valid", 1000), data.examples("test", options.test)
    result = train(
        step, data.train.x[:examples], settings, held_out=lambda: held_out(made.model, valid, made.objective)
    )
    own = elbox.evaluate(made.model, test, samples=200).per_example
    local = elbox.evaluate(without_encoder(made.model, options), test, samples=50).per_example
    last = [row["elbo"] for row in result.history if row["split"] == "held_out"][-1]
    return {"elbo": own["elbo"], "local": local["elbo"], "log_likelihood": own["log_likelihood"]}, last


def without_encoder(model: elbox.VAE, options: Any) -> elbox.VAE:
    """The same model with a posterior that is optimised for each example."""
    steps = 10 if options.quick else 60
    posterior = LocalNormal(model.prior, model.likelihood, options.latent, steps=steps, samples=4)
    return elbox.VAE(model.prior, model.likelihood, posterior)
