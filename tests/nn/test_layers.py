"""Layers: printing, initial values, state names, errors and results, as under PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

#: constructor calls, as expressions over ``nn``
LAYERS = """
Identity(3, a=1); Linear(3, 2); Linear(3, 2, bias=False); Bilinear(2, 3, 4); Flatten()
Flatten(0, 2); Unflatten(1, (2, 3)); Conv1d(4, 6, 3); Conv1d(4, 6, 3, groups=2, bias=False)
Conv2d(3, 4, (3, 5), stride=2, padding=(1, 2), dilation=2, padding_mode='reflect')
Conv2d(3, 4, 3, padding='same'); Conv3d(2, 4, 3); ConvTranspose1d(3, 4, 3, 2, output_padding=1)
ConvTranspose2d(4, 6, 3, groups=2, dilation=2); ConvTranspose3d(2, 3, 2); MaxPool1d(2)
MaxPool2d(3, 2, 1, return_indices=True, ceil_mode=True); MaxPool3d((1, 2, 3)); MaxUnpool2d(2, 3)
AvgPool1d(2); AvgPool2d((2, 3), padding=1); AvgPool3d(2); LPPool1d(2, 3); LPPool2d(1.5, 2, 3)
AdaptiveAvgPool1d(3); AdaptiveAvgPool2d((2, None)); AdaptiveAvgPool3d(1); AdaptiveMaxPool2d(5)
FractionalMaxPool2d(2, output_ratio=0.5); ReflectionPad1d(2); ReflectionPad2d((1, 2, 3, 4))
ReplicationPad3d(1); ZeroPad1d(1); ZeroPad2d((1, 2, 0, 1)); ZeroPad3d(2); ConstantPad2d(1, 3.5)
CircularPad1d((1, 2)); ReLU(); ReLU(True); ReLU6(); RReLU(); Hardtanh(-2, 2); Sigmoid(); Tanh()
Hardsigmoid(True); SiLU(inplace=True); Mish(); Hardswish(True); ELU(2.0); CELU(1.5, True)
SELU(True); GLU(); GELU(); GELU('tanh'); Hardshrink(); LeakyReLU(0.2); LeakyReLU(0.2, True)
LogSigmoid(); Softplus(2, 10); Softshrink(0.2); PReLU(); PReLU(3, 0.1); Softsign(); Tanhshrink()
Softmin(1); Softmax(-1); Softmax2d(); LogSoftmax(1); Threshold(0.1, 2.0, True); Dropout(0.3)
Dropout2d(0.1, True); AlphaDropout(); FeatureAlphaDropout(0.2); BatchNorm1d(4)
BatchNorm2d(3, momentum=None, affine=False); BatchNorm3d(2, track_running_stats=False)
BatchNorm1d(3, bias=False); InstanceNorm1d(3)
InstanceNorm2d(3, affine=True, track_running_stats=True); LayerNorm(4)
LayerNorm((2, 3), bias=False); LayerNorm(3, elementwise_affine=False); GroupNorm(2, 4)
GroupNorm(2, 4, bias=False); RMSNorm((3, 4)); LocalResponseNorm(3); CrossMapLRN2d(3)
Embedding(5, 3); Embedding(5, 3, padding_idx=-2, max_norm=1)
EmbeddingBag(5, 3, mode='sum', padding_idx=1); RNN(3, 4)
RNN(3, 4, 2, nonlinearity='relu', dropout=0.2); LSTM(3, 4)
LSTM(3, 4, 2, batch_first=True, bidirectional=True, proj_size=2); GRU(3, 4, bias=False)
RNNCell(2, 3, nonlinearity='relu'); LSTMCell(2, 3, bias=False); GRUCell(2, 3)
MultiheadAttention(8, 2); MultiheadAttention(8, 2, kdim=3, vdim=5, add_bias_kv=True, bias=False)
TransformerEncoderLayer(4, 2, 6); TransformerDecoderLayer(4, 2, 6, norm_first=True, bias=False)
TransformerEncoder(TransformerEncoderLayer(4, 2, 6, batch_first=True), 2, LayerNorm(4))
Transformer(4, 2, 1, 1, 6); Upsample(scale_factor=2); Upsample((3, 4), mode='bilinear')
UpsamplingNearest2d(scale_factor=3); UpsamplingBilinear2d(size=4); PixelShuffle(2)
PixelUnshuffle(3); ChannelShuffle(2); Fold((4, 5), 2); Unfold(3, padding=1); CosineSimilarity()
PairwiseDistance(1); L1Loss(); NLLLoss(); PoissonNLLLoss(); GaussianNLLLoss()
KLDivLoss(reduction='batchmean'); MSELoss(); BCELoss(); BCEWithLogitsLoss()
HingeEmbeddingLoss(); MultiLabelMarginLoss(); SmoothL1Loss(beta=2); HuberLoss()
SoftMarginLoss(); CrossEntropyLoss(label_smoothing=0.1); MultiLabelSoftMarginLoss()
CosineEmbeddingLoss(); MarginRankingLoss(); MultiMarginLoss(); TripletMarginLoss(); CTCLoss()
TripletMarginWithDistanceLoss(); AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10])
LinearCrossEntropyLoss(3, 4); LazyLinear(3); LazyConv2d(4, 3, 2); LazyConvTranspose1d(2, 3)
LazyBatchNorm2d(); LazyInstanceNorm1d(); SyncBatchNorm(3); Linear(0, 3)
Linear(2, 2, dtype=T.float64); MaxPool2d(kernel_size=2, stride=3)
""".replace("\n", ";").split(";")
LAYERS = [text.strip() for text in LAYERS if text.strip()]

#: constructor calls that are refused
REFUSED = """
Conv2d(3, 4, 3, groups=2); Conv2d(4, 3, 3, groups=2); Conv1d(1, 1, 1, groups=0)
Bilinear(0, 1, 1); Conv2d(1, 1, 1, padding='no'); Conv2d(1, 1, 3, 2, padding='same')
Conv1d(1, 1, 1, padding_mode='x'); ConvTranspose2d(1, 1, 1, padding_mode='reflect')
Dropout(1.5); Dropout(-0.1); GroupNorm(3, 4); MultiheadAttention(7, 2); MultiheadAttention(0, 2)
Embedding(3, 2, padding_idx=3); Embedding(3, 2, padding_idx=-4); LSTM(3, 4, dropout=2)
LSTM(0, 4); LSTM(3, 0); LSTM(3, 4, 0); LSTM(3, 4, proj_size=4); LSTM(3, 4, bias=1); LSTM('a', 3)
GRU(3, 4, proj_size=2); RNN(3, 4, 1, 'x'); TransformerEncoderLayer(4, 2, activation='x')
MultiMarginLoss(p=3); TripletMarginLoss(margin=0); AdaptiveLogSoftmaxWithLoss(3, 4, [])
AdaptiveLogSoftmaxWithLoss(3, 4, [3, 2]); Hardtanh(2, 1); FractionalMaxPool2d(2)
FractionalMaxPool2d(2, 3, 0.5); FractionalMaxPool2d(2, output_ratio=2); Unflatten(1, 3)
Unflatten(1, (2, 'x')); Linear(2); Linear(2, 3, 4, 5, 6, 7)
LinearCrossEntropyLoss(3, 4, label_smoothing=2.0); Linear(-1, 2)
""".replace("\n", ";").split(";")
REFUSED = [text.strip() for text in REFUSED if text.strip()]


def build(text: str, T):
    T.manual_seed(3)
    return eval(text, {"T": T, **{n: getattr(T.nn, n) for n in dir(T.nn) if n[0].isupper()}})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", LAYERS)
def test_made_as_torch(text):
    ours, theirs = build(text, flambeau), build(text, torch)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    if "Lazy" in text:
        return
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        if not isinstance(a, flambeau.Tensor):
            continue
        assert str(a.dtype) == str(b.dtype) and tuple(a.shape) == tuple(b.shape), name
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-6, atol=1e-7, err_msg=name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", REFUSED)
def test_refused_as_torch(text):
    with pytest.raises(Exception) as theirs:
        build(text, torch)
    kind = next(k for k in type(theirs.value).__mro__ if k.__module__ == "builtins")
    with pytest.raises(kind):
        build(text, flambeau)


INITS = """
uniform_(w, -1, 2); normal_(w, 1.0, 0.5); trunc_normal_(w); trunc_normal_(w, 0.0, 1.0, 1.0, 3.0)
trunc_normal_(w, std=0.02); constant_(w, 3.0); ones_(w); zeros_(w); eye_(w)
xavier_uniform_(w, 2.0); xavier_normal_(w); kaiming_uniform_(w, a=0.1)
kaiming_normal_(w, mode='fan_out', nonlinearity='relu'); kaiming_normal_(w, nonlinearity='selu')
dirac_(c); dirac_(c, 2); xavier_normal_(c); orthogonal_(w); orthogonal_(c, 2.0); sparse_(w, 0.3)
""".replace("\n", ";").split(";")


@pytest.mark.parametrize("text", [t.strip() for t in INITS if t.strip()])
def test_init(text):
    results = []
    for T in (flambeau, torch):
        T.manual_seed(7)
        names = {"w": T.empty(17, 19), "c": T.empty(4, 2, 3)}
        results.append(eval("init." + text, {"init": T.nn.init, **names}).numpy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


def test_calculate_gain():
    for args in (("linear",), ("tanh",), ("relu",), ("leaky_relu",), ("leaky_relu", 0.2),
                 ("selu",)):
        assert flambeau.nn.init.calculate_gain(*args) == torch.nn.init.calculate_gain(*args)
    with pytest.raises(ValueError):
        flambeau.nn.init.calculate_gain("no")


def both(function, rtol=1e-4, atol=1e-5):
    """Run under both; nested results must agree."""
    compare(function(flambeau), function(torch), rtol, atol)


def compare(a, b, rtol, atol):
    if isinstance(a, (flambeau.Tensor,)):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=atol)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            compare(x, y, rtol, atol)
    else:
        assert a == b


def data(T, *shape, seed=0):
    return T.tensor(np.random.RandomState(seed).randn(*shape).astype(np.float32))


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True},
                                     {"bias": False, "batch_first": True}])
def test_recurrent_layers_with_packed_sequences(mode, options):
    def run(T):
        T.manual_seed(0)
        layer = getattr(T.nn, mode)(3, 4, **options)
        first = layer.batch_first
        x = data(T, 3, 5, 3) if first else data(T, 5, 3, 3)
        lengths = T.tensor([3, 5, 1])
        packed = T.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=first,
                                                     enforce_sorted=False)
        out, last = layer(packed)
        back, sizes = T.nn.utils.rnn.pad_packed_sequence(out, batch_first=first, padding_value=2.0)
        back.sum().backward()
        return [packed.data, packed.batch_sizes.tolist(), back, sizes.tolist(), last,
                [p.grad for p in layer.parameters()], layer(x)]

    both(run)


def test_recurrent_errors():
    for T in (flambeau, torch):
        layer = T.nn.LSTM(3, 4)
        for bad in (T.zeros(2), T.zeros(2, 2, 2), T.zeros(1, 1, 1, 1)):
            with pytest.raises((RuntimeError, ValueError)):
                layer(bad)
        with pytest.raises(RuntimeError, match=r"Expected hidden\[0\] size \(1, 2, 4\), got"):
            layer(T.zeros(5, 2, 3), (T.zeros(1, 1, 4), T.zeros(1, 2, 4)))
        with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 2, 4\), got"):
            T.nn.GRU(3, 4)(T.zeros(5, 2, 3), T.zeros(1, 1, 4))
        with pytest.raises(ValueError, match="does not match weight dtype"):
            layer(T.zeros(5, 2, 3, dtype=T.float64))


def test_attention_masks():
    def run(T):
        T.manual_seed(0)
        layer = T.nn.MultiheadAttention(4, 2, batch_first=True, add_zero_attn=True)
        q, k = data(T, 2, 3, 4), data(T, 2, 5, 4, seed=1)
        pad = T.tensor([[False] * 5, [False, False, False, True, True]])
        mask = data(T, 4, 3, 5, seed=2) > 0.8
        return [layer(q, k, k, key_padding_mask=pad, attn_mask=mask),
                layer(q, k, k, need_weights=False)[0], layer(q[0], k[0], k[0]),
                layer(q, q, q, average_attn_weights=False)]

    both(run)


def test_encoder_leaves_padding_out():
    def run(T):
        T.manual_seed(0)
        layer = T.nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
        net = T.nn.TransformerEncoder(layer, 2).eval()
        x = data(T, 2, 3, 4)
        pad = T.tensor([[False, False, False], [False, True, True]])
        out = [net(x, src_key_padding_mask=pad)]
        with T.no_grad():
            out.append(net(x, src_key_padding_mask=pad))
        return out

    both(run)


def test_lazy_layers():
    def run(T):
        nn = T.nn
        net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(),
                            nn.LazyLinear(2))
        before = [repr(net), net[0].has_uninitialized_params(), type(net[4].weight).__name__]
        T.manual_seed(0)
        y = net(data(T, 2, 3, 5, 5))
        other = nn.LazyLinear(2)
        other.load_state_dict(net[4].state_dict())
        return [*before, repr(net), y, type(net[0].weight).__name__, list(net.state_dict()),
                tuple(other.weight.shape)]

    both(run)
