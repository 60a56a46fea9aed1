"""Quantised codes on Fashion-MNIST, in two stages: bits/dim with the prior counted, and how many codes are used.

First VQ-VAE and FSQ are trained with a uniform prior (van den Oord et al., 2017, §3.3; Mentzer et al., 2023), then an
autoregressive network is fitted to the codes of the training images by maximum likelihood. The bound is
log p(x|z) + log p(z) at the one code z of an image: an actual code of that length exists, and it is no estimate.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

import elbox
from elbox.nn import CausalTransformer, PixelCNN
from elbox.priors import CodePrior
from elbox.recipes import RECIPES
from reproduce.common import record, table

SETTINGS = {"vq_vae": {"codes": 512}, "fsq_vae": {"levels": (8, 5, 5, 5)}}
NETWORKS: dict[str, Callable[..., torch.nn.Module]] = {
    "PixelCNN": lambda size, map, width: PixelCNN(map, size, hidden=width),
    "transformer": lambda size, map, width: CausalTransformer(map[0] * map[1], size, width=width),
}


def row(name: str, prior: str, found: elbox.Evaluation, minutes: float) -> list[str]:
    assert found.bits_per_dim is not None
    return [
        name,
        prior,
        str(found.distortion),
        str(found.rate),
        str(found.bits_per_dim),
        f"{found.code_usage[0]:.1%}",
        f"{found.code_perplexity[0]:.0f} of {found.alphabet}",
        f"{minutes:.1f}",
    ]


def measured(name: str, data: elbox.Data, options: argparse.Namespace) -> list[list[str]]:
    """The rows of one model: with its uniform prior, then with each network."""
    likelihood = getattr(elbox.likelihoods, options.likelihood)
    chosen = {**SETTINGS[name], "hidden": options.channels, "likelihood": likelihood}
    recipe = RECIPES[name](data.spec, **chosen, seed=options.seed)
    training = elbox.Training(
        epochs=options.epochs, batch_size=options.batch, lr=options.lr, schedule="cosine", seed=options.seed
    )
    start, test = time.perf_counter(), data.examples("test", options.test)
    run = elbox.fit(recipe, data, training)
    rows = [row(name, "uniform", elbox.evaluate(run.model, test), (time.perf_counter() - start) / 60)]
    print(rows[-1], flush=True)
    codebook, map = run.model.posterior.codebook, run.model.posterior.net.map
    for network in options.networks:
        start = time.perf_counter()
        torch.manual_seed(options.seed)
        prior = CodePrior(codebook, map[0] * map[1], NETWORKS[network](codebook.size, map, options.width))
        fitted = elbox.fit_prior(run.model, data, prior, replace(training, epochs=options.prior_epochs))
        rows.append(row(name, network, elbox.evaluate(fitted.model, test), (time.perf_counter() - start) / 60))
        print(rows[-1], flush=True)
    return rows


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--networks", nargs="+", default=["PixelCNN"], choices=list(NETWORKS))
    parser.add_argument("--likelihood", default="DiscretizedLogistic", choices=["DiscretizedLogistic", "Categorical"])
    parser.add_argument("--epochs", type=int, default=30, help="passes of the first stage")
    parser.add_argument("--prior-epochs", type=int, default=20, help="passes of the second stage")
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--width", type=int, default=64, help="feature maps of the second stage")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--test", type=int, default=10_000, help="number of test images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few steps of narrow networks; nothing is recorded")
    options = parser.parse_args(arguments)
    options.rows = None
    data = elbox.load("fashion_mnist")
    if options.quick:
        options.test, options.epochs, options.prior_epochs = 500, 1, 1
        options.channels, options.width = [8, 8], 8
        data = elbox.from_array(data.examples("train", 2500).numpy().astype("uint8"))
    start = time.perf_counter()
    rows = [line for name in options.models for line in measured(name, data, options)]
    head = ["recipe", "prior", "distortion", "rate", "bits/dim", "codes used", "perplexity", "min"]
    text = (
        f"Fashion-MNIST, 256 levels, {options.likelihood}; maps of 7×7 codes, feature maps {options.channels}, "
        f"{options.epochs} epochs of Adam (cosine from {options.lr}), batch {options.batch}; networks of the second "
        f"stage {options.width} wide, {options.prior_epochs} epochs; seed {options.seed}. {options.test} test images; "
        "bits/dim count prior and likelihood. What must hold: at least 80 % of the codes are used, and the networks "
        "lower the rate well below that of the uniform prior, 49 log K.\n\n" + table(head, rows)
    )
    if options.quick:
        print(text)
        return
    record(" ".join(["codes", *arguments]), "Quantised codes with an autoregressive second stage", text, start)
