"""Every family at small and large parameters, with scipy's distribution and nodes of quadrature for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import (
    Beta,
    Cauchy,
    Chi2,
    Distribution,
    Exponential,
    FisherSnedecor,
    Gamma,
    Gumbel,
    HalfNormal,
    Laplace,
    LogNormal,
    Normal,
    Pareto,
    StudentT,
)

from elbox.distributions import Logistic, Rayleigh, Triangular, Uniform, VonMises, Weibull

Values = dict[str, float]

SCIPY: dict[type[Distribution], Callable[..., Any]] = {
    Normal: lambda loc, scale: stats.norm(loc, scale),
    Laplace: lambda loc, scale: stats.laplace(loc, scale),
    Logistic: lambda loc, scale: stats.logistic(loc, scale),
    Cauchy: lambda loc, scale: stats.cauchy(loc, scale),
    Gumbel: lambda loc, scale: stats.gumbel_r(loc, scale),
    StudentT: lambda loc, scale, df: stats.t(df, loc, scale),
    Uniform: lambda loc, scale: stats.uniform(loc - scale, 2 * scale),
    Triangular: lambda loc, scale: stats.triang(0.5, loc - scale, 2 * scale),
    Exponential: lambda rate: stats.expon(scale=1 / rate),
    Gamma: lambda concentration, rate: stats.gamma(concentration, scale=1 / rate),
    Chi2: lambda df: stats.chi2(df),
    FisherSnedecor: lambda df1, df2: stats.f(df1, df2),
    HalfNormal: lambda scale: stats.halfnorm(scale=scale),
    LogNormal: lambda loc, scale: stats.lognorm(scale, scale=math.exp(loc)),
    Pareto: lambda scale, alpha: stats.pareto(alpha, scale=scale),
    Rayleigh: lambda scale: stats.rayleigh(scale=scale),
    Weibull: lambda scale, concentration: stats.weibull_min(concentration, scale=scale),
    Beta: lambda concentration1, concentration0: stats.beta(concentration1, concentration0),
    VonMises: lambda loc, concentration: stats.vonmises(concentration, loc=loc),
}
ON_THE_LINE = (Normal, Laplace, Logistic, Cauchy, Gumbel)
POINTS: dict[type[Distribution], list[Values]] = {
    **{f: [{"loc": 0.3, "scale": 0.7}, {"loc": -3.0, "scale": 0.01}, {"loc": 2.0, "scale": 50.0}] for f in ON_THE_LINE},
    StudentT: [{"loc": 0.3, "scale": 0.7, "df": d} for d in (0.5, 1.0, 2.2, 5.0, 400.0)],
    Uniform: [{"loc": 0.3, "scale": 0.7}, {"loc": -3.0, "scale": 0.01}],
    Triangular: [{"loc": 0.3, "scale": 0.7}, {"loc": -3.0, "scale": 0.01}],
    Exponential: [{"rate": 0.02}, {"rate": 1.3}, {"rate": 80.0}],
    Gamma: [{"concentration": c, "rate": r} for c, r in ((0.1, 1.0), (0.5, 3.0), (1.0, 1.0), (3.0, 0.2), (900.0, 5.0))],
    Chi2: [{"df": d} for d in (0.3, 1.0, 4.0, 500.0)],
    FisherSnedecor: [{"df1": a, "df2": b} for a, b in ((0.7, 5.0), (3.0, 4.2), (40.0, 300.0))],
    HalfNormal: [{"scale": 0.01}, {"scale": 1.3}, {"scale": 50.0}],
    LogNormal: [{"loc": 0.3, "scale": 0.7}, {"loc": -3.0, "scale": 0.01}, {"loc": 1.0, "scale": 3.0}],
    Pareto: [{"scale": 0.7, "alpha": a} for a in (0.6, 2.1, 30.0)],
    Rayleigh: [{"scale": 0.01}, {"scale": 1.3}, {"scale": 50.0}],
    Weibull: [{"scale": 0.7, "concentration": c} for c in (0.3, 1.0, 2.5, 300.0)],
    Beta: [
        {"concentration1": a, "concentration0": b}
        for a, b in ((0.5, 0.5), (0.3, 2.0), (1.0, 1.0), (3.0, 1.5), (300.0, 900.0))
    ],
    VonMises: [
        {"loc": m, "concentration": k}
        for m, k in ((0.5, 0.0), (0.5, 1e-3), (3.0, 0.7), (-1.0, 5.0), (3.1, 60.0), (2.0, 2e4), (0.0, 1e5))
    ],
}
CASES = [(family, i) for family, points in POINTS.items() for i in range(len(points))]
IDS = [f"{family.__name__} {i}" for family, i in CASES]


def leaves(values: Values) -> dict[str, Tensor]:
    return {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in values.items()}


def nodes(family: type[Distribution], at: dict[str, Tensor], n: int = 20_001) -> tuple[Tensor, Tensor]:
    """Points z over the support and the volume around each; where the support moves, they move with it."""
    if family in (Uniform, Triangular):
        t, weight = _gauss(200)
        return at["loc"] + at["scale"] * t, at["scale"] * weight
    if family is Pareto:
        t = torch.linspace(-36, math.log(40), n, dtype=torch.float64)
        z = at["scale"] * torch.exp(t.exp() / at["alpha"])
        return z, z * t.exp() / at["alpha"] * (t[1] - t[0])
    with torch.no_grad():
        return _fixed(family, {k: float(v) for k, v in at.items()}, n)


def _fixed(family: type[Distribution], values: Values, n: int) -> tuple[Tensor, Tensor]:
    if family is VonMises:  # about the peak: periodic, so that the trapezoid rule is exact
        half = min(math.pi, 60 / math.sqrt(max(values["concentration"], 1e-9)))
        t = torch.arange(n, dtype=torch.float64) / n * 2 * half - half
        return values["loc"] + t, torch.full_like(t, 2 * half / n)
    d = SCIPY[family](**values)
    if family is Beta:
        other = SCIPY[Beta](values["concentration0"], values["concentration1"])
        t = torch.linspace(_logit(d.ppf(1e-16)), -_logit(other.ppf(1e-16)), n, dtype=torch.float64).clamp(max=36)
        z = torch.sigmoid(t)
        return z, z * torch.sigmoid(-t) * torch.cat([t.diff(), torch.zeros(1)])
    rest = {StudentT: 1e-120, Cauchy: 1e-120, FisherSnedecor: 1e-16}.get(family, 1e-300)  # the mass beyond
    if d.ppf(rest) >= 0:
        t = torch.linspace(math.log(max(d.ppf(1e-60), 1e-300)), math.log(d.isf(rest)), n, dtype=torch.float64)
        return t.exp(), t.exp() * (t[1] - t[0])
    middle, width = d.median(), d.ppf(0.75) - d.ppf(0.25)
    ends = (math.asinh((float(z) - middle) / width) for z in (d.ppf(rest), d.isf(rest)))
    t = torch.linspace(*ends, n, dtype=torch.float64)
    return middle + width * t.sinh(), width * t.cosh() * (t[1] - t[0])


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)


def _gauss(n: int) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre nodes on [−1, 0] and [0, 1]."""
    x, weight = (torch.as_tensor(a) / 2 for a in np.polynomial.legendre.leggauss(n))
    return torch.cat([x - 0.5, x + 0.5]), torch.cat([weight, weight])
