"""Measuring a model: bounds in nats with standard errors, diagnostics, and its latent space."""

from elbox.evaluate.bounds import evaluate, held_out, log_likelihood
from elbox.evaluate.clusters import assignments, clustered
from elbox.evaluate.latent import decode, encode, interpolate, manifold, most_active, traverse
from elbox.evaluate.marginal import Marginal, marginal_likelihood
from elbox.evaluate.result import Evaluation, MeanSE

__all__ = [
    "Evaluation",
    "Marginal",
    "MeanSE",
    "assignments",
    "clustered",
    "decode",
    "encode",
    "evaluate",
    "held_out",
    "interpolate",
    "log_likelihood",
    "manifold",
    "marginal_likelihood",
    "most_active",
    "traverse",
]
