# needs: einx sympy frozendict
"""einx: operations by notation."""

import einx
import torch

x = torch.arange(24.0).view(2, 3, 4)
print(einx.sum("a [b] c", x))
print(einx.id("a b c -> a (b c)", x).shape)
