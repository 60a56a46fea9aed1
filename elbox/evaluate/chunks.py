r"""How an evaluation is cut into chunks: a fixed memory budget, and chunk sizes that follow from the model alone.

One *row* is one sample of one example. A row costs the bytes that the operators of a forward pass write for it, counted
on one example, with nothing timed and no free memory asked for: the same model, data shape, S, budget and seed give the
same chunks, hence the same random numbers, on any machine of that kind. The sum over all operators is an upper bound on
what is alive at any one time.
"""

from __future__ import annotations

__all__ = [
    "MEMORY",
    "Plan",
    "bytes_written",
    "check_examples",
    "plan",
    "rows_within",
    "sums_in_chunks",
    "terms_in_chunks",
]

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from elbox.cost import count
from elbox.draws import Draw, same_context
from elbox.errors import DataError, ShapeError, check_whole
from elbox.evaluate.scope import Examples, like_model, on_device
from elbox.terms import Terms

MEMORY = 2**28  # bytes; fixed, because chunk sizes decide which random number goes where
ROWS = {"cpu": 2048}  # measured: with 4096 rows of 784 pixels the same work takes 1.6 × the time
ROWS_ELSEWHERE = 65536
EXAMPLES = 32  # examples in a chunk, as long as S allows: the encoder runs once for all of them


Measure = Callable[[Terms], dict[str, Tensor]]
Full = Callable[[Tensor, Tensor | None], dict[str, Tensor]]


@dataclass(frozen=True)
class Plan:
    """Sizes of the chunks.

    Arguments:
        examples: Examples in a chunk.
        samples: Samples of each example in a chunk.
    """

    examples: int
    samples: int


def plan(model: Any, x: Examples, samples: int, memory: int, *, c: Tensor | None = None, whole: bool = False) -> Plan:
    """Chunks for S samples of every row of x.

    Arguments:
        model: A model with `terms`.
        x: Data [N, *event].
        samples: S.
        memory: Budget in bytes for the tensors of one chunk, kept as long as one row fits into it.
        c: Condition [N, ...], or None.
        whole: Keep the S samples of an example together, as an objective of K samples needs them.

    Raises:
        SettingError: if there is no sample, or no memory.
        ShapeError: if x is not [N, *event], or c has another N.
        DataError: if x has no rows.
    """
    check_examples(x, samples, memory, c)
    first, first_c = like_model(model, x[:1]), on_device(model, c, slice(0, 1))
    one = bytes_written(lambda: model.terms(first, 1, c=first_c, draw=Remembered()))
    two = bytes_written(lambda: model.terms(first, 2, c=first_c, draw=Remembered()))
    rows = rows_within(memory, two - one, first.device)
    examples = min(len(x), rows, max(EXAMPLES, rows // samples), max(1, memory // max(1, 2 * one - two)))
    if whole:
        return Plan(_even(len(x), max(1, min(examples, rows // samples))), samples)
    examples = _even(len(x), examples)
    return Plan(examples, _even(samples, max(1, rows // examples)))


def rows_within(memory: int, bytes_per_row: int, device: torch.device) -> int:
    """How many rows of that size a chunk on that device may have, at least 1."""
    return max(1, min(ROWS.get(device.type, ROWS_ELSEWHERE), memory // max(1, bytes_per_row)))


def bytes_written(function: Callable[[], Any]) -> int:
    """Bytes of all tensors that the operators inside `function` write, views not counted."""
    return count(function).bytes


def terms_in_chunks(
    model: Any, x: Examples, samples: int, sizes: Plan, *, c: Tensor | None = None
) -> Iterator[tuple[slice, Iterator[Terms]]]:
    """For each chunk of examples, its rows in x and its Terms in chunks of samples; to be read in this order.

    Arguments:
        model: A model with `terms`.
        x: Data [N, *event].
        samples: S.
        sizes: What `plan` returned.
        c: Condition [N, ...], or None.
    """
    for start in range(0, len(x), sizes.examples):
        rows = slice(start, min(start + sizes.examples, len(x)))
        batch = like_model(model, x[rows])
        yield rows, _samples_in_chunks(model, batch, samples, sizes.samples, on_device(model, c, rows))


def _samples_in_chunks(model: Any, x: Tensor, samples: int, chunk: int, c: Tensor | None) -> Iterator[Terms]:
    draw = Remembered()
    for done in range(0, samples, chunk):
        yield model.terms(x, min(chunk, samples - done), c=c, draw=draw)


def sums_in_chunks(
    model: Any,
    x: Examples,
    samples: int,
    sizes: Plan,
    measure: Measure,
    *,
    c: Tensor | None = None,
    full: Full | None = None,
) -> Iterator[tuple[slice, Iterator[tuple[int, dict[str, Tensor]]]]]:
    """For each chunk of examples, its rows in x and, for each chunk of its samples, their number and `measure(terms)`.

    Arguments:
        model, x, samples, sizes, c: As `terms_in_chunks`.
        measure: Terms → sums over their samples.
        full: The same from (x, c) at once, for chunks of just the planned sizes: see `elbox.evaluate.fast`.
    """
    for start in range(0, len(x), sizes.examples):
        rows = slice(start, min(start + sizes.examples, len(x)))
        yield rows, _sums(model, like_model(model, x[rows]), samples, sizes, measure, on_device(model, c, rows), full)


def _sums(
    model: Any, x: Tensor, samples: int, sizes: Plan, measure: Measure, c: Tensor | None, full: Full | None
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    draw = Remembered()
    for done in range(0, samples, sizes.samples):
        size = min(sizes.samples, samples - done)
        if full is not None and (len(x), size) == (sizes.examples, sizes.samples):
            yield size, full(x, c)
        else:
            yield size, measure(model.terms(x, size, c=c, draw=draw))


class Remembered:
    """A draw without gradients that encodes the same context only once, however many chunks of samples there are.

    Contexts are compared by identity. A context that depends on other samples, as in a hierarchy, is a new tensor in
    each call and is encoded anew.
    """

    def __init__(self) -> None:
        self.known: dict[int, tuple[nn.Module, Any, Distribution]] = {}

    def __call__(self, posterior: nn.Module, context: Any, samples: int) -> Draw:
        q = self._distribution(posterior, context)
        if hasattr(q, "rsample_and_log_prob"):  # the density of a draw of its own: no inversion
            z, log_qz = q.rsample_and_log_prob(torch.Size([samples]))
            return Draw(z, log_qz, q)
        z = (q.rsample if q.has_rsample else q.sample)(torch.Size([samples]))
        return Draw(z, q.log_prob(z), q)

    def _distribution(self, posterior: nn.Module, context: Any) -> Distribution:
        known = self.known.get(id(posterior))
        if known and same_context(known[1], context):
            return known[2]
        q = posterior(context)
        self.known[id(posterior)] = (posterior, context, q)  # kept alive, so that an id is not used again
        return q


def _even(total: int, most: int) -> int:
    """The size of equal chunks (but for the last) of at most `most`, as few of them as possible."""
    return math.ceil(total / math.ceil(total / most))


def check_examples(x: Examples, samples: int, memory: int, c: Tensor | None) -> None:
    """Refuse what is not [N, *event] with N ≥ 1, a condition of another N, and no samples or no memory."""
    check_whole("samples", samples)
    check_whole("memory", memory)
    if len(x.shape) < 2 or (c is not None and len(c) != len(x)):
        got = f"data of shape {tuple(x.shape)}" + ("" if c is None else f" with a condition of shape {tuple(c.shape)}")
        raise ShapeError(f"got {got}; expected [N, *event], and a condition for each example: one example x is x[None]")
    if len(x) == 0:
        raise DataError("got no examples; expected at least one to evaluate: choose another split or file")
