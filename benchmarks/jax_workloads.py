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


def _parameters(sizes):
    return [x for a, b in zip(sizes, sizes[1:], strict=False) for x in (randn(a, b) * 0.1,
                                                                       jnp.zeros(b))]


def _cross_entropy(logits, y):
    return -jax.nn.log_softmax(logits)[jnp.arange(len(y)), y].mean()


def _training(loss, params, carried, batch, features, classes):
    """A loop around one jitted update by Adam.

    Args:
        loss: ``loss(params, carried, x, y) -> (value, carried)``; ``carried`` is what a step hands
            on besides the parameters (statistics, keys).
    """
    xs = [np.asarray(randn(batch, features)) for _ in range(8)]
    ys = [RNG.integers(0, classes, batch) for _ in range(8)]

    @jax.jit
    def update(params, m, v, carried, t, x, y):
        (value, carried), grads = jax.value_and_grad(loss, has_aux=True)(params, carried, x, y)
        return (*_adam(params, grads, m, v, t), carried, value)

    zeros = [jnp.zeros_like(p) for p in params]
    state = [params, zeros, zeros, carried, 0]

    def step():
        state[4] += 1
        *rest, value = update(*state[:4], float(state[4]), xs[state[4] % 8], ys[state[4] % 8])
        state[:4] = rest
        return float(value)

    return step


def _mlp_20_64_32_3():
    def loss(params, carried, x, y):
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = jax.nn.relu(x @ w + b)
        return _cross_entropy(x @ params[-2] + params[-1], y), carried

    return _training(loss, _parameters((20, 64, 32, 3)), (), 32, 20, 3)


def _mlp_784_256_128_10():
    """With batch norm (running statistics too) and dropout after the first layer."""

    def loss(params, carried, x, y):
        w1, b1, w2, b2, w3, b3, scale, shift = params
        mean, var, key = carried
        key, now = jax.random.split(key)
        x = x @ w1 + b1
        m, v = x.mean(0), x.var(0)
        x = jax.nn.relu((x - m) * jax.lax.rsqrt(v + 1e-5) * scale + shift)
        x = x * jax.random.bernoulli(now, 0.7, x.shape) / 0.7
        x = jax.nn.relu(x @ w2 + b2)
        kept = 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v * 64 / 63, key
        return _cross_entropy(x @ w3 + b3, y), jax.lax.stop_gradient(kept)

    params = [*_parameters((784, 256, 128, 10)), jnp.ones(256), jnp.zeros(256)]
    return _training(loss, params, (jnp.zeros(256), jnp.ones(256), jax.random.key(0)), 64, 784, 10)


WORKLOADS["step_mlp_20_64_32_3"] = _mlp_20_64_32_3
WORKLOADS["step_mlp_784_256_128_10"] = _mlp_784_256_128_10


def _adam_17_tensors():
    shapes = [(256, 64), (64, 64), *[(192, 64), (192,), (64, 64), (64,), (256, 64), (256,),
                                     (64, 256), (64,)] * 2][:16] + [(1000, 400)]
    params = [randn(*s) for s in shapes]
    grads = [randn(*s) for s in shapes]
    zeros = [jnp.zeros_like(p) for p in params]
    jitted = jax.jit(lambda p, m, v, t: _adam(p, grads, m, v, t))
    state = [params, zeros, zeros, 0]

    def step():
        state[3] += 1
        state[:3] = jitted(*state[:3], float(state[3]))
        jax.block_until_ready(state[0])

    return step


WORKLOADS["adam_17_tensors"] = _adam_17_tensors
