# needs: tqdm
"""tqdm: bars over loaders and tensors."""

import sys

import torch
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

EACH = dict(file=sys.stdout, mininterval=0, miniters=1)
loader = DataLoader(TensorDataset(torch.arange(10.0)), batch_size=3)
total = 0
bar = tqdm(loader, ascii=True, bar_format="{desc} {n}/{total} {postfix}", **EACH)
for (batch,) in bar:
    total += batch.sum()
    bar.set_postfix(loss=batch.mean())
print(total)
for row in tqdm(torch.arange(4.0).view(2, 2), bar_format="{n}/{total}", **EACH):
    print(row)
print(len(list(tqdm(torch.ones(5), disable=True))))
