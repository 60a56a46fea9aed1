"""Davidson et al. (2018), table 1: spheres against normal latent spaces of 2, 5, 10 and 20 dimensions, on MNIST."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

from torch.nn import ReLU

import elbox
from reproduce.common import record, table

HIDDEN = (256, 128)
PUBLISHED = {2: ("135.73", "132.50"), 5: ("110.21", "108.43"), 10: ("", "93.16"), 20: ("88.90", "89.02")}  # normal, vMF
MODELS: dict[str, Callable[[elbox.DataSpec, int, int], elbox.Recipe]] = {
    "normal, R^d": lambda spec, d, seed: elbox.recipes.vae(
        spec, latent=d, hidden=HIDDEN, activation=ReLU, warmup=0.0, seed=seed
    ),
    "von Mises–Fisher, S^d": lambda spec, d, seed: elbox.recipes.vmf_vae(spec, latent=d + 1, seed=seed),
    "power spherical, S^d": lambda spec, d, seed: elbox.recipes.power_spherical_vae(spec, latent=d + 1, seed=seed),
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dimensions", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--samples", type=int, default=500, help="importance samples of log p(x), as in the paper")
    parser.add_argument("--test", type=int, default=10_000, help="number of test images")
    parser.add_argument("--quick", action="store_true", help="seconds, to try the command: nothing is recorded")
    options = parser.parse_args(arguments)
    if options.quick:
        options.dimensions, options.seeds, options.epochs, options.samples, options.test = [2], [0], 1, 10, 100
    start, rows = time.perf_counter(), []
    data = elbox.load("digits" if options.quick else "mnist", binarise="dynamic")
    for d in options.dimensions:
        for i, name in enumerate(MODELS):
            rows.append([*_row(data, name, d, options), PUBLISHED.get(d, ("", ""))[i] if i < 2 else ""])
            print(rows[-1], flush=True)
    head = ["d", "latent space", "NLL, mean over seeds", "of each seed", "rate", "distortion", "training", "published"]
    text = (
        f"Dynamic binarisation, 784-{HIDDEN[0]}-{HIDDEN[1]} ReLU, Adam (0.001, cosine schedule), batch 64, "
        f"{options.epochs} epochs of 50 000 images, no warm-up, closed-form KL, seeds {options.seeds}; NLL of "
        f"{options.test} test images, {options.samples} samples. The dimension is matched as in the paper's code: a "
        "normal code of d numbers against a point of S^d, which is d + 1 numbers and has d degrees of freedom (and one "
        "concentration where the normal has d variances). ± between seeds; of one seed, over test images. Published: "
        "the values for d = 2, 5 and 20 are quoted from memory of the paper.\n\n" + table(head, rows)
    )
    if options.quick:
        print(text)
        return
    record(" ".join(["hyperspherical", *arguments]), "Davidson et al. (2018), table 1: spheres", text, start)


def _row(data: elbox.Data, name: str, d: int, options: argparse.Namespace) -> list[str]:
    nll, rate, distortion, seconds = [], [], [], []
    for seed in options.seeds:
        made = MODELS[name](data.spec, d, seed)
        training = elbox.Training(epochs=options.epochs, batch_size=64, lr=1e-3, schedule="cosine", seed=seed)
        begin = time.perf_counter()
        run = elbox.fit(made, data, training)
        seconds.append(time.perf_counter() - begin)
        result = elbox.evaluate(run.model, data.examples("test", options.test), samples=options.samples, seed=0)
        nll.append((-result.log_likelihood.mean, result.log_likelihood.se))
        rate.append(result.rate.mean)
        distortion.append(result.distortion.mean)
    values = [mean for mean, _ in nll]
    se = f" ± {statistics.stdev(values) / math.sqrt(len(values)):.2f}" if len(values) > 1 else ""
    return [
        str(d), name, f"{statistics.mean(values):.2f}{se}", ", ".join(f"{m:.2f} ± {s:.2f}" for m, s in nll),
        f"{statistics.mean(rate):.2f}", f"{statistics.mean(distortion):.2f}", f"{statistics.mean(seconds):.0f} s",
    ]  # fmt: skip
