"""The open class: whichever recipe, optimiser, schedule and length reaches a test NLL soonest, on this machine.

The mark is Burda et al.'s converged VAE (2015, table 1): 86.76 nats, dynamic MNIST, 5000 samples, all test images. A
try is one run of fixed length; its seconds are those of training, compilation included, and its NLL is measured at the
end, with its standard error over images. Every try is kept, also those that lost; made again, it replaces itself.
"""

from __future__ import annotations

__all__ = ["measure"]

import time
from typing import Any

import elbox
from elbox import recipes
from elbox.cli.settings import split
from elbox.train import train
from elbox.train.step import Step


def measure(
    recipe: str,
    assignments: list[str],
    training: dict[str, Any],
    *,
    data: str = "mnist",
    samples: int = 5000,
    images: int | None = None,
) -> dict[str, Any]:
    """One try.

    Arguments:
        recipe: Name of a recipe.
        assignments: `name=value`, as those of `elbox fit --set`.
        training: Further settings of `elbox.Training`.
        data: Name of a data set; grey levels are binarised anew at each use.
        samples: Samples of the NLL.
        images: Test images of the NLL, the first so many; None takes all.

    Returns:
        seconds; nll and se in nats; passes; what was run, and how it ran.
    """
    make = getattr(recipes, recipe)
    of_recipe, of_training, _ = split(assignments, make)
    settings = elbox.Training(**training, **of_training)
    loaded = elbox.load(data, binarise="dynamic")
    made = make(loaded.spec, seed=settings.seed, **of_recipe)
    step = Step(made.model, made.objective, made.estimator, loaded.prepare)
    began = time.perf_counter()
    result = train(step, loaded.train.x, settings)
    seconds = time.perf_counter() - began
    made.model.eval()
    nll = -elbox.log_likelihood(made.model, loaded.examples("test", images), samples=samples)
    return {
        "seconds": round(seconds, 1),
        "nll": round(float(nll.mean()), 3),
        "se": round(float(nll.std()) / len(nll) ** 0.5, 3),
        "images": len(nll),
        "samples": samples,
        "passes": settings.passes(len(loaded.train)),
        "reasons": list(result.choice.reasons),
        "data": data,
    }
