"""elbox: variational autoencoders, measured in nats."""

from elbox import estimators, likelihoods, nn, objectives, posteriors, priors, recipes, schedules
from elbox.errors import (
    DataError,
    ElboxError,
    IncompatibleError,
    NonFiniteError,
    RunError,
    SettingError,
    ShapeError,
)
from elbox.estimators import AnalyticKL, Path, Reparameterized, Score
from elbox.model import VAE
from elbox.objectives import ELBO, IWAE, Renyi
from elbox.parts import part
from elbox.recipes import Recipe
from elbox.spec import DataSpec
from elbox.terms import Group, Terms

__version__ = "0.1.0"

__all__ = [
    "ELBO",
    "IWAE",
    "VAE",
    "AnalyticKL",
    "DataError",
    "DataSpec",
    "ElboxError",
    "Group",
    "IncompatibleError",
    "NonFiniteError",
    "Path",
    "Recipe",
    "Renyi",
    "Reparameterized",
    "RunError",
    "Score",
    "SettingError",
    "ShapeError",
    "Terms",
    "estimators",
    "likelihoods",
    "nn",
    "objectives",
    "part",
    "posteriors",
    "priors",
    "recipes",
    "schedules",
]
