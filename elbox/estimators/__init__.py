"""Gradient estimators: they turn (model, x, objective) into a scalar whose value is the negative mean objective and
whose gradient is an unbiased estimate of its gradient, unless the estimator says that it is biased."""

from elbox.estimators.analytic_kl import AnalyticKL
from elbox.estimators.base import Estimate, Estimator
from elbox.estimators.covariance import Covariance
from elbox.estimators.enumerated import Enumerated
from elbox.estimators.monte_carlo_em import MonteCarloEM
from elbox.estimators.path import Path
from elbox.estimators.relax import REBAR, RELAX
from elbox.estimators.relaxed import Relaxed
from elbox.estimators.reparameterized import Reparameterized
from elbox.estimators.score import NVIL, VIMCO, Score
from elbox.estimators.straight_through import StraightThrough
from elbox.estimators.wake_sleep import ReweightedWakeSleep, WakeSleep
from elbox.estimators.weights import MAP, BayesianWeights

__all__ = [
    "AnalyticKL",
    "BayesianWeights",
    "Covariance",
    "Enumerated",
    "Estimate",
    "Estimator",
    "MAP",
    "MonteCarloEM",
    "NVIL",
    "Path",
    "REBAR",
    "RELAX",
    "Relaxed",
    "Reparameterized",
    "ReweightedWakeSleep",
    "Score",
    "StraightThrough",
    "VIMCO",
    "WakeSleep",
]
