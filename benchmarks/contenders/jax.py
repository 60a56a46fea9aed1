"""JAX: data on the device as bytes, a whole pass over them in one jitted `lax.scan`.

Written for speed: Adam by hand in one expression a tensor instead of optax's chain, the Bernoulli log-density with its
gradient x − σ(logits) given instead of differentiated, the cheap random bit generator instead of threefry.
"""

from __future__ import annotations

__all__ = ["score", "train"]

import math
import os
from typing import Any

import numpy as np

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from benchmarks import weights
from benchmarks.contenders import jax_conv
from benchmarks.worker import Gate
from benchmarks.workloads import Problem

Values = dict[str, Any]


def networks(problem: Problem) -> tuple[Values, Any, Any]:
    """Parameters, encode(params, x [B, 784]) -> (μ, log σ), decode(params, z [R, L]) -> logits [R, 784]."""
    if "logit" in problem.weights:
        return jax_conv.networks(problem)
    tanh = problem.workload.recipe == "iwae" or "activation" in problem.workload.settings
    f = jnp.tanh if tanh else jax.nn.relu
    mean, latent = jnp.asarray(problem.weights["mean"]), problem.workload.settings.get("latent", 20)
    params = {
        part: [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in weights.layers(problem.weights, part)]
        for part in ("encoder", "decoder")
    }

    def mlp(layers: Any, x: Any) -> Any:
        for w, b in layers[:-1]:
            x = f(x @ w + b)
        w, b = layers[-1]
        return x @ w + b

    def encode(p: Values, x: Any) -> tuple[Any, Any]:
        h = mlp(p["encoder"], x - mean)
        return h[:, :latent], soft_clip(h[:, latent:])

    return params, encode, lambda p, z: mlp(p["decoder"], z)


def soft_clip(s: Any) -> Any:
    """The map from the encoder's output to log σ that elbox uses."""
    return s / (1 + jnp.abs(s) / 10)


def exported(params: Values) -> dict[str, np.ndarray]:
    """Parameters by their neutral names."""
    if "encoder.head.bias" in params:
        return jax_conv.exported(params)
    out = {}
    for part, layers in params.items():
        for i, (w, b) in enumerate(layers):
            out[f"{part}.net.{2 * i}.weight"], out[f"{part}.net.{2 * i}.bias"] = np.asarray(w).T, np.asarray(b)
    return out


def softplus(t: Any) -> Any:
    """log(1 + eᵗ) with `log` for `log1p`: the digits that this loses are lost in a sum over 784 pixels anyway."""
    return jnp.maximum(t, 0) + jnp.log(1 + jnp.exp(-jnp.abs(t)))


@jax.custom_vjp
def bernoulli(x: Any, logits: Any) -> Any:
    """Σ_d x_d t_d − log(1 + exp t_d) of logits t, with the gradient to t alone."""
    return jnp.sum(x * logits - softplus(logits), -1)


bernoulli.defvjp(
    lambda x, logits: (bernoulli(x, logits), (x, logits)),
    lambda kept, g: (None, g[..., None] * (kept[0] - jax.nn.sigmoid(kept[1]))),
)


def adam(params: Values, grads: Values, state: Any, lr: Any = 1e-3, eps: float = 1e-8) -> tuple[Values, Any]:
    """One step of Adam; state is (first moments, second moments, steps done), at first `adam_state(params)`."""
    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, grads)
    v = jax.tree.map(lambda a, g: 0.999 * a + 0.001 * g * g, v, grads)
    rate, scale = lr / (1 - 0.9**t), 1 / (1 - 0.999**t)
    return jax.tree.map(lambda p, a, b: p - rate * a / (jnp.sqrt(b * scale) + eps), params, m, v), (m, v, t)


def adam_state(params: Values) -> Any:
    zeros = jax.tree.map(jnp.zeros_like, params)
    return zeros, zeros, jnp.zeros(())


def loss_of(encode: Any, decode: Any, p: Values, x: Any, eps: Any) -> Any:
    """The negative bound; eps [K, B, L]."""
    mu, log_std = encode(p, x)
    samples = eps.shape[0]
    z = mu + jnp.exp(log_std) * eps
    logits = decode(p, z.reshape(-1, z.shape[-1])).reshape(samples, *x.shape)
    log_px = bernoulli(jnp.broadcast_to(x, logits.shape), logits)
    if samples == 1:
        return (0.5 * (mu**2 + jnp.exp(2 * log_std) - 1) - log_std).sum(-1).mean() - log_px.mean()
    log_w = log_px - 0.5 * (z**2).sum(-1) + (0.5 * eps**2 + log_std).sum(-1)
    return math.log(samples) - logsumexp(log_w, 0).mean()


def train(problem: Problem, gate: Gate) -> None:
    """Train, a pass a call."""
    work = problem.workload
    params, encode, decode = networks(problem)
    latent = work.settings.get("latent", 20)
    state, key = adam_state(params), jax.random.key(problem.seed, impl="unsafe_rbg")
    x = jnp.asarray(problem.x.reshape(len(problem.x), -1))

    def step(carry: Any, rows: Any) -> Any:
        p, state, key = carry
        key, own = jax.random.split(key)
        eps = jax.random.normal(own, (work.samples, work.batch, latent))
        batch = x[rows].astype(jnp.float32)
        loss, grads = jax.value_and_grad(lambda q: loss_of(encode, decode, q, batch, eps))(p)
        return (*adam(p, grads, state), key), loss

    def batches(key: Any) -> Any:
        return jax.random.permutation(key, len(x)).reshape(-1, work.batch)

    @jax.jit
    def one_pass(p: Values, state: Any, key: Any) -> Any:
        key, own = jax.random.split(key)
        return jax.lax.scan(step, (p, state, key), batches(own))

    one_step = jax.jit(step)

    def step_by_step(p: Values, state: Any, key: Any) -> Any:
        """XLA's convolutions on a CPU are fast only outside a scan."""
        key, own = jax.random.split(key)
        carry, losses = (p, state, key), []
        for rows in batches(own):
            carry, loss = one_step(carry, rows)
            losses.append(loss)
        return carry, jnp.stack(losses)

    do = step_by_step if "logit" in problem.weights else one_pass
    while True:
        (params, state, key), losses = do(params, state, key)
        losses.block_until_ready()
        gate(lambda params=params: exported(params))  # type: ignore[misc]


def score(problem: Problem, gate: Gate, samples: int = 5000, chunk: int = 1000) -> None:
    """log p(x) of the problem's images, all in one call."""
    params, encode, decode = networks(problem)
    x = jnp.asarray(problem.x.reshape(len(problem.x), -1)).astype(jnp.float32)

    def chunk_of(carry: Any, _: Any) -> Any:
        key, row, mu, log_std = carry
        key, own = jax.random.split(key)
        eps = jax.random.normal(own, (chunk, len(mu)))
        z = mu + jnp.exp(log_std) * eps
        logits = decode(params, z)
        log_px = logits @ row - softplus(logits).sum(-1)
        log_w = log_px - 0.5 * (z**2).sum(-1) + (0.5 * eps**2 + log_std).sum(-1)
        return (key, row, mu, log_std), logsumexp(log_w)

    @jax.jit
    def log_mean(key: Any) -> Any:
        mu, log_std = encode(params, x)
        keys = jax.random.split(key, len(x))
        parts = jax.lax.map(lambda own: jax.lax.scan(chunk_of, own, None, samples // chunk)[1], (keys, x, mu, log_std))
        return logsumexp(parts, 1) - math.log(samples)

    key = jax.random.key(problem.seed, impl="unsafe_rbg")
    while True:
        key, own = jax.random.split(key)
        found = np.asarray(log_mean(own))
        gate(lambda found=found: {"log_likelihood": found})  # type: ignore[misc]
