"""Burda, Grosse & Salakhutdinov (2016), table 1, one stochastic layer, on dynamically binarised MNIST."""

from __future__ import annotations

import argparse
import time

import elbox
from reproduce.common import record, table

PUBLISHED = {1: "86.76 (19)", 5: "85.54 (22)", 50: "84.78 (25)"}


def recipe(spec: elbox.DataSpec, k: int, seed: int, estimator: str) -> elbox.Recipe:
    """His network; the published runs use the plain gradient, `path` the doubly reparameterised one."""
    from dataclasses import replace

    made = elbox.recipes.iwae(spec, latent=50, samples=k, seed=seed)
    made = replace(made, objective=elbox.ELBO()) if k == 1 else made
    return replace(made, estimator=elbox.Path() if estimator == "path" else elbox.Reparameterized())


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=40)
    parser.add_argument("--k", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--test", type=int, default=1000, help="number of test images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--estimator", choices=("plain", "path"), default="path")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args(arguments)
    start, rows = time.perf_counter(), []
    data = elbox.load("mnist", binarise="dynamic")
    # Burda trains on all 60 000; the last 10 000 stay out here, as the validation set that chooses the weights
    for k in options.k:
        training = elbox.Training(
            epochs=options.passes, batch_size=20, lr=1e-3, eps=1e-4, schedule="burda", seed=options.seed,
            precision=options.precision,
        )  # fmt: skip
        begin = time.perf_counter()
        out = f"runs/burda-k{k}-{options.passes}-s{options.seed}-{options.estimator}"
        run = elbox.fit(recipe(data.spec, k, options.seed, options.estimator), data, training, out=out)
        seconds = time.perf_counter() - begin
        result = elbox.evaluate(run.model, data.examples("test", options.test), samples=5000)
        ll, elbo = result.log_likelihood, result.elbo
        rows.append(
            [str(k), f"{-ll.mean:.2f} ± {ll.se:.2f}", f"{-elbo.mean:.2f} ± {elbo.se:.2f}", str(result.active_units),
             f"{seconds:.0f} s", PUBLISHED.get(k, "")]
        )  # fmt: skip
        print(rows[-1], flush=True)
    head = ["k", "NLL (5000 samples)", "−ELBO", "active units", "training", "published after 3280 passes (active)"]
    text = (
        f"Dynamic binarisation; training on the first 50 000 images (he: 60 000); 784-200-200-50 tanh, Adam ε 1e-4, "
        f"batch 20, {options.passes} passes of his schedule, {options.estimator} gradient, seed {options.seed}; "
        f"first {options.test} test images, drawn once.\n\n" + table(head, rows)
    )
    name = f"burda --passes {options.passes} --k {' '.join(map(str, options.k))} --test {options.test}"
    name += f" --seed {options.seed}" * (options.seed != 0) + f" --estimator {options.estimator}" * (
        options.estimator != "path"
    )
    record(name, f"Burda et al. (2016), one layer, {options.passes} passes", text, start)
