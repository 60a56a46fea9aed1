"""Kingma & Welling (2014), figure 4b: the 2-D manifold of MNIST over the prior's quantiles."""

from __future__ import annotations

import argparse
import time

from torch.nn import Tanh

import elbox
from elbox.evaluate import manifold
from elbox.report import grid_png
from reproduce.common import FIGURES, record


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    data = elbox.load("mnist", binarise="dynamic")
    made = elbox.recipes.vae(data.spec, latent=2, hidden=(500,), activation=Tanh, warmup=0.0)
    run = elbox.fit(made, data, elbox.Training(epochs=options.epochs, batch_size=100, lr=1e-3, schedule="cosine"))
    result = elbox.evaluate(run.model, data.examples("test"), samples=100)
    FIGURES.mkdir(exist_ok=True)
    images = manifold(run.model, 20).flatten(0, 1)
    (FIGURES / "manifold.png").write_bytes(grid_png(images, columns=20))
    text = (
        f"Dynamic MNIST, 784-500-2, tanh, Adam with cosine schedule, batch 100, {options.epochs} epochs, seed 0. "
        f"Test ELBO {result.elbo.mean:.2f} ± {result.elbo.se:.2f}.\n\n![manifold](figures/manifold.png)"
    )
    record(" ".join(["manifold", *arguments]), "Kingma & Welling (2014), figure 4: the manifold of MNIST", text, start)
