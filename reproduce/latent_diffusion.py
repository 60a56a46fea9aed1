"""Second stages on MNIST and Fashion-MNIST: what a prior that is fitted to the codes does for bound and samples.

A first stage is trained with its rate at full weight and at a tenth (`latent_diffusion`'s default); its prior is then
replaced by a mixture of normals, a VAE (Dai & Wipf, 2019) and a diffusion model (Rombach et al., 2022), likelihood and
posterior as they are. Samples are compared by the Fréchet distance of `reproduce autoencoders`, in the features of a
classifier trained here: a number of this script.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from torch import Tensor, nn

import elbox
from elbox import VAE
from elbox.evaluate import decode
from elbox.priors import StandardNormal
from elbox.recipes.second_stages import diffusion_prior, mixture_prior, vae_prior
from elbox.report import grid_png
from reproduce.autoencoders import classifier, frechet, statistics
from reproduce.common import FIGURES, record, table

BETAS, SHOWN = (1.0, 0.1), 20


def priors(latent: int, hidden: list[int]) -> dict[str, nn.Module | None]:
    """The second stages by name; None keeps N(0, I)."""
    return {
        "N(0, I)": None,
        "mixture, 10 components": mixture_prior(latent),
        "VAE": vae_prior(latent, hidden),
        "diffusion": diffusion_prior(latent, hidden),
    }


def first_stage(beta: float, data: elbox.Data, options: argparse.Namespace, training: elbox.Training) -> VAE:
    made = elbox.recipes.vae(data.spec, latent=options.latent, hidden=options.hidden, seed=options.seed)
    return elbox.fit(replace(made, objective=elbox.ELBO(beta=beta)), data, training).model


@torch.no_grad()
def samples(model: VAE, n: int, seed: int) -> Tensor:
    """Means of p(x|z), z ~ p(z), as levels 0 … 255."""
    torch.manual_seed(seed)
    assert model.prior is not None
    return 255 * decode(model, model.prior().sample((n,)))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="mnist", help="mnist or fashion_mnist")
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--hidden", type=int, nargs="+", default=[500, 500])
    parser.add_argument("--second", type=int, nargs="+", default=[256, 256, 256])
    parser.add_argument("--epochs", type=int, default=100, help="of the first stage, and of the second")
    parser.add_argument("--test", type=int, default=10_000, help="number of test images, and of samples")
    parser.add_argument("--bound", type=int, default=2000, help="number of test images for the bound")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one pass of narrow networks; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.quick:
        options.epochs, options.hidden, options.second, options.test, options.bound = 1, [64], [32], 1000, 50
    start = time.perf_counter()
    grey, data = elbox.load(options.data), elbox.load(options.data, binarise="dynamic")
    rows = 5000 if options.quick else len(grey.train)
    net, accuracy = classifier(grey, 1 if options.quick else 5, options.seed, rows)
    wanted = statistics(net, grey.examples("test", options.test))
    floor = frechet(wanted, statistics(net, grey.examples("train", options.test)))
    x = data.examples("test", options.bound)
    training = elbox.Training(
        epochs=options.epochs, batch_size=100, lr=1e-3, seed=options.seed, evaluations=min(10, options.epochs)
    )
    found, images = [], [grey.examples("test", SHOWN) / 255]
    for beta in BETAS:
        first = first_stage(beta, data, options, training)
        assert type(first.prior) is StandardNormal
        for name, prior in priors(options.latent, options.second).items():
            model = first if prior is None else elbox.fit_prior(first, data, prior, training).model.eval()
            measured = elbox.evaluate(model, x, samples=10)
            drawn = samples(model, options.test, options.seed)
            images.append(drawn[:SHOWN] / 255)
            distance = frechet(wanted, statistics(net, drawn))
            found.append([f"{beta:g}", name, str(measured.elbo), str(measured.rate), f"{distance:.2f}"])
            print(found[-1], flush=True)
    head = ["β of the first stage", "p(z)", "test ELBO", "rate", "Fréchet distance"]
    file = f"latent_diffusion_{options.data}.png"
    text = (
        f"{options.data}, dynamic binarisation, latent {options.latent}, MLPs {'-'.join(map(str, options.hidden))}, "
        f"second stages of {'-'.join(map(str, options.second))}, {options.epochs} epochs of Adam each (cosine from "
        f"0.001), batch 100, seed {options.seed}. ELBO at full weight, nats, of {len(x)} test images, 10 samples; with "
        "the VAE as prior it is a lower bound on the ELBO. Distances of sampled means, as grey levels, to "
        f"{options.test} test images ({accuracy:.2%} right; training images: {floor:.2f}). What must hold: each second "
        "stage raises the bound, most where β is small; samples come closer.\n\n"
        + table(head, found)
        + f"\n\n![samples](figures/{file})\n\nTest images, then samples in the order of the table."
    )
    if options.quick:
        print(text)
        return
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / file).write_bytes(grid_png(torch.cat(images), columns=SHOWN))
    title = f"Second stages: latent diffusion, two-stage VAE and a mixture ({options.data})"
    record(" ".join(["latent_diffusion", *arguments]), title, text, start)
