"""Gradient estimators: they turn (model, x, objective) into a scalar whose value is the negative mean objective and
whose gradient is an unbiased estimate of its gradient, or says what else (`Estimator.unbiased`)."""

from elbox.estimators.analytic_kl import AnalyticKL
from elbox.estimators.base import Estimate, Estimator
from elbox.estimators.monte_carlo_em import MonteCarloEM
from elbox.estimators.path import Path
from elbox.estimators.reparameterized import Reparameterized
from elbox.estimators.score import Score
from elbox.estimators.wake_sleep import ReweightedWakeSleep, WakeSleep
from elbox.estimators.weights import MAP, BayesianWeights

__all__ = [
    "MAP",
    "AnalyticKL",
    "BayesianWeights",
    "Estimate",
    "Estimator",
    "MonteCarloEM",
    "Path",
    "Reparameterized",
    "ReweightedWakeSleep",
    "Score",
    "WakeSleep",
]
