r"""A table of vectors, learned as the means of what is quantised to them."""

from __future__ import annotations

__all__ = ["Codebook"]

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elbox.errors import SettingError, check_number, check_whole
from elbox.nn.quantizer import Quantizer
from elbox.parts import part

START, DECAY = 100, 0.99  # batches over which a codebook with a gradient starts, and the decay of its usage


@part
class Codebook(Quantizer):
    r"""c_l = argmin_k ‖r_{l−1} − e_lk‖, r_l = r_{l−1} − e_{l c_l}, from r_0 = h: K vectors at each of L levels.

    With one level it is vector quantisation, with more residual vector quantisation. A table follows what is quantised
    to its vectors, in training mode alone, in one of two ways:

    - with a `decay` γ each vector is the moving average of what it stands for, n_k ← γ n_k + (1 − γ) share of k,
      e_k ← e_k + (1 − γ) share of k (mean − e_k) / n_k;
    - without, it is a parameter that the codebook's loss in `elbox.objectives.Commitment` trains.

    Both start as vectors of the first batch, and with plain means, γ_t = min(γ, t/(t + 1)): k-means in one pass. A code
    whose usage n_k has fallen below `dead`/K is *revived*: its vector becomes one of the batch, drawn at random.
    Shares, not counts, so that nothing depends on the batch size. With several processes each follows its own share
    of the batches until the next held-out evaluation, which gives all the first one's table.

    Reference: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, eq. 1 to 3 and
    appendix A.1 (moving averages, γ = 0.99); Zeghidour et al. (2021), *SoundStream*, §III-C (residual quantisation,
    start by k-means, revival below a moving average of 2 vectors a batch); MacQueen (1967), *Some methods for
    classification and analysis of multivariate observations* (k-means in one pass).

    Arguments:
        size: Number K ≥ 2 of vectors of each level.
        width: Their dimension d.
        depth: Number L of levels.
        decay: γ in [0, 1); None for vectors that are parameters.
        dead: Usage below which a code is revived, as a fraction of 1/K; 0 for never.

    Shapes:
        codes [..., P, L] → z [..., L·P·d]; `quantize`: h [..., P, d] → (h, codes).

    Raises:
        SettingError: if a number is out of range.

    Example:
        >>> codebook = Codebook(size=8, width=3, depth=2)
        >>> h, codes = codebook.quantize(torch.randn(100, 4, 3))
        >>> codes.shape, codebook(codes).shape, torch.equal(codebook.codes(codebook(codes)), codes)
        (torch.Size([100, 4, 2]), torch.Size([100, 24]), True)
    """

    vectors: Tensor
    usage: Tensor
    batches: Tensor
    direction: Tensor

    def __init__(
        self, size: int = 512, width: int = 64, depth: int = 1, decay: float | None = DECAY, dead: float = 0.1
    ) -> None:
        super().__init__()
        check_whole("size", size, 2)
        check_whole("width", width)
        check_whole("depth", depth)
        check_number("dead", dead)
        if decay is not None and not 0 <= decay < 1:
            raise SettingError(f"got decay={decay}; expected a number in [0, 1), or None for vectors with a gradient")
        self.size, self.width, self.depth, self.decay, self.dead = size, width, depth, decay, dead
        vectors = torch.randn(depth, size, width)
        if decay is None:
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
        self.register_buffer("usage", torch.zeros(depth, size))
        self.register_buffer("batches", torch.zeros(()))
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("direction", torch.randn(width, generator=generator), persistent=False)

    @torch.no_grad()
    def _codes_of(self, h: Tensor) -> Tensor:
        rest, codes = h.reshape(-1, self.width), []
        for level in range(self.depth):
            if self.training:
                self._revive(level, rest)
            code = _nearest(rest, self.vectors[level])
            if self.training:  # before they are read: what p(z) looks up is what was drawn
                self._follow(level, rest, code)
            rest = rest - self.vectors[level][code]
            codes.append(code)
        if self.training:
            self.batches.add_(1)
        return torch.stack(codes, -1).reshape(*h.shape[:-1], self.depth)

    def quantize(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return h, self._codes_of(h.detach())

    def forward(self, codes: Tensor) -> Tensor:
        levels = [F.embedding(codes[..., level], self.vectors[level]) for level in range(self.depth)]
        return torch.stack(levels, -3).flatten(-3)

    @torch.no_grad()
    def codes(self, z: Tensor) -> Tensor:
        """The codes [..., P, L] of z [..., L·P·d], found in a sorted table of projections on one line."""
        keys = _project(z.unflatten(-1, (self.depth, -1, self.width)), self.direction)  # [..., L, P]
        table, order = _project(self.vectors, self.direction).sort(-1)
        found = []
        for level in range(self.depth):
            key, known = keys[..., level, :].contiguous(), table[level].contiguous()
            after = torch.searchsorted(known, key).clamp(1, self.size - 1)
            nearest = torch.where(key - known[after - 1] <= known[after] - key, after - 1, after)
            found.append(order[level][nearest])
        return torch.stack(found, -1)

    # The table in training

    def _revive(self, level: int, h: Tensor) -> None:
        """Give codes that are hardly used a vector of the batch, and the mean usage; at the first batch, all codes."""
        vectors, usage = self.vectors[level], self.usage[level]
        gone = (usage < self.dead / self.size) | (self.batches == 0)
        others = h[torch.randint(len(h), (self.size,), device=h.device)]
        vectors.copy_(torch.where(gone[:, None], others.to(vectors.dtype), vectors))
        usage.copy_(torch.where(gone, 1 / self.size, usage))

    def _follow(self, level: int, h: Tensor, code: Tensor) -> None:
        """One step of the moving averages; without a decay, only at the start."""
        vectors, usage = self.vectors[level], self.usage[level]
        belongs = (code[:, None] == torch.arange(self.size, device=h.device)).to(h.dtype)  # [N, K]
        share, total = belongs.mean(0), belongs.T @ h / len(h)
        kept = (self.batches / (self.batches + 1)).clamp(max=DECAY if self.decay is None else self.decay)
        usage.mul_(kept).add_((1 - kept) * share)
        step = (1 - kept) * (total - share[:, None] * vectors) / usage.clamp(min=1e-12)[:, None]
        vectors.add_(step * (self.batches < START) if self.decay is None else step)


def _nearest(h: Tensor, vectors: Tensor) -> Tensor:
    """Index of the nearest of the vectors [K, d] for each row of h [N, d]: ‖h − e‖² less ‖h‖²."""
    return (vectors.square().sum(-1) - 2 * h @ vectors.T).argmin(-1)


def _project(vectors: Tensor, direction: Tensor) -> Tensor:
    """In float64, where the device has it, so that different vectors differ on the line too."""
    dtype = torch.float32 if vectors.device.type == "mps" else torch.float64
    return vectors.to(dtype) @ direction.to(dtype)
