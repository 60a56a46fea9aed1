"""Kingma & Welling (2014), figure 2: the bound against training samples for latent dimensions 3, 5, 10, 20, 200."""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn import Tanh

import elbox
from reproduce.common import FIGURES, record, table


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40, help="passes of 50 000 samples")
    parser.add_argument("--latent", type=int, nargs="+", default=[3, 5, 10, 20, 200])
    parser.add_argument(
        "--optimizer", choices=("adagrad", "adam"), default="adagrad", help="adam: with cosine schedule"
    )
    parser.add_argument("--init", choices=("paper", "glorot"), default="paper")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    start, rows, curves = time.perf_counter(), [], {}
    data = elbox.load("mnist", binarise="dynamic")
    for latent in options.latent:
        made = elbox.recipes.vae(
            data.spec, latent=latent, hidden=(500,), activation=Tanh, warmup=0.0, seed=options.seed
        )
        if options.init == "paper":
            small_weights(made.model, options.seed)
        training = elbox.Training(
            epochs=options.epochs,
            batch_size=100,
            lr=0.02 if options.optimizer == "adagrad" else 1e-3,
            optimizer=options.optimizer,
            schedule="constant" if options.optimizer == "adagrad" else "cosine",
            seed=options.seed,
            evaluations=options.epochs,
        )
        run = elbox.fit(made, data, training)
        result = elbox.evaluate(run.model, data.examples("test"), samples=1)
        curves[latent] = {
            split: [(row["step"] * 100, row["elbo"]) for row in run.metrics if row["split"] == split]
            for split in ("train", "held_out")
        }
        last = curves[latent]["train"][-1][1]
        rows.append(
            [str(latent), f"{last:.2f}", f"{result.elbo.mean:.2f} ± {result.elbo.se:.2f}", str(result.active_units)]
        )
        print(rows[-1], flush=True)
    name = " ".join(["latent_sizes", *arguments])
    picture = _draw(curves, f"latent_sizes_{options.optimizer}_{options.init}_{len(curves)}")
    head = ["latent dimensions", "bound, training (last epoch)", "bound, 10 000 test images", "active units"]
    how = "Adagrad (0.02)" if options.optimizer == "adagrad" else "Adam (0.001, cosine schedule)"
    text = (
        f"Dynamic MNIST, 500 hidden tanh units, {how}, batch 100, L = 1, {options.epochs * 50_000:,} training "
        f"samples, {options.init} initial weights, seed {options.seed}. "
        "What must hold: the bound improves up to 20 and is not worse at 200.\n\n"
        + table(head, rows)
        + f"\n\n![bound against training samples]({picture})"
    )
    record(name, "Kingma & Welling (2014), figure 2", text, start)


def small_weights(model: torch.nn.Module, seed: int) -> None:
    """Weights from N(0, 0.01) as in §5 of the paper, read as standard deviation 0.01: a decoder deaf to noise."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.normal_(0, 0.01, generator=generator)


def _draw(curves: dict, name: str) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * len(curves), 2.6), layout="constrained")
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axis, (latent, splits) in zip(axes, curves.items(), strict=True):
        axis.semilogx(*zip(*splits["train"], strict=True), "--", color="tab:red", label="AEVB (train)")
        axis.semilogx(*zip(*splits["held_out"], strict=True), color="tab:red", label="AEVB (held out)")
        axis.set_title(f"MNIST, $N_z$ = {latent}", fontsize=10)
        axis.set_ylim(-150, -90)
        axis.set_xlabel("training samples evaluated", fontsize=8)
    axes[0].set_ylabel("ELBO, nats")
    axes[0].legend(fontsize=7, frameon=False)
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png", dpi=110)
    return f"figures/{name}.png"
