"""The workloads that have a JAX form, each one jitted function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(0)
WORKLOADS = {}


def randn(*shape):
    """Standard normal numbers on the device."""
    return jnp.asarray(RNG.standard_normal(shape, np.float32))


def _call(function, *args):
    jitted = jax.jit(function)
    return lambda: jax.block_until_ready(jitted(*args))


for sizes in ((512,) * 3, (1024,) * 3, (2048,) * 3, (2048, 128, 512), (32, 20, 64), (64, 784, 256)):
    WORKLOADS["matmul_" + "x".join(map(str, sizes))] = lambda s=sizes: _call(
        jnp.matmul, randn(s[0], s[1]), randn(s[1], s[2]))
WORKLOADS["relu(x*2+1)"] = lambda: _call(lambda x: jax.nn.relu(x * 2 + 1), randn(1024, 1024))
WORKLOADS["gelu"] = lambda: _call(lambda x: jax.nn.gelu(x, approximate=False), randn(1024, 1024))
WORKLOADS["softmax"] = lambda: _call(lambda x: jax.nn.softmax(x, -1), randn(1024, 1024))


def _layer_norm(x, w, b):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * w + b


def _layer_norm_both():
    x, g = randn(2048, 512), randn(2048, 512)
    both = lambda x, w, b: jax.vjp(_layer_norm, x, w, b)[1](g)  # noqa: E731
    return _call(both, x, jnp.ones(512), jnp.zeros(512))


WORKLOADS["layer_norm_forward_backward"] = _layer_norm_both


def _adam(params, grads, m, v, t):
    new = []
    for p, g, a, b in zip(params, grads, m, v, strict=True):
        a, b = 0.9 * a + 0.1 * g, 0.999 * b + 0.001 * g * g
        step = a / (1 - 0.9**t) / (jnp.sqrt(b / (1 - 0.999**t)) + 1e-8)
        new.append((p - 1e-3 * step, a, b))
    return [list(x) for x in zip(*new, strict=True)]


def _training(sizes, batch):
    params = [x for a, b in zip(sizes, sizes[1:], strict=False) for x in (randn(a, b) * 0.1,
                                                                         jnp.zeros(b))]
    xs = [np.asarray(randn(batch, sizes[0])) for _ in range(8)]
    ys = [RNG.integers(0, sizes[-1], batch) for _ in range(8)]

    def loss(params, x, y):
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = jax.nn.relu(x @ w + b)
        logits = jax.nn.log_softmax(x @ params[-2] + params[-1])
        return -logits[jnp.arange(batch), y].mean()

    @jax.jit
    def update(params, m, v, t, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return (*_adam(params, grads, m, v, t), value)

    zeros = [jnp.zeros_like(p) for p in params]
    state = [params, zeros, zeros, 0]

    def step():
        state[3] += 1
        *rest, value = update(*state[:3], float(state[3]), xs[state[3] % 8], ys[state[3] % 8])
        state[:3] = rest
        return float(value)

    return step


WORKLOADS["step_mlp_20_64_32_3"] = lambda: _training((20, 64, 32, 3), 32)
