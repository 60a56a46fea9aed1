"""A chunk of a long evaluation as one compiled function, its products in bfloat16 where that changes nothing.

The same numbers are drawn in the same order as without, so that in float32 both ways agree up to rounding. Products in
bfloat16 are taken only if the likelihood bears them (`Likelihood.robust`), and only after the first chunk of examples
was measured both ways, with the same noise: their mean log-likelihoods may differ by at most `TOLERANCE` nats.
"""

from __future__ import annotations

__all__ = ["Fast", "fast"]

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elbox.cost import count
from elbox.errors import SettingError
from elbox.evaluate.chunks import Full, Measure, Plan, Remembered
from elbox.evaluate.scope import Examples, like_model, on_device
from elbox.evaluate.weights import LOG_SUM
from elbox.record import cpu_has_bf16, missing_compiler, record

TOLERANCE = 0.02  # nats
# A compiled chunk saves about this much for each operator call, number written and operation of a product …
SECONDS_PER_CALL, SECONDS_PER_NUMBER, SECONDS_PER_FLOP = 3e-6, 0.2e-9, 2e-12
# … and compiling it takes 3–8 s.
GAIN_SECONDS = 10.0
PRECISIONS = ("auto", "32", "bf16")


@dataclass(frozen=True)
class Fast:
    """How the chunks of an evaluation are computed.

    Arguments:
        full: The compiled function of a full chunk, or None to compute all of them as they stand.
        precision: `"32"` or `"bf16"`, that of its products.
    """

    full: Full | None
    precision: str


def fast(
    model: Any, x: Examples, samples: int, sizes: Plan, measure: Measure, precision: str, c: Tensor | None
) -> Fast:
    """Compile the evaluation of a chunk if the evaluation is long enough to gain from it.

    Arguments:
        model: A model with `terms`.
        x: Data [N, *event].
        samples: S.
        sizes: Sizes of the chunks.
        measure: Terms → sums over their samples.
        precision: `"auto"`, `"32"` or `"bf16"`.
        c: Condition [N, ...], or None.

    Raises:
        SettingError: if the precision is unknown, or bf16 is asked for where it cannot be had.
    """
    if precision not in PRECISIONS:
        raise SettingError(f"got precision={precision!r}; expected one of {', '.join(PRECISIONS)}")
    rows = slice(0, sizes.examples)
    batch, condition = like_model(model, x[rows]), on_device(model, c, rows)
    device = batch.device.type
    wanted, missing = precision == "bf16", missing_compiler(device)
    if wanted and (missing or device != "cpu"):
        raise SettingError(f"got precision='bf16', but {missing or 'it is for CPUs'}; use precision='auto' or '32'")
    if missing or device != "cpu" or not (wanted or _worth_compiling(model, batch, condition, samples * len(x), sizes)):
        return Fast(None, "32")
    lower = wanted or (precision == "auto" and _bears_bf16(model, batch) and cpu_has_bf16(compiled=True))
    for bf16 in (True, False) if lower else (False,):
        try:
            full = _compiled(model, batch, condition, sizes, measure, bf16=bf16)
        except Exception as error:  # whatever the tracer or the compiler stumbles over
            if not wanted:  # the model itself has run already
                break
            first = str(error).strip().partition("\n")[0]
            raise SettingError(
                f"got precision='bf16', but compilation failed ({first}); use precision='auto' or '32'"
            ) from error
        if not bf16 or wanted or _difference(model, batch, condition, sizes, measure, full) <= TOLERANCE:
            return Fast(full, "bf16" if bf16 else "32")
    return Fast(None, "32")


def _bears_bf16(model: Any, x: Tensor) -> bool:
    return x.dtype == torch.float32 and bool(getattr(getattr(model, "likelihood", None), "robust", False))


def _worth_compiling(model: Any, x: Tensor, c: Tensor | None, rows: int, sizes: Plan) -> bool:
    with _same_noise():
        cost = count(lambda: model.terms(x, sizes.samples, c=c, draw=Remembered()))
    chunks = rows / (sizes.examples * sizes.samples)
    chunk = cost.calls * SECONDS_PER_CALL + cost.numbers * SECONDS_PER_NUMBER + cost.flops * SECONDS_PER_FLOP
    return chunks * chunk > GAIN_SECONDS


def _compiled(model: Any, x: Tensor, c: Tensor | None, sizes: Plan, measure: Measure, *, bf16: bool) -> Full:
    names: list[str] = []

    def function(x: Tensor, *c: Tensor) -> list[Tensor]:
        values = measure(model.terms(x, sizes.samples, c=c[0] if c else None, draw=Remembered()))
        names[:] = list(values)
        return list(values.values())

    state = [*model.parameters(), *model.buffers()]
    with _same_noise():
        recorded = record(function, state, [x] if c is None else [x, c], bf16=bf16)
    return lambda x, c: dict(zip(names, recorded(x) if c is None else recorded(x, c), strict=True))


def _difference(model: Any, x: Tensor, c: Tensor | None, sizes: Plan, measure: Measure, full: Full) -> float:
    """How far the mean log-likelihoods of the first chunk, in bfloat16 and in float32, are apart, in nats."""
    with _same_noise():
        plain = measure(model.terms(x, sizes.samples, c=c, draw=Remembered()))
    with _same_noise():
        other = full(x, c)
    return float((plain[LOG_SUM] - other[LOG_SUM]).mean().abs())


def _same_noise() -> Any:
    """Whatever is drawn inside the block was not drawn."""
    return torch.random.fork_rng(devices=[])
