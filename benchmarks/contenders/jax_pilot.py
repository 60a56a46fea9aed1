"""The JAX pilot of time to nats: Burda's schedule, pixels redrawn on the device inside the scan."""

from __future__ import annotations

__all__ = ["train"]

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.contenders.jax import adam, adam_state, exported, loss_of, networks
from benchmarks.workloads import Problem


def rate(passes: int) -> float:
    """Burda's learning rate after so many passes: 3^i passes at 0.001 · 10^(−i/7), i = 0 … 7."""
    stage, end = 0, 1
    while passes >= end and stage < 7:
        stage += 1
        end += 3**stage
    return 1e-3 * 10 ** (-stage / 7)


def train(problem: Problem, after_pass: Callable[..., None], passes: int) -> None:
    """Train for so many passes; `after_pass(number, weights)` is called after each."""
    params, encode, decode = networks(problem)
    latent, batch = problem.workload.settings["latent"], problem.workload.batch
    state, key = adam_state(params), jax.random.key(problem.seed, impl="unsafe_rbg")
    x = jnp.asarray(problem.x.reshape(len(problem.x), -1))

    @jax.jit
    def one_pass(p: Any, state: Any, key: Any, lr: Any) -> Any:
        key, own = jax.random.split(key)
        rows = jax.random.permutation(own, len(x))[: len(x) // batch * batch].reshape(-1, batch)

        def step(carry: Any, at: Any) -> Any:
            p, state, key = carry
            key, pixels, noise = jax.random.split(key, 3)
            share = x[at].astype(jnp.float32) / 255
            seen = (jax.random.uniform(pixels, share.shape) < share).astype(jnp.float32)
            eps = jax.random.normal(noise, (1, batch, latent))
            loss, grads = jax.value_and_grad(lambda q: loss_of(encode, decode, q, seen, eps))(p)
            return (*adam(p, grads, state, lr, eps=1e-4), key), loss

        return jax.lax.scan(step, (p, state, key), rows)

    for number in range(1, passes + 1):
        (params, state, key), losses = one_pass(params, state, key, rate(number - 1))
        losses.block_until_ready()
        after_pass(number, lambda params=params: exported(params))
