"""Ghosh et al. (2020), table 1, on MNIST: how well deterministic and variational autoencoders reconstruct and sample.

Their measure, the FID, needs weights of an Inception network. Here images are compared by their squared error and by
the Fréchet distance between normal distributions fitted to the features of a digit classifier, which is trained below
on the labels of the training images: a number of this script, comparable between its rows alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import elbox
from elbox.evaluate import MeanSE, decode, encode
from elbox.likelihoods import FixedGaussian
from elbox.priors import FittedMixture
from elbox.recipes import RECIPES
from reproduce.common import record, table

NAMES = ("vae", "wae_mmd", "wae_gan", "rae_gp", "rae_l2", "ae")
PUBLISHED = {"vae": "17.66", "wae_mmd": "9.39", "rae_gp": "11.54", "rae_l2": "8.69", "ae": "10.66"}
LATENT, FEATURES, COMPONENTS = 16, 64, 10


class Classifier(nn.Module):
    """A small convolutional classifier of digits; its features are what the last layer sees."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(1, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)])
        self.hidden, self.last = nn.Linear(32 * 7 * 7, FEATURES), nn.Linear(FEATURES, 10)

    def features(self, x: Tensor) -> Tensor:
        """Of levels 0 … 255 [N, 1, 28, 28]: [N, FEATURES]."""
        h = x.float() / 255
        for conv in self.convs:
            h = F.relu(conv(h))
        return F.relu(self.hidden(h.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x))


def classifier(data: elbox.Data, epochs: int, seed: int, rows: int) -> tuple[Classifier, float]:
    """A classifier trained on the training labels, and its accuracy on the test split."""
    torch.manual_seed(seed)
    net, x, y = Classifier(), data.train.x[:rows], data.train.y[:rows]
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            F.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        right = torch.cat([net(part).argmax(1) for part in data.test.x.split(1000)]) == data.test.y
    return net, float(right.float().mean())


@torch.no_grad()
def statistics(net: Classifier, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the features."""
    found = torch.cat([net.features(part) for part in images.split(1000)]).double().numpy()
    return found.mean(0), np.cov(found, rowvar=False)


def frechet(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """‖μ_a − μ_b‖² + tr(C_a + C_b − 2 (C_a C_b)^½), the squared Wasserstein distance of two normal distributions.

    Reference: Dowson & Landau (1982), *The Fréchet distance between multivariate normal distributions*, eq. 4.
    """
    values, vectors = np.linalg.eigh(a[1])
    root = vectors * np.sqrt(np.maximum(values, 0))  # C_a = root rootᵀ; C_a C_b has the eigenvalues of rootᵀ C_b root
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ b[1] @ root), 0)).sum()
    return float(np.square(a[0] - b[0]).sum() + np.trace(a[1] + b[1]) - 2 * cross)


def trained(name: str, data: elbox.Data, options: argparse.Namespace) -> elbox.Run:
    """The recipe with ‖x − x̂‖² of pixels in [0, 1] as its distortion: a normal likelihood of variance ½."""
    spec = replace(data.spec, scale=255 / 2**0.5)
    same = {"latent": LATENT, "hidden": options.hidden, "activation": nn.ReLU, "likelihood": FixedGaussian}
    recipe = RECIPES[name](spec, **same, **({"warmup": 0.0} if name == "vae" else {}), seed=options.seed)
    training = elbox.Training(
        epochs=options.epochs,
        batch_size=100,
        lr=1e-3,
        schedule="cosine",
        seed=options.seed,
        evaluations=min(10, options.epochs),
    )
    return elbox.fit(recipe, data, training)


def measured(
    run: elbox.Run, data: elbox.Data, options: argparse.Namespace, distance: Callable[[Tensor], float]
) -> list[str]:
    """One row: squared error, Fréchet distances of reconstructions, samples of prior and mixture, interpolations."""
    x = data.examples("test", options.test)
    z = encode(run.model, x)
    again = decode(run.model, z)
    error = MeanSE.of(((again - x) / 255).square().flatten(1).sum(1).double().numpy())
    torch.manual_seed(options.seed)
    rows, how = data.examples("train", 2 * options.test), elbox.Training(seed=options.seed)
    mixed = elbox.fit_prior(run.model, rows, FittedMixture(LATENT, COMPONENTS), how).model.eval()
    with torch.no_grad():
        codes = {
            "prior": run.model.prior().sample((len(x),)) if run.recipe.name in ("vae", "wae_mmd", "wae_gan") else None,
            "mixture": mixed.prior().sample((len(x),)),
            "between": 0.5 * (z + z[torch.randperm(len(z))]),
        }
    distances = {k: "" if v is None else f"{distance(decode(run.model, v)):.2f}" for k, v in codes.items()}
    return [
        run.recipe.name,
        str(error),
        f"{distance(again):.2f}",
        *distances.values(),
        PUBLISHED.get(run.recipe.name, ""),
    ]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--hidden", type=int, nargs="+", default=[500, 500])
    parser.add_argument("--models", nargs="+", default=[n for n in NAMES if n in RECIPES])
    parser.add_argument("--test", type=int, default=10_000, help="number of test images, and of samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one pass of narrow networks; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.quick:
        options.epochs, options.hidden, options.test = 1, [64], 1000
    start, data = time.perf_counter(), elbox.load("mnist")
    net, accuracy = classifier(
        data, 1 if options.quick else 5, options.seed, 5000 if options.quick else len(data.train)
    )
    wanted = statistics(net, data.examples("test", options.test))
    floor = frechet(wanted, statistics(net, data.examples("train", options.test)))
    rows = []
    for name in options.models:
        run = trained(name, data, options)
        rows.append(measured(run, data, options, lambda images: frechet(wanted, statistics(net, images))))
        print(rows[-1], flush=True)
    head = ["recipe", "‖x − x̂‖²", "reconstructions", "prior", "mixture", "interpolations", "their FID, mixture"]
    text = (
        f"MNIST, pixels in [0, 1], latent {LATENT}, MLPs {'-'.join(map(str, options.hidden))}, ReLU, where theirs are "
        f"convolutional, {options.epochs} epochs of Adam (cosine from 0.001), batch 100, seed {options.seed}. Squared "
        f"error of {options.test} test images ± s.e.; then classifier-based Fréchet distances to these images "
        f"({FEATURES} features of a classifier trained here, {accuracy:.2%} right; training images: {floor:.2f}): "
        f"of reconstructions, of samples of the prior and of a mixture of {COMPONENTS} normals fitted to the codes, "
        "and of middles between pairs of codes. What must hold: the deterministic ones and WAE reconstruct better than "
        "the VAE, and sample better with the mixture.\n\n" + table(head, rows)
    )
    if options.quick:
        print(text)
        return
    record(
        " ".join(["autoencoders", *arguments]), "Ghosh et al. (2020), table 1: regularised autoencoders", text, start
    )
