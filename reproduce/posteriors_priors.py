"""What a richer posterior or prior buys: one network, equal passes, and log p(x) on MNIST and OMNIGLOT.

Posteriors after van den Berg et al. (2018), Kingma et al. (2016) and Durkan et al. (2019), priors after Tomczak &
Welling (2018): layers of 300 and 300 units and 40 latent dimensions. A posterior is that of the recipe named here, with
the decoder of that recipe; recipes that are not there are left out, which is said. All pairs have one objective, the
ELBO with a warm-up, and one estimator, which fits them all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

import elbox
from elbox import ELBO, VAE, Recipe, Reparameterized, priors
from elbox.evaluate import MeanSE
from elbox.recipes import RECIPES
from elbox.recipes.base import settings_of
from elbox.schedules import Linear
from reproduce.common import record, table

POSTERIORS = {  # name → recipe whose posterior it is
    "diagonal": "vae",
    "full covariance": "vae_full_covariance",
    "planar": "planar_vae",
    "Sylvester": "sylvester_vae",
    "IAF": "iaf_vae",
    "spline": "spline_vae",
}
Prior = Callable[[nn.Module, elbox.DataSpec, argparse.Namespace], nn.Module]
PRIORS: dict[str, Prior] = {
    "standard": lambda q, spec, o: priors.StandardNormal(o.latent),
    "MoG": lambda q, spec, o: priors.NormalMixture(o.latent, o.components),
    "Vamp": lambda q, spec, o: priors.VampPrior(q, spec.event_shape, o.components, spec.offset, spec.scale),
    "flow": lambda q, spec, o: priors.Flow(o.latent),
}
DATA = {"mnist": "dynamic", "omniglot": "dynamic"}


def recipe(posterior: str, prior: str, spec: elbox.DataSpec, options: argparse.Namespace, seed: int) -> Recipe:
    """The posterior's recipe with another prior, objective and estimator."""
    make = RECIPES[POSTERIORS[posterior]]
    wanted = {"latent": options.latent, "hidden": tuple(options.hidden), "activation": nn.SiLU}
    base = make(spec, **{k: v for k, v in wanted.items() if k in settings_of(make)}, seed=seed).model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        of = PRIORS[prior](base.posterior, spec, options)
    model = VAE(of, base.likelihood, base.posterior, base.condition)
    return Recipe(model, ELBO(beta=Linear(over=0.1)), Reparameterized())


def pairs(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Each posterior with the standard prior, each prior with the diagonal posterior; with `--cross` every pair."""
    known = [p for p in options.posteriors if POSTERIORS[p] in RECIPES]
    if options.cross:
        return [(q, p) for q in known for p in options.priors]
    rows = [(q, "standard") for q in known if "standard" in options.priors]
    return rows + [("diagonal", p) for p in options.priors if p != "standard" and "diagonal" in known]


def measured(
    name: str, data: elbox.Data, pair: tuple[str, str], options: argparse.Namespace, seed: int
) -> tuple[elbox.Evaluation, float]:
    training = elbox.Training(
        epochs=options.passes, batch_size=100, lr=options.lr, schedule="cosine", seed=seed,
        evaluations=min(20, options.passes),
    )  # fmt: skip
    begin = time.perf_counter()
    run = elbox.fit(recipe(*pair, data.spec, options, seed), data, training)
    seconds = time.perf_counter() - begin
    return elbox.evaluate(run.model, data.examples("test", options.test), samples=options.samples), seconds


def row(name: str, pair: tuple[str, str], found: list[tuple[elbox.Evaluation, float]], first: float) -> list[str]:
    """Means over seeds; the error of the mean log-likelihood over test images, and the spread over seeds."""
    of = [result.log_likelihood.mean for result, _ in found if result.log_likelihood is not None]
    each = found[0][0].log_likelihood
    assert each is not None
    mean, spread = sum(of) / len(of), max(of) - min(of)
    elbo = sum(result.elbo.mean for result, _ in found if result.elbo is not None) / len(found)
    active = "/".join(str(result.active_units) for result, _ in found)
    seconds = sum(s for _, s in found) / len(found)
    value = str(MeanSE(mean, each.se))
    return [
        name, *pair, value, f"{mean - first:+.2f}", f"{spread:.2f}", f"{elbo:.2f}", f"{mean - elbo:.2f}", active,
        f"{seconds:.0f} s",
    ]  # fmt: skip


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", nargs="+", choices=tuple(DATA), default=list(DATA))
    parser.add_argument("--protocol", choices=("dynamic", "static"), default=None, help="default: dynamic")
    parser.add_argument("--posteriors", nargs="+", choices=tuple(POSTERIORS), default=list(POSTERIORS))
    parser.add_argument("--priors", nargs="+", choices=tuple(PRIORS), default=list(PRIORS))
    parser.add_argument("--cross", action="store_true", help="every posterior with every prior")
    parser.add_argument("--passes", type=int, default=100)
    parser.add_argument("--latent", type=int, default=40)
    parser.add_argument("--hidden", type=int, nargs="+", default=[300, 300])
    parser.add_argument("--components", type=int, default=500, help="of MoG and Vamp")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--test", type=int, default=2000, help="number of test images")
    parser.add_argument("--samples", type=int, default=1000, help="S of the log-likelihood")
    parser.add_argument("--quick", action="store_true", help="one pass of narrow networks; nothing is recorded")
    options = parser.parse_args(arguments)
    if options.quick:
        options.passes, options.hidden, options.latent, options.components = 1, [16], 4, 10
        options.test, options.samples, options.seeds, options.data = 50, 10, [0], options.data[:1]
    start, rows = time.perf_counter(), []
    for name in options.data:
        data = elbox.load(name, binarise=options.protocol or DATA[name])
        first = None
        for pair in pairs(options):
            found = [measured(name, data, pair, options, seed) for seed in options.seeds]
            of = [result.log_likelihood.mean for result, _ in found if result.log_likelihood is not None]
            first = sum(of) / len(of) if first is None else first
            rows.append(row(name, pair, found, first))
            print(rows[-1], flush=True)
    missing = [p for p in options.posteriors if POSTERIORS[p] not in RECIPES]
    head = [
        "data", "posterior", "prior", "log p(x)", "gain", "spread over seeds", "ELBO", "log p(x) − ELBO",
        "active units", "training",
    ]  # fmt: skip
    net = "-".join(map(str, [*options.hidden, options.latent]))
    text = (
        f"{options.protocol or 'dynamic'} binarisation; 784-{net}, SiLU, ELBO with the rate warmed up over a tenth of "
        f"{options.passes} passes, plain reparameterised gradient, Adam {options.lr} (cosine), batch 100, seeds "
        f"{', '.join(map(str, options.seeds))}, {options.components} components of MoG and Vamp; first {options.test} "
        f"test images, {options.samples} samples; ± is one standard error over images, the gain is against the first "
        "row of the same data (images are the same in all rows)."
        + (f" Not there: {', '.join(missing)}." if missing else "")
        + "\n\n"
        + table(head, rows)
    )
    if options.quick:
        print(text)
        return
    record(" ".join(["posteriors_priors", *arguments]), "Richer posteriors and priors", text, start)
