"""Dropout masks, and all that is drawn after them, are PyTorch's for the same seed."""

import numpy as np
import pytest

import flambeau
import flambeau.utils.checkpoint

torch = pytest.importorskip("torch")
pytest.importorskip("torch.utils.checkpoint")


def functions(t, dtype):
    F = t.nn.functional  # noqa: N806
    out = []
    for p in (0.1, 0.3, 0.5, 0.9):
        x = t.randn(7, 5).to(dtype)
        out += [F.dropout(x, p), F.dropout(x.t(), p), F.alpha_dropout(x, p, training=True)]
    images = t.randn(2, 3, 4, 4).to(dtype)
    out += [F.dropout2d(images, 0.5), F.dropout1d(images[0], 0.5), F.dropout3d(images[None], 0.5),
            F.feature_alpha_dropout(images, 0.5, training=True),
            F.dropout(images.permute(1, 3, 0, 2), 0.4)]
    return out


def recurrent(t):
    lstm = t.nn.LSTM(3, 4, 3, dropout=0.5, batch_first=True)
    gru = t.nn.GRU(3, 4, 2, dropout=0.3, bidirectional=True)
    x = t.randn(2, 5, 3)
    return [lstm(x)[0], gru(x)[0]]


def attention(t):
    q, x = t.randn(1, 2, 3, 4), t.randn(2, 5, 8)
    layers = [t.nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True),
              t.nn.TransformerEncoderLayer(8, 2, 16, 0.2, batch_first=True),
              t.nn.Transformer(8, 2, 1, 1, 16, 0.2, batch_first=True)]
    return [t.nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.5),
            layers[0](x, x, x)[0], layers[0](x, x, x, need_weights=False)[0], layers[1](x),
            layers[2](x, x)]


def training(t):
    nn, data = t.nn, t.utils.data
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 16),
                          nn.Dropout(0.5), nn.Tanh(), nn.Linear(16, 3))
    optimizer = t.optim.Adam(model.parameters(), lr=0.01)
    x, y = t.randn(64, 10), t.randint(0, 3, (64,))
    loader = data.DataLoader(data.TensorDataset(x, y), batch_size=16, shuffle=True)
    losses = []
    for _ in range(8):
        for a, b in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(a), b)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return losses


def recomputed(t):
    model = t.nn.Sequential(t.nn.Linear(3, 3), t.nn.Dropout(0.5), t.nn.Tanh())
    x = t.randn(4, 3, requires_grad=True)
    t.utils.checkpoint.checkpoint(model, x, use_reentrant=False).sum().backward()
    return [x.grad]


def mapped(t):
    drop = t.nn.functional.dropout
    return [t.vmap(lambda v: drop(v, 0.5), randomness=how)(t.ones(3, 40))
            for how in ("different", "same")]


def regions(t):
    return [t.nn.functional.fractional_max_pool2d(t.randn(2, 3, 9, 9), 2, output_size=4)]


PROGRAMS = [recurrent, attention, training, recomputed, mapped, regions,
            *(lambda t, dtype=d: functions(t, getattr(t, dtype))
              for d in ("float32", "float64", "bfloat16"))]


@pytest.mark.parametrize("program", PROGRAMS)
def test_as_torch(program):
    def results(module):
        module.manual_seed(3)
        return [x.detach().double().numpy() for x in (*program(module), module.rand(3))]

    for ours, theirs in zip(results(flambeau), results(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)
