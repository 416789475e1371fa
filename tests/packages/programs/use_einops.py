# needs: einops
"""einops: functions, layers, errors."""

import torch
from einops import asnumpy, einsum, pack, parse_shape, rearrange, reduce, repeat, unpack
from einops.layers.torch import EinMix, Rearrange, Reduce
from torch import nn

torch.manual_seed(0)
x = torch.randn(2, 3, 4, 6, requires_grad=True)
y = rearrange(x, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=3)
print(y.shape, y.sum().item(), y[0, 1, :4].tolist())
print(reduce(x, "b c h w -> b c", "mean").tolist())
print(reduce(x, "b c (h 2) (w 2) -> b c h w", "max").sum().item())
print(reduce(x, "b c h w -> h", "prod").tolist(), reduce(x, "b c h w -> ", "min").item())
print(repeat(x, "b c h w -> b (c 2) h w").shape)
products = einsum(x, x, "b c h w, b d h w -> b c d")
print(products.tolist())
products.sum().backward()
print(x.grad.sum().item())

net = nn.Sequential(Rearrange("b c h w -> b (c h w)"), nn.Linear(72, 8), nn.ReLU(),
                    Rearrange("b (x y) -> b x y", y=2), Reduce("b x y -> b y", "sum"))
print(net)
print(net(x).tolist())
mix = EinMix("b c h w -> b h w d", weight_shape="c d", bias_shape="d", c=3, d=5)
print(mix, mix(x).sum().item())

packed, shapes = pack([torch.ones(2, 3), torch.zeros(2, 4, 5)], "b *")
print(packed.shape, shapes, [t.shape for t in unpack(packed, shapes, "b *")])
print(parse_shape(x, "b c h w"), asnumpy(x.detach()).shape)
try:
    rearrange(x, "b c (h 5) w -> b c h w")
except Exception as error:
    print(type(error).__name__, str(error)[:80])
