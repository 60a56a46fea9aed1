"""What recipes that judge reconstructions need to know of the data's values."""

from __future__ import annotations

__all__ = ["plain_mean", "span"]

from elbox.likelihoods import Bernoulli, FixedGaussian
from elbox.likelihoods.base import Likelihood, one_spread
from elbox.recipes.base import default_likelihood
from elbox.spec import DataSpec


def span(data: DataSpec) -> float:
    """The largest value less the smallest: 1 for binary data, L − 1 for levels; else the typical spread.

    Example:
        >>> span(DataSpec((5,), "levels", levels=256)), span(DataSpec((2,), "real", scale=(3.0, 4.0)))
        (255.0, 3.5355339059327378)
    """
    if data.kind in ("binary", "levels"):
        return float(max(1, data.levels - 1))
    return one_spread(data.scale)


def plain_mean(data: DataSpec, chosen: type[Likelihood] | None) -> type[Likelihood]:
    """The likelihood of a model whose means are judged: one whose mean is the network's output and little more.

    Example:
        >>> plain_mean(DataSpec((5,), "levels", levels=256), None).__name__
        'FixedGaussian'
    """
    return default_likelihood(data, chosen or (Bernoulli if data.kind == "binary" else FixedGaussian))
