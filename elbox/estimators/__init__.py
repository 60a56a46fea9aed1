"""Gradient estimators: they turn (model, x, objective) into a scalar whose value is the negative mean objective and
whose gradient is an estimate of its gradient, unbiased but for those that say `unbiased = False`."""

from elbox.estimators.analytic_kl import AnalyticKL
from elbox.estimators.base import Estimate, Estimator
from elbox.estimators.covariance import Covariance
from elbox.estimators.path import Path
from elbox.estimators.reparameterized import Reparameterized
from elbox.estimators.score import Score

__all__ = ["AnalyticKL", "Covariance", "Estimate", "Estimator", "Path", "Reparameterized", "Score"]
