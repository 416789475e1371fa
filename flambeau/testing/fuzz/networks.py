"""Networks whose forward pass is more than a stack: weights that are shared, states that are kept,
choices that depend on values. Each takes (batch, WIDTH) and gives (batch, 3).
"""

from __future__ import annotations

HEAD = """
class NAME(torch.nn.Module):
    depth = 2
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(WIDTH, WIDTH)
        self.last = torch.nn.Linear(WIDTH, 3)
"""

TIED = HEAD + """
        self.second = torch.nn.Linear(WIDTH, WIDTH)
        self.second.weight = self.first.weight
    def forward(self, x):
        return self.last(self.second(self.first(x).tanh()))
"""
TRANSPOSED = HEAD + """
    def forward(self, x):
        h = torch.nn.functional.linear(self.first(x).relu(), self.first.weight.t())
        return self.last(h * 0.5 + x)
"""
REPEATED = HEAD + """
    def forward(self, x):
        for k in range(self.depth):
            x = x + 0.5 * self.first(x).tanh()
        return self.last(x)
"""
RUNNING = HEAD + """
        self.register_buffer('mean', torch.zeros(WIDTH))
        self.register_buffer('moments', torch.ones(2, WIDTH))
        self.register_buffer('count', torch.zeros((), dtype=torch.long))
    def forward(self, x):
        if self.training:
            self.count += 1
            with torch.no_grad():
                self.mean.lerp_(x.mean(0), 0.2)
                self.moments[0].mul_(0.9).add_(x.abs().mean(0), alpha=0.1)
                self.moments[1] = self.moments[1] * 0.5 + 0.5
        return self.last(self.first((x - self.mean) / (self.moments.sum(0) + 0.1)).relu())
"""
RECURRENT = HEAD + """
        self.cell = torch.nn.GRUCell(WIDTH, WIDTH)
        self.hidden = None
    def forward(self, x):
        fits = self.hidden is not None and len(self.hidden) == len(x)
        h = self.cell(x, self.hidden if fits else torch.zeros(len(x), WIDTH))
        self.hidden = h.detach()
        return self.last(h)
"""
CHOOSING = HEAD + """
        self.second = torch.nn.Linear(WIDTH, WIDTH)
    def forward(self, x):
        if x.float().mean() > 0:
            x = self.first(x).relu()
        else:
            x = self.second(x).tanh()
        return self.last(x)
"""
SKIPPING = HEAD + """
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(WIDTH, WIDTH) for k in range(3)])
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        for k, m in enumerate(self.blocks):
            if self.training and self.calls % 5 == 4 and k == 1:
                continue
            x = x + m(x).tanh()
        return self.last(x)
"""
EXPERTS = HEAD + """
        self.router = torch.nn.Linear(WIDTH, 2)
        self.experts = torch.nn.ModuleList([torch.nn.Linear(WIDTH, WIDTH) for k in range(2)])
    def forward(self, x):
        weight, chosen = self.router(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for k, expert in enumerate(self.experts):
            rows = (chosen == k).nonzero().squeeze(-1)
            out[rows] = expert(x[rows]) * weight[rows, None]
        return self.last(out + self.first(x))
"""
SPARED = HEAD + """
        self.body = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.Tanh())
    def forward(self, x):
        x = torch.utils.checkpoint.checkpoint(self.body, x, use_reentrant=False)
        return self.last(self.first(x).sigmoid())
"""
RULED = """
class NAMERule(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w.tanh()
    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g * w.tanh(), (g * x).sum(0) * (1 - w.tanh().square())
""" + HEAD.lstrip("\n") + """
        self.scale = torch.nn.Parameter(torch.ones(WIDTH))
    def forward(self, x):
        return self.last(NAMERule.apply(self.first(x), self.scale))
"""
NORMED = HEAD + """
        self.second = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(WIDTH, WIDTH))
        self.norm = torch.nn.BatchNorm1d(WIDTH)
    def forward(self, x):
        x = self.norm(self.first(x)) if len(x) > 1 else self.first(x)
        return self.last(self.second(x).relu())
"""
WRITING = HEAD + """
    def forward(self, x):
        steps = torch.zeros(3, *x.shape)
        steps[0] = self.first(x)
        for k in range(1, 3):
            steps[k] = self.first(steps[k - 1].clone()).tanh()
        return self.last(steps.mean(0))
"""
REMEMBERING = HEAD + """
        self.register_buffer('keys', torch.zeros(5, WIDTH))
        self.register_buffer('place', torch.zeros((), dtype=torch.long), persistent=False)
        self.turn = 0
    def forward(self, x):
        h = self.first(x)
        scores = (h @ self.keys.clone().t()).softmax(-1)
        out = self.last(h + scores @ self.keys.clone())
        if self.training:
            self.keys[self.turn % 5] = h.detach().mean(0)
            self.keys[(self.turn + 1) % 5].mul_(0.9)
            self.turn += 1
            self.place.fill_(self.turn)
        return out
"""
GROWN = HEAD + """
        self.low = torch.nn.Parameter(torch.randn(WIDTH, 2) * 0.3)
        self.high = torch.nn.Parameter(torch.zeros(2, WIDTH))
        self.first.requires_grad_(False)
    def forward(self, x):
        return self.last((self.first(x) + x @ self.low @ self.high).relu())
"""
LISTED = HEAD + """
        self.tables = torch.nn.ParameterDict({k: torch.nn.Parameter(torch.ones(WIDTH) * n)
                                              for n, k in enumerate('xyz')})
    def forward(self, x):
        x = self.first(x * self.tables['y'] + self.tables['x'])
        return self.last(torch.addcmul(x, x.sigmoid(), self.tables['z'], value=0.5))
"""
HEADED = HEAD + """
        self.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH)
    def forward(self, x):
        q, k, v = self.qkv(x).view(len(x), 2, -1, 3).permute(3, 1, 0, 2)
        a = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        h = (a @ v).transpose(0, 1).reshape(len(x), -1)
        return self.last(x + self.first(h))
"""

NETWORKS = tuple(text.replace("\n\n", "\n") for text in (
    TIED, TRANSPOSED, REPEATED, RUNNING, RECURRENT, CHOOSING, SKIPPING, EXPERTS, SPARED, RULED,
    NORMED, WRITING, REMEMBERING, GROWN, LISTED, HEADED))
