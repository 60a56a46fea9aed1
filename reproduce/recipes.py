"""Every recipe with its own settings, trained for the same number of passes: what each reaches, and at what cost."""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np

import elbox
from elbox.evaluate import MeanSE
from elbox.recipes import RECIPES
from reproduce.common import record, table

REAL = ("linear_vae", "sigma_vae")
COUNTS = {"count_vae": "worm_neurons_counts.npz", "topic_vae": "newsgroups_nvdm2000.npz"}
# Share of the passes: each of their steps is many.
SLOW = {"local_vi": 0.1, "mcem": 0.5, "ms_ssim_vae": 0.5, "maf_vae": 0.1, "ffjord_vae": 0.1}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--test", type=int, default=2000, help="number of test images")
    parser.add_argument("--samples", type=int, default=500, help="posterior samples of each log p(x)")
    parser.add_argument("--only", nargs="+", choices=sorted(RECIPES), default=sorted(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one pass over scikit-learn's digits; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.quick:
        options.passes, options.test, options.samples = 1, 100, 10
    start, rows = time.perf_counter(), []
    for name in options.only:
        try:
            rows.append(row(name, options))
        except elbox.DataError as error:  # a file that is not there
            rows.append([f"`{name}`", str(error)])
        print(rows[-1], flush=True)
    head = ["recipe", "data", "passes", "distortion", "rate", "−ELBO", "−log p(x)", "active units", "s"]
    text = (
        "MNIST, dynamically binarised (`linear_vae` and `sigma_vae`: grey levels as real numbers; `count_vae`: 4186 "
        "neurons, 13 488 genes; `topic_vae`: 20 newsgroups, 2000 words); each recipe as it comes, batch 128, Adam with "
        f"a cosine from 0.003, {options.passes} passes, seed {options.seed}; the first {options.test} test examples, "
        f"log p(x) with {options.samples} samples. What has no rate is an autoencoder and has no density. Recipes that "
        "do not aim at log p(x), of a penalty, a game or a perceptual loss, are not worse for a larger −ELBO. Seconds "
        "are of training on one thread of a machine that had other work.\n\n" + table(head, rows)
    )
    if options.quick:
        print(text)
        return
    record(" ".join(["recipes", *arguments]), "Every recipe as it comes", text, start)


def row(name: str, options: argparse.Namespace) -> list[str]:
    """The recipe with its own settings, trained and measured."""
    label, data = dataset(name, options)
    settings = {"library": True} if name == "count_vae" else {}  # as scVI, whose sizes it has
    recipe = RECIPES[name](data.spec, seed=options.seed, **settings)
    passes = max(1, math.ceil(options.passes * SLOW.get(name, 1.0)))
    begin = time.perf_counter()
    run = elbox.fit(recipe, data, elbox.Training(epochs=passes, batch_size=128, lr=0.003, seed=options.seed))
    seconds = time.perf_counter() - begin
    e = elbox.evaluate(run.model, data.examples("test", options.test), samples=options.samples)
    minus = (value and MeanSE(-value.mean, value.se) for value in (e.elbo, e.log_likelihood))
    shown = ("–" if value is None else str(value) for value in (e.distortion, e.rate, *minus))
    units = "–" if e.active_units is None else f"{e.active_units} of {len(e.variance_of_means)}"
    return [f"`{name}`", label, str(passes), *shown, units, f"{seconds:.0f}"]


def dataset(name: str, options: argparse.Namespace) -> tuple[str, elbox.Data]:
    """What the recipe is made for, and what to call it."""
    source = "digits" if options.quick else "mnist"
    if name in REAL:
        return f"{source}, real", elbox.load(source, kind="real")
    if name in COUNTS:
        return (
            ("digits", elbox.load(source, kind="count"))
            if options.quick
            else (COUNTS[name].split("_")[0], counts(COUNTS[name]))
        )
    return f"{source}, binary", elbox.load(source, binarise="dynamic")


def counts(file: str) -> elbox.Data:
    """A sparse matrix of counts as rows."""
    from scipy.sparse import csr_matrix

    path = Path(os.environ.get("ELBOX_DATA", ".")) / file
    if not path.is_file():
        raise elbox.DataError(f"got no {file}; expected it in the folder that ELBOX_DATA names")
    with np.load(path, allow_pickle=False) as z:
        prefix, shape = ("train_", (11268, 2000)) if "train_data" in z.files else ("", tuple(z["shape"]))
        parts = (z[f"{prefix}{key}"] for key in ("data", "indices", "indptr"))
        data, indices, indptr = (part.astype(np.int64) for part in parts)
    return elbox.from_array(
        csr_matrix((data, indices, indptr), shape).toarray().astype(np.int16), kind="count", name=path.stem
    )
