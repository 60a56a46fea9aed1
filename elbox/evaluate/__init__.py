"""Measuring a model: bounds in nats with standard errors, diagnostics, and its latent space."""

from elbox.evaluate.annealed import Annealed, Bracket, annealed, bracket
from elbox.evaluate.bounds import evaluate, held_out, log_likelihood
from elbox.evaluate.clusters import assignments, clustered
from elbox.evaluate.gaps import Gaps, gaps
from elbox.evaluate.latent import decode, encode, interpolate, manifold, most_active, traverse
from elbox.evaluate.marginal import Marginal, marginal_likelihood
from elbox.evaluate.psis import pareto_smoothed
from elbox.evaluate.result import Evaluation, MeanSE

__all__ = [
    "Annealed",
    "Bracket",
    "Evaluation",
    "Gaps",
    "Marginal",
    "MeanSE",
    "annealed",
    "assignments",
    "bracket",
    "clustered",
    "decode",
    "encode",
    "evaluate",
    "gaps",
    "held_out",
    "interpolate",
    "log_likelihood",
    "manifold",
    "marginal_likelihood",
    "most_active",
    "pareto_smoothed",
    "traverse",
]
