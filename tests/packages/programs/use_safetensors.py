# needs: safetensors
"""safetensors: files and bytes, whole models, tied weights, errors."""

import os
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, load_model, save, save_file, save_model
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
save_file(model.state_dict(), path, metadata={"format": "pt"})
found = load_file(path)
print({k: (v.dtype, v.shape) for k, v in sorted(found.items())})
other = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
print(other.load_state_dict(found))
print(all(map(torch.equal, model.state_dict().values(), other.state_dict().values())))

data = save({"x": torch.arange(6.0).view(2, 3), "h": torch.ones(3, dtype=torch.bfloat16),
             "f16": torch.ones(2, dtype=torch.float16), "b": torch.tensor([True, False]),
             "i": torch.arange(3, dtype=torch.int16), "s": torch.tensor(5)})
print(len(data), sorted((k, str(v)) for k, v in load(data).items()))
with safe_open(path, framework="pt") as file:
    print(sorted(file.keys()), file.metadata(), file.get_tensor("0.weight").sum().item())
    part = file.get_slice("0.weight")
    print(part[1:, :2].tolist(), part.get_shape())
found["0.bias"].add_(1)  # loaded tensors can be written; the file stays as it is
print(torch.equal(load_file(path)["0.bias"], model[0].bias))

save_model(model, path)
load_model(other, path)
print(other[0].bias.tolist())
tied = nn.ModuleList([nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)])
tied[1].weight = tied[0].weight
save_model(tied, path)
print(load_model(tied, path))
for tensors in (tied.state_dict(), {"a": torch.ones(3, 4).t()}):
    try:
        save_file(tensors, path)
    except (RuntimeError, ValueError) as error:
        print(type(error).__name__, str(error).strip()[:60])
