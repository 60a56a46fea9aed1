r"""Posteriors that are optimised for each example alone: the best that a family can do, without an encoder.

All three are one family, each with what the one before it lacks:

    z = μ + σ ⊙ (I + Λ) u,      log q(z) = log N(ε; 0, I) − log|det ∂u/∂ε| − Σ_d log σ_d,

with u = ε and Λ = 0 (diagonal), Λ strictly lower triangular (full covariance), and u = T(ε) for a flow T of spline
couplings, whose weights, like μ, σ and Λ, each example has for itself. The full covariance starts where the diagonal
one ended, and the flow, at first the identity, where the full covariance ended.
"""

from __future__ import annotations

__all__ = ["FAMILIES", "Local", "elbo_of", "fitted", "richest"]

from collections.abc import Iterator

import torch
from torch import Tensor
from zuko.transforms import MonotonicRQSTransform

from elbox.distributions import diagonal_normal, soft_clip
from elbox.evaluate.joint import Joint
from elbox.evaluate.weights import wide

FAMILIES = ("diagonal", "full", "flow")
LR = {"diagonal": 0.05, "full": 0.03, "flow": 0.005}  # of the first step; with larger ones the noise costs more nats
COUPLINGS, HIDDEN, BINS = 4, 16, 6
SHAPES = 3 * BINS - 1  # numbers of one spline
DECAYS = (0.9, 0.99)  # of Adam's two moments, as in `LocalNormal`
CHOSEN, CHUNK = 128, 16  # draws by which the end of a search is compared with its start; at once
DRAWS = 100  # for the moments of the encoder's posterior where there is no formula


class Local:
    """One posterior for each of B examples.

    Arguments:
        tensors: By name: "mean" and "log_scale" [B, D], and as the family has them "lower" [B, D, D] and the weights of
            the couplings.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    @property
    def latent(self) -> int:
        return self.tensors["mean"].shape[-1]

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z [S, B, D] and log q(z) [S, B] for ε [S, B, D], or [S, 1, D] for the same noise in all examples."""
        t = self.tensors
        log_q = diagonal_normal(torch.zeros_like(noise), torch.ones_like(noise)).log_prob(noise)
        u = noise.expand(len(noise), len(t["mean"]), self.latent)
        if "inner" in t:
            u, log_det = self._coupled(u)
            log_q = log_q - log_det
        if "lower" in t:
            u = u + torch.einsum("bij,sbj->sbi", t["lower"].tril(-1), u)
        log_scale = soft_clip(t["log_scale"])
        return t["mean"] + log_scale.exp() * u, log_q - log_scale.sum(-1)

    def elbo(self, joint: Joint, noise: Tensor) -> Tensor:
        """log p(x, z) − log q(z), [S, B]."""
        z, log_q = self.draw(noise)
        return joint(z) - log_q

    def copy(self) -> Local:
        """The same posteriors, in tensors of their own."""
        return Local({name: t.detach().clone() for name, t in self.tensors.items()})

    def richer(self, family: str) -> Local:
        """The same posteriors as members of a richer family."""
        mean, new = self.tensors["mean"], {}
        b, d = mean.shape
        if "lower" not in self.tensors:
            new["lower"] = mean.new_zeros(b, d, d)
        if family == "flow":
            half = (d + 1) // 2
            first = torch.Generator().manual_seed(0)  # the same weights for all examples, however they are cut up
            inner = torch.randn(COUPLINGS, d, HIDDEN, generator=first, dtype=mean.dtype).to(mean.device)
            new |= {"inner": (inner / d**0.5).repeat(b, 1, 1, 1), "inner_bias": mean.new_zeros(b, COUPLINGS, HIDDEN)}
            new["outer"] = mean.new_zeros(b, COUPLINGS, HIDDEN, half * SHAPES)
            new["outer_bias"] = mean.new_zeros(b, COUPLINGS, half * SHAPES)
        return Local(self.copy().tensors | new)

    def _coupled(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """T(ε): in turn one half of the dimensions moves along splines that depend on the other half."""
        log_det, half = torch.zeros_like(u[..., 0]), (self.latent + 1) // 2
        for k in range(COUPLINGS):
            moved = torch.arange(self.latent, device=u.device) < half
            moved = moved if k % 2 == 0 else ~moved
            if not moved.any():  # one dimension has no other half
                continue
            shapes = self._shapes(torch.where(moved, 0.0, u), k).unflatten(-1, (half, SHAPES))
            shapes = shapes[..., : int(moved.sum()), :]
            spline = MonotonicRQSTransform(*shapes.split((BINS, BINS, BINS - 1), -1))
            new, slope = spline.call_and_ladj(u[..., moved])
            u = u.index_copy(-1, torch.nonzero(moved)[:, 0], new)
            log_det = log_det + slope.sum(-1)
        return u, log_det

    def _shapes(self, seen: Tensor, k: int) -> Tensor:
        """The network of the k-th coupling, [S, B, D] → [S, B, ⌈D/2⌉ · SHAPES], another for each example."""
        t = self.tensors
        h = torch.einsum("sbd,bdh->sbh", seen, t["inner"][:, k]) + t["inner_bias"][:, k]
        return torch.einsum("sbh,bho->sbo", torch.tanh(h), t["outer"][:, k]) + t["outer_bias"][:, k]


def fitted(joint: Joint, steps: int, samples: int, seed: int) -> Iterator[tuple[str, Local]]:
    """The best diagonal, full and flow posterior of each example, one after the other.

    Adam maximises the ELBO of all examples at once, with step sizes that fall linearly to 0; it treats every number for
    itself, so that examples do not see each other. The noise, in pairs ±ε, is the same for all examples and drawn from
    the seed alone: results do not depend on how the examples are cut into parts. Where a search ends lower than it
    began, its start is kept: the families contain each other, and so do their bounds.

    Arguments:
        joint: log p(x, z) of the examples.
        steps: Steps for each family.
        samples: Draws of ε in each step, an even number.
        seed: Seed of the noise.
    """
    local = _start(joint)
    for i, family in enumerate(FAMILIES):
        start = local if family == "diagonal" else local.richer(family)
        end = start.copy()
        _climb(end, joint, steps, samples, LR[family], seed + i)
        local = _better(start, end, joint, seed)
        yield family, local


def _start(joint: Joint) -> Local:
    """The diagonal normal with the moments of the model's own posterior."""
    q = joint.posterior()
    try:
        mean, variance = q.mean, q.variance
    except NotImplementedError:  # a flow
        z = q.sample(torch.Size([DRAWS]))
        mean, variance = z.mean(0), z.var(0)
    scale = torch.nan_to_num(variance, nan=1.0).clamp(1e-8, 1e4).sqrt()  # a heavy tail has none
    return Local({"mean": torch.nan_to_num(mean).detach().clone(), "log_scale": scale.log()})


def _climb(local: Local, joint: Joint, steps: int, samples: int, lr: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    leaves = [t.requires_grad_() for t in local.tensors.values()]
    optimizer = torch.optim.Adam(leaves, lr, betas=DECAYS)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    mean = local.tensors["mean"]
    for _ in range(steps):
        half = torch.randn(samples // 2, 1, local.latent, generator=generator, dtype=mean.dtype).to(mean.device)
        with torch.enable_grad():
            elbo = local.elbo(joint, torch.cat([half, -half])).mean(0)
            slopes = torch.autograd.grad(-elbo.sum(), leaves)  # of these alone: the model's .grad stays as it is
        for leaf, slope in zip(leaves, slopes, strict=True):
            leaf.grad = torch.nan_to_num(slope)
        optimizer.step()
        decay.step()
    for leaf in leaves:
        leaf.requires_grad_(False)


@torch.no_grad()
def _better(one: Local, other: Local, joint: Joint, seed: int) -> Local:
    """Of each example the better of two members of a family, by the same draws for both: a search may end lower."""
    generator, mean = torch.Generator().manual_seed(seed), one.tensors["mean"]
    won = torch.zeros_like(mean[:, 0])
    for _ in range(0, CHOSEN, CHUNK):
        noise = torch.randn(CHUNK, 1, one.latent, generator=generator, dtype=mean.dtype).to(mean.device)
        won = won + (other.elbo(joint, noise) - one.elbo(joint, noise)).sum(0)
    pairs = {name: (other.tensors[name], t) for name, t in one.tensors.items()}
    return Local({n: torch.where((won > 0).view(-1, *[1] * (a.dim() - 1)), a, b) for n, (a, b) in pairs.items()})


def elbo_of(local: Local, joint: Joint, samples: int, chunk: int) -> Tensor:
    """The ELBO of each example from so many fresh draws of its own, [B], in chunks of draws."""
    total, mean = torch.zeros_like(wide(local.tensors["mean"][:, 0])), local.tensors["mean"]
    for done in range(0, samples, chunk):
        noise = torch.randn(min(chunk, samples - done), *mean.shape, dtype=mean.dtype, device=mean.device)
        total = total + wide(local.elbo(joint, noise)).sum(0)
    return total / samples


def richest(joint: Joint) -> Tensor:
    """The ELBO of the first flow from one draw: what one step takes, for the plan of memory."""
    local = _start(joint).richer("flow")
    return local.elbo(joint, torch.zeros_like(local.tensors["mean"])[None])
