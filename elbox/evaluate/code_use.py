r"""How much of its codes a model uses.

Over N examples with P positions each, let f_k be the share of code k. Reported are the *usage*, the part of the K codes
with f_k > 0, and the *perplexity* exp(−Σ_k f_k log f_k), between 1 and K: for each level of a quantiser, all positions
together, and for each variable of a `CategoricalCode`, of which the most probable category counts.

Reference: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning* (the authors' code logs
the perplexity); Mentzer et al. (2023), *Finite scalar quantization*, §5 (usage).
"""

from __future__ import annotations

__all__ = ["code_use", "one_code"]

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from elbox.distributions import OneHots, Quantized
from elbox.evaluate.chunks import MEMORY, bytes_written, rows_within
from elbox.evaluate.result import Evaluation
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.model import VAE


def one_code(model: Any, x: Examples, c: Tensor | None) -> bool:
    """Whether the posterior has one code for each example, so that more samples are the same again."""
    return isinstance(model, VAE) and isinstance(_encoded(model, x, c, slice(0, 1)), Quantized)


def code_use(
    result: Evaluation, model: Any, x: Examples, *, memory: int = MEMORY, c: Tensor | None = None
) -> Evaluation:
    """The evaluation with usage and perplexity of discrete codes, if the model has any.

    Arguments:
        result: What `evaluate` found for the same model and data.
        model: The model.
        x: Data [N, *event].
        memory: Budget in bytes for the tensors of one chunk.
        c: Condition [N, ...], or None.
    """
    if not isinstance(model, VAE):
        return result
    with measuring(model, result.seed):
        counts = _counts(_encoded(model, x, c, slice(0, 1)))
        if counts is None:
            return result
        total, size = torch.zeros_like(counts), _together(model, x, c, memory)
        for start in range(0, len(x), size):
            part = _counts(_encoded(model, x, c, slice(start, min(start + size, len(x)))))
            assert part is not None  # as for the first example
            total += part
    share = total / total.sum(1, keepdim=True)
    perplexity = torch.special.entr(share).sum(1).exp()
    used = (total > 0).double().mean(1)
    return replace(
        result, alphabet=total.shape[1], code_usage=tuple(used.tolist()), code_perplexity=tuple(perplexity.tolist())
    )


def _together(model: VAE, x: Examples, c: Tensor | None, memory: int) -> int:
    one = slice(0, 1)
    return rows_within(memory, bytes_written(lambda: _encoded(model, x, c, one)), like_model(model, x[one]).device)


def _encoded(model: VAE, x: Examples, c: Tensor | None, rows: slice) -> Distribution:
    return model.encode(like_model(model, x[rows]), c=on_device(model, c, rows))


def _counts(q: Distribution) -> Tensor | None:
    """How often each code is used, [levels or variables, K]; None of a posterior without discrete codes."""
    if isinstance(q, Quantized):
        codes, size = q.codes.flatten(0, -2), q.codebook.size
    elif isinstance(q, OneHots):
        codes, size = q.base_dist.logits.argmax(-1), q.categories
    else:
        return None
    return torch.stack([torch.bincount(column, minlength=size) for column in codes.T]).cpu().double()
