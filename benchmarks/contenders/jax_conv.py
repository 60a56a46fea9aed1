"""elbox's convolutional networks (`elbox.nn.conv`) written in JAX, channels last."""

from __future__ import annotations

__all__ = ["exported", "networks"]

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.workloads import Problem

Values = dict[str, Any]
ORDER = ("NHWC", "HWIO", "NHWC")


def networks(problem: Problem) -> tuple[Values, Any, Any]:
    """Parameters, encode and decode, as `benchmarks.contenders.jax.networks`."""
    fixed = {name: jnp.asarray(problem.weights[name]) for name in ("mean", "logit")}
    params = {n: jnp.asarray(_in(v)) for n, v in problem.weights.items() if n not in fixed}
    latent = problem.workload.settings.get("latent", 20)
    ups = [jnp.asarray(_bilinear(7)), jnp.asarray(_bilinear(14))]

    def encode(p: Values, x: Any) -> tuple[Any, Any]:
        h = (x - fixed["mean"]).reshape(-1, 28, 28, 1)
        for i in range(2):
            h = jax.nn.silu(_conv(p, f"encoder.convs.{i}", h, stride=2))
        h = h.transpose(0, 3, 1, 2).reshape(len(h), -1) @ p["encoder.head.weight"] + p["encoder.head.bias"]
        s = h[:, latent:]
        return h[:, :latent], s / (1 + jnp.abs(s) / 10)

    def decode(p: Values, z: Any) -> Any:
        h = z @ p["decoder.head.weight"] + p["decoder.head.bias"]
        h = h.reshape(len(z), 64, 7, 7).transpose(0, 2, 3, 1)
        for i, up in enumerate(ups):
            r = jax.nn.silu(_conv(p, f"decoder.blocks.{i}.first", jax.nn.silu(h)))
            h = h + _conv(p, f"decoder.blocks.{i}.second", r)
            h = jnp.einsum("hi,bijc,wj->bhwc", up, h, up)
            h = _conv(p, f"decoder.convs.{i}", jax.nn.silu(h))
        return _conv(p, "decoder.last", jax.nn.silu(h)).reshape(len(z), -1) + fixed["logit"]

    return params, encode, decode


def exported(params: Values) -> dict[str, np.ndarray]:
    """Parameters by their neutral names."""
    return {n: _out(np.asarray(v)) for n, v in params.items()}


def _conv(p: Values, name: str, h: Any, stride: int = 1) -> Any:
    pads = [(1, 1), (1, 1)]
    y = jax.lax.conv_general_dilated(h, p[f"{name}.weight"], (stride, stride), pads, dimension_numbers=ORDER)
    return y + p[f"{name}.bias"]


def _in(v: np.ndarray) -> np.ndarray:
    return v.transpose(2, 3, 1, 0) if v.ndim == 4 else v.T


def _out(v: np.ndarray) -> np.ndarray:
    return v.transpose(3, 2, 0, 1) if v.ndim == 4 else v.T


def _bilinear(n: int) -> np.ndarray:
    """The matrix [2n, n] of bilinear up-sampling along one axis."""
    at = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
    low = np.minimum(at.astype(int), n - 2)
    out = np.zeros((2 * n, n), np.float32)
    out[np.arange(2 * n), low], out[np.arange(2 * n), low + 1] = 1 - (at - low), at - low
    return out
