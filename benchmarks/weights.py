"""Weights under neutral names, so that every contender starts from the same ones and is measured by the same model.

Names: `encoder.…` and `decoder.…` with the names of elbox's networks inside (`net.0.weight` is [outputs, inputs]),
`mean`, which is subtracted from the encoder's input, and, of a convolutional network, `logit`, which is added to the
decoder's output. In a multi-layer perceptron the logit is a part of the last bias: the same function, which Adam trains
in the same way.
"""

from __future__ import annotations

__all__ = ["export", "layers", "load"]

from typing import Any

import numpy as np
import torch

_PREFIX = {"encoder.": "posterior.net.", "decoder.": "likelihood.net."}


def export(model: Any) -> dict[str, np.ndarray]:
    """The weights of an elbox model."""
    out = {}
    for neutral, prefix in _PREFIX.items():
        for name, p in model.named_parameters():
            if name.startswith(prefix):
                out[neutral + name.removeprefix(prefix)] = p.detach().cpu().numpy().copy()
    out["mean"] = model.posterior.net.standardize.offset.reshape(-1).cpu().numpy()
    last = _last_bias(out)
    if len(out[last]) == len(out["mean"]):
        out[last] = out[last] + _logit(model)
    else:
        out["logit"] = _logit(model)
    return out


def load(model: Any, values: dict[str, np.ndarray]) -> None:
    """Put such weights into an elbox model of the same shape."""
    values, last = dict(values), _last_bias(values)
    if len(values[last]) == model.likelihood.offset.numel():
        values[last] = values[last] - _logit(model)
    own = dict(model.named_parameters())
    with torch.no_grad():
        for neutral, prefix in _PREFIX.items():
            for name in (n for n in values if n.startswith(neutral)):
                own.pop(prefix + name.removeprefix(neutral)).copy_(torch.from_numpy(np.array(values[name])))
    assert not own, f"weights without a value: {list(own)}"


def layers(values: dict[str, np.ndarray], part: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight [outputs, inputs] and bias of each layer of a multi-layer perceptron, `part` being encoder or decoder."""
    prefix = f"{part}.net."
    numbers = sorted({int(n.removeprefix(prefix).split(".")[0]) for n in values if n.startswith(prefix)})
    return [(values[f"{prefix}{i}.weight"], values[f"{prefix}{i}.bias"]) for i in numbers]


def _last_bias(values: dict[str, np.ndarray]) -> str:
    return "decoder.last.bias" if "decoder.last.bias" in values else f"decoder.net.{_highest(values)}.bias"


def _highest(values: dict[str, np.ndarray]) -> int:
    return max(int(n.split(".")[2]) for n in values if n.startswith("decoder.net."))


def _logit(model: Any) -> np.ndarray:
    return torch.logit(model.likelihood.offset.clamp(0.001, 0.999)).reshape(-1).cpu().numpy()
