"""PyTorch's module paths lead to the same objects."""

from __future__ import annotations

import importlib

import pytest

import flambeau
from flambeau import nn

PATHS = {"modules.module": "Module", "modules.conv": "Conv2d", "modules.conv ": "_ConvNd",
         "modules.batchnorm": "_BatchNorm", "modules.linear": "Linear", "modules.rnn": "LSTM",
         "modules.container": "Sequential", "modules.activation": "MultiheadAttention",
         "modules.utils": "_pair", "modules.loss": "_Loss", "modules.pooling": "MaxPool2d",
         "modules.normalization": "LayerNorm", "modules.instancenorm": "_InstanceNorm",
         "modules.sparse": "Embedding", "modules.dropout": "_DropoutNd",
         "modules.transformer": "TransformerEncoder", "modules.lazy": "LazyModuleMixin",
         "modules.padding": "ZeroPad2d", "modules.pixelshuffle": "PixelShuffle",
         "modules.upsampling": "Upsample", "modules.fold": "Fold", "modules.flatten": "Flatten",
         "modules.distance": "CosineSimilarity", "modules.channelshuffle": "ChannelShuffle",
         "modules.adaptive": "AdaptiveLogSoftmaxWithLoss", "parameter": "Parameter",
         "utils.rnn": "PackedSequence", "utils.clip_grad": "clip_grad_norm_",
         "utils.parametrize": "register_parametrization", "utils.weight_norm": "weight_norm",
         "utils.convert_parameters": "parameters_to_vector", "utils.prune": "l1_unstructured",
         "utils.stateless": "functional_call", "utils.fusion": "fuse_conv_bn_eval",
         "attention": "sdpa_kernel", "common_types": "_size_2_t", "functional": "relu",
         "init": "xavier_uniform_"}


@pytest.mark.parametrize("path, name", [(p.strip(), n) for p, n in PATHS.items()])
def test_path(path, name):
    module = importlib.import_module("flambeau.nn." + path)
    found = getattr(module, name)
    assert getattr(nn, name, found) is found or callable(found)


def test_names():
    assert nn is flambeau.nn
    assert nn.modules.Linear is nn.Linear and nn.modules.Module is nn.Module
    assert nn.modules.conv.Conv2d is nn.Conv2d
    assert nn.modules.module.Module is nn.Module
    assert nn.utils.clip_grad_norm_ is nn.utils.clip_grad.clip_grad_norm_


def test_data_parallel_names():
    net = nn.DataParallel(nn.Linear(2, 2))
    assert list(net.state_dict()) == ["module.weight", "module.bias"]
    assert tuple(net(flambeau.zeros(3, 2)).shape) == (3, 2)


def test_mixed_precision():
    importlib.import_module("flambeau.amp")
    with flambeau.amp.autocast("cpu"):
        layer = nn.LSTM(3, 4)
        x = nn.functional.linear(flambeau.randn(5, 2, 3), flambeau.randn(3, 3))
        assert layer(x)[0].dtype is flambeau.bfloat16
