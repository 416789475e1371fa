# needs: torchdiffeq scipy
"""Ordinary differential equations: values and gradients, by recorded and adjoint derivatives."""

import torch
from torch import nn
from torchdiffeq import odeint, odeint_adjoint, odeint_event


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, t, y):
        return self.net(y ** 3)


torch.manual_seed(0)
field = Field()
start = torch.tensor([[2.0, 0.0]], requires_grad=True)
times = torch.linspace(0.0, 2.0, 5)
for method in ("dopri5", "rk4", "euler", "midpoint"):
    for solve in (odeint, odeint_adjoint):
        field.zero_grad()
        start.grad = None
        path = solve(field, start, times, method=method, rtol=1e-4, atol=1e-4)
        path.pow(2).sum().backward()
        print(method, solve.__name__, [round(v, 3) for v in path[-1, 0].tolist()],
              [round(v, 2) for v in start.grad[0].tolist()],
              round(field.net[0].weight.grad.sum().item(), 2))
time, states = odeint_event(
    lambda t, y: torch.stack([y[1], torch.tensor(-9.8)]), torch.tensor([1.0, 0.0]),
    torch.tensor(0.0), event_fn=lambda t, y: y[0], method="dopri5", atol=1e-5, rtol=1e-5)
print(round(time.item(), 3), [round(v, 3) for v in states[-1].tolist()])
pair = odeint(lambda t, y: (-y[0], -2 * y[1]), (torch.ones(2), torch.ones(3)), times)
print(pair[0][-1], pair[1][-1])
