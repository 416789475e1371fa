# needs: lovely_tensors lovely_numpy fastcore matplotlib
"""lovely-tensors: summaries in place of numbers."""

import lovely_tensors as lt
import torch

torch.manual_seed(0)
x = torch.randn(3, 4)
print(lt.lovely(x))
print(lt.lovely(x, verbose=True))
lt.monkey_patch()
print(x)
print(x.deeper)
print(torch.zeros(2, 3), torch.tensor([1, 2, 3]), torch.tensor(4.5))
print(x.requires_grad_())
print(x * 2)
print(torch.tensor([float("nan"), 1.0, float("inf")]), torch.ones(3, dtype=torch.bool))
print(x.p)
print(x.v)
print(torch.nn.Parameter(torch.ones(2)))
print(torch.randn(100).half(), torch.randn(3).to(torch.complex64))
