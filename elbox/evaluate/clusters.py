r"""Clusters: which component of a mixture prior an example belongs to, and how well clusters agree with labels.

    q(m|x) = E_q(z|x)[p(m|z)],      p(m|z) = π_m N_m(z) / Σ_n π_n N_n(z),

which is the best q(m|x) for a model in which m is summed out (Jiang et al., 2017). The labels are not used but
to count: *clustering accuracy* is the share of examples whose cluster is that of their class, under the one-to-one
matching of clusters and classes for which it is highest (Kuhn, 1955, *The Hungarian method*).
"""

from __future__ import annotations

__all__ = ["assignments", "clustered"]

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily

from elbox.distributions import NormalMixture as Mixture
from elbox.errors import IncompatibleError
from elbox.evaluate.chunks import MEMORY
from elbox.evaluate.latent import in_chunks
from elbox.evaluate.result import Evaluation, MeanSE
from elbox.evaluate.scope import Examples
from elbox.priors import FittedMixture, NormalMixture

DRAWS = 32  # of z, over which p(m|z) is averaged


def assignments(
    model: Any, x: Examples, *, c: Tensor | None = None, seed: int = 0, memory: int = MEMORY, draws: int = DRAWS
) -> Tensor:
    r"""q(m|x) of examples: the probability of each cluster, a component of the model's mixture prior.

    Reference: Jiang et al. (2017), *Variational deep embedding* (there q(c|x)).

    Arguments:
        model: A model whose prior is a `NormalMixture` or a `FittedMixture`.
        x: Data [N, *event], of any type.
        c: Condition [N, ...], or None.
        seed: Seed of the draws of z.
        memory: Budget in bytes for the tensors of one chunk.
        draws: Draws of z for each example.

    Returns:
        [N, M] on the CPU.

    Raises:
        IncompatibleError: if the prior has no clusters.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vade(elbox.DataSpec((5,), "binary"), latent=2, components=3).model
        >>> assignments(model, torch.ones(4, 5)).shape
        torch.Size([4, 3])
    """
    if not has_clusters(model):
        raise IncompatibleError(
            f"got a {type(model.prior).__name__} prior, which has no clusters; use a NormalMixture prior, e.g. the "
            "recipe vade"
        )
    known = getattr(model, "assigned", None)  # where the model has a q(m|x) of its own

    def chunk(part: Tensor, given: Tensor | None) -> Tensor:
        if known is not None:
            return known(part, c=given)
        z = model.encode(part, c=given).sample(torch.Size([1 if model.deterministic else draws]))
        return _responsibilities(model.prior(given), z).mean(0)

    return in_chunks(model, chunk, x, c, memory, seed)


def has_clusters(model: Any) -> bool:
    """Whether the components of the prior are meant as clusters."""
    return isinstance(getattr(model, "prior", None), NormalMixture | FittedMixture)


def clustered(
    result: Evaluation, model: Any, x: Examples, y: Tensor | None, *, c: Tensor | None = None, seed: int = 0
) -> Evaluation:
    """The evaluation with the sizes of the clusters and, where there are labels, how well they agree; else as it is.

    Arguments:
        result: What `evaluate` found for the same model and data.
        model: The model.
        x: Data [N, *event].
        y: Labels [N], whole numbers, or None.
        c: Condition [N, ...], or None.
        seed: Seed of the draws.

    Example:
        >>> import elbox
        >>> data = elbox.load("digits")
        >>> run = elbox.fit(elbox.recipes.vade(data.spec, latent=2), data, elbox.Training(epochs=1))
        >>> found = run.evaluate(samples=2)
        >>> sum(found.cluster_sizes), 0 <= found.cluster_accuracy.mean <= 1
        (180, True)
    """
    if not has_clusters(model):
        return result
    probable = assignments(model, x, c=c, seed=seed)
    found = probable.argmax(1).numpy()
    sizes = tuple(np.bincount(found, minlength=probable.shape[1]).tolist())
    if y is None:
        return replace(result, cluster_sizes=sizes)
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    labels = np.asarray(y)[: len(found)]
    return replace(
        result,
        cluster_sizes=sizes,
        cluster_accuracy=MeanSE.of(_right(found, labels)),
        nmi=float(normalized_mutual_info_score(labels, found)),
        ari=float(adjusted_rand_score(labels, found)),
    )


def _right(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each example is in the cluster that is matched with its class, [N]."""
    from scipy.optimize import linear_sum_assignment

    _, classes = np.unique(labels, return_inverse=True)
    counts = np.zeros((found.max() + 1, classes.max() + 1))
    np.add.at(counts, (found, classes), 1)
    clusters, matched = linear_sum_assignment(counts, maximize=True)
    of_cluster = np.full(len(counts), -1)
    of_cluster[clusters] = matched
    right: np.ndarray = (of_cluster[found] == classes).astype(float)
    return right


def _responsibilities(p: Distribution, z: Tensor) -> Tensor:
    """p(m|z), [..., M]."""
    if isinstance(p, Mixture):
        return p.responsibilities(z)
    assert isinstance(p, MixtureSameFamily)
    return torch.softmax(p.component_distribution.log_prob(z[..., None, :]) + p.mixture_distribution.logits, -1)
