"""What an evaluation found: means with standard errors, in nats, for tables, JSON and further analysis."""

from __future__ import annotations

__all__ = ["ACTIVE", "Evaluation", "MeanSE"]

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

ACTIVE = 0.01  # Burda et al. (2016), §5.2


@dataclass(frozen=True)
class MeanSE:
    r"""A mean over N test points with its standard error s/√N, where s² = Σ (v_i − mean)² / (N − 1).

    The standard error is NaN for one point. It says how far off the mean over other test points would be; it does not
    cover the bias of an estimate.

    Example:
        >>> print(MeanSE.of(np.array([-86.0, -88.0, -90.0, -85.0])))
        -87.2 ± 1.1
    """

    mean: float
    se: float

    @classmethod
    def of(cls, values: np.ndarray) -> MeanSE:
        """Mean and standard error of the values of N examples, [N]."""
        n = len(values)
        return cls(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else math.nan)

    def __str__(self) -> str:
        if not math.isfinite(self.se):
            return f"{self.mean:.2f}"
        digits = 2 if self.se == 0 else min(max(1 - math.floor(math.log10(self.se)), 0), 6)  # two of the error's digits
        return f"{self.mean:.{digits}f} ± {self.se:.{digits}f}"


@dataclass(frozen=True)
class Evaluation:
    r"""Bounds and diagnostics of a model on N examples; means over examples with standard errors, in nats.

    Arguments:
        n: Number N of examples.
        dims: Number D of dimensions of one example, the denominator of bits/dim.
        samples: Number S of posterior samples for each example.
        seed: Seed of the posterior samples.
        distortion: −E_q[log p(x|z)], the mean over S samples.
        rate: KL(q(z|x) ‖ p(z)); None for an autoencoder, as are all that follow from it.
        elbo: −(distortion + rate).
        log_likelihood: log (1/S) Σ_s w_s, in expectation a lower bound on log p(x) that rises with S.
        bits_per_dim: −log_likelihood / (D log 2); on real-valued data of a density, so that it depends on their unit.
        ess: Effective sample size (Σ w)² / Σ w², between 1 and S.
        rate_per_dimension: Mean rate of each latent dimension; empty if q or p does not factorise over dimensions: then
            the rate is not a sum over dimensions.
        mean_of_means: E_x(E_q[z_d]) of each latent dimension; empty where the next are.
        variance_of_means: Var_x(E_q[z_d]) of each latent dimension; empty if there are too few examples or samples to
            say.
        active_units: How many of these exceed 0.01 (Burda et al., 2016, §5.2); None where they are empty.
        mutual_information: Index–code mutual information I_q(n; z), at most log `aggregated`; with the next two it adds
            up to the mean rate of the aggregated examples (see `elbox.evaluate.decomposition`). All three are None
            unless posterior and prior factorise over dimensions. Their standard errors are those of the codes drawn:
            how far another seed would move them, not other examples.
        total_correlation: KL(q(z) ‖ Π_d q(z_d)) of the aggregated posterior q(z).
        dimension_kl: Σ_d KL(q(z_d) ‖ p(z_d)).
        cluster_sizes: Number of examples of each cluster, a component of the prior; empty for models without clusters.
        cluster_accuracy: Share of examples in the cluster that is matched with their class (`elbox.evaluate.clusters`);
            with the next two None where there are no labels.
        nmi: Normalised mutual information of clusters and classes, between 0 and 1.
        ari: Adjusted Rand index, 0 for clusters by chance, 1 for the classes.
        aggregated: Number of examples over which the posterior is aggregated, the first ones; 0 for none.
        codes: Number of codes drawn for these three.
        alphabet: Number K of discrete codes to choose from; 0 for continuous latent variables.
        code_usage: Part of them that some example has, for each level of a quantiser or each categorical variable.
        code_perplexity: exp of the entropy of their shares over all examples, between 1 and K, likewise.
        closed_form: Whether the rate is a closed-form KL; else it is the mean of log q(z|x) − log p(z) over S samples.
        precision: Of the network's products: `"32"`, or `"bf16"` (see `elbox.evaluate.fast`); sums are in float64.
        per_example: The values of each example, [N], under the names above; not in the JSON.
    """

    n: int
    dims: int
    samples: int
    seed: int
    distortion: MeanSE
    rate: MeanSE | None = None
    elbo: MeanSE | None = None
    log_likelihood: MeanSE | None = None
    bits_per_dim: MeanSE | None = None
    ess: MeanSE | None = None
    rate_per_dimension: tuple[float, ...] = ()
    mean_of_means: tuple[float, ...] = ()
    variance_of_means: tuple[float, ...] = ()
    active_units: int | None = None
    mutual_information: MeanSE | None = None
    total_correlation: MeanSE | None = None
    dimension_kl: MeanSE | None = None
    cluster_sizes: tuple[int, ...] = ()
    cluster_accuracy: MeanSE | None = None
    nmi: float | None = None
    ari: float | None = None
    aggregated: int = 0
    codes: int = 0
    alphabet: int = 0
    code_usage: tuple[float, ...] = ()
    code_perplexity: tuple[float, ...] = ()
    closed_form: bool = False
    precision: str = "32"
    per_example: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def cubo(self) -> MeanSE | None:
        r"""½ log (1/S) Σ_s w_s² = log_likelihood + ½ log (S / ess): an estimate of the χ upper bound on log p(x).

        With `log_likelihood` it brackets log p(x) once S is large enough. Before that it is no bound: its expectation
        is below CUBO_2 = ½ log E_q[w²], for S = 1 even below log p(x). Where the effective sample size stays near 1
        while S grows, it says nothing.

        Reference: Dieng et al. (2017), *Variational inference via χ upper bound minimization*, §2.

        Returns:
            Nats; None for an autoencoder, or where the values of each example were not kept.
        """
        if not {"log_likelihood", "ess"} <= self.per_example.keys():
            return None
        spread = np.log(self.samples / self.per_example["ess"])
        return MeanSE.of(self.per_example["log_likelihood"] + 0.5 * spread)

    def most_active(self, count: int | None = None) -> list[int]:
        """Latent dimensions by falling Var_x(E_q[z_d]), at most `count` of them."""
        return sorted(range(len(self.variance_of_means)), key=lambda d: -self.variance_of_means[d])[:count]

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, value, unit) of every number, as text, for a table."""
        how = "closed form" if self.closed_form else f"{self.samples} samples"
        named = [
            (f"log p(x), {self.samples} samples", self.log_likelihood, "nats"),
            ("bits per dimension", self.bits_per_dim, "bits"),
            ("ELBO", self.elbo, "nats"),
            ("distortion", self.distortion, "nats"),
            (f"rate, {how}", self.rate, "nats"),
            ("mutual information", self.mutual_information, "nats"),
            ("total correlation", self.total_correlation, "nats"),
            ("dimension-wise KL", self.dimension_kl, "nats"),
            ("effective sample size", self.ess, f"of {self.samples}"),
        ]
        rows = [(name, str(value), unit) for name, value, unit in named if value is not None]
        if self.active_units is not None:
            rows.append(("active units", str(self.active_units), f"of {len(self.variance_of_means)}"))
        if self.cluster_sizes:
            rows.append(("clusters", _sizes(self.cluster_sizes), "examples"))
        if self.cluster_accuracy is not None:
            rows.append(("clustering accuracy", str(self.cluster_accuracy), "one to one"))
            rows += [("NMI of clusters", f"{self.nmi:.3f}", ""), ("adjusted Rand index", f"{self.ari:.3f}", "")]
        if self.alphabet:
            used, perplexity = np.mean(self.code_usage), np.mean(self.code_perplexity)
            rows.append(("codes used", f"{used:.1%}", f"of {self.alphabet}"))
            rows.append(("perplexity of the codes", f"{perplexity:.1f}", f"of {self.alphabet}"))
        if self.precision != "32":
            rows.append(("network's products", {"bf16": "bfloat16"}.get(self.precision, self.precision), ""))
        return [*rows, ("examples", str(self.n), "")]

    def to_json(self) -> dict[str, Any]:
        """All but the values of each example, as plain JSON values; an unknown standard error is null."""
        values = asdict(self)
        del values["per_example"]
        return {name: _plain(value) for name, value in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Evaluation:
        """The evaluation that `to_json` described; keys of others, such as the protocol, are ignored."""
        return cls(**{name: _typed(values[name]) for name in cls.__dataclass_fields__ if name in values})


def _sizes(sizes: tuple[int, ...]) -> str:
    """The largest clusters, and how many there are."""
    shown = [str(n) for n in sorted(sizes, reverse=True)[:10]]
    return f"{len(sizes)}: {', '.join(shown)}{', …' * (len(sizes) > 10)}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return MeanSE(**{name: math.nan if v is None else v for name, v in value.items()})
    return tuple(value) if isinstance(value, list) else value
