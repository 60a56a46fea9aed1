"""elbox: variational autoencoders, measured in nats."""

from elbox import (
    baselines,
    estimators,
    flows,
    kernels,
    likelihoods,
    models,
    nn,
    objectives,
    posteriors,
    priors,
    recipes,
    schedules,
)
from elbox.data import Data, as_examples, from_array, load
from elbox.doctor import Diagnosis, Finding, doctor
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
from elbox.evaluate import Evaluation, assignments, encode, evaluate, log_likelihood
from elbox.model import VAE
from elbox.objectives import ELBO, IWAE, Renyi
from elbox.parts import part
from elbox.recipes import Recipe
from elbox.runs import Interrupted, Run, fit, load_run, resume
from elbox.second_stage import FittedPrior, fit_prior
from elbox.spec import DataSpec
from elbox.terms import Group, Terms
from elbox.train import Training
from elbox.version import VERSION

__version__ = VERSION

__all__ = [
    "AnalyticKL",
    "Data",
    "DataError",
    "DataSpec",
    "Diagnosis",
    "ELBO",
    "ElboxError",
    "Evaluation",
    "Finding",
    "FittedPrior",
    "Group",
    "IWAE",
    "IncompatibleError",
    "Interrupted",
    "NonFiniteError",
    "Path",
    "Recipe",
    "Renyi",
    "Reparameterized",
    "Run",
    "RunError",
    "Score",
    "SettingError",
    "ShapeError",
    "Terms",
    "Training",
    "VAE",
    "as_examples",
    "assignments",
    "baselines",
    "doctor",
    "encode",
    "estimators",
    "evaluate",
    "fit",
    "fit_prior",
    "flows",
    "from_array",
    "kernels",
    "likelihoods",
    "load",
    "load_run",
    "log_likelihood",
    "models",
    "nn",
    "objectives",
    "part",
    "posteriors",
    "priors",
    "recipes",
    "resume",
    "schedules",
]
