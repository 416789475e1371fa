# needs: vit_pytorch einops
"""vit-pytorch: vision transformers forward and backward, features."""

import sys
import types

import torch

# the package imports torchvision's transforms for a part that is not used here
vision = sys.modules["torchvision"] = types.ModuleType("torchvision")
vision.transforms = types.ModuleType("transforms")

from vit_pytorch import SimpleViT, ViT  # noqa: E402
from vit_pytorch.cait import CaiT  # noqa: E402
from vit_pytorch.cvt import CvT  # noqa: E402
from vit_pytorch.extractor import Extractor  # noqa: E402

torch.manual_seed(0)
SIZES = dict(image_size=32, patch_size=8, num_classes=10, dim=32, heads=2, mlp_dim=64)
vit = ViT(depth=2, **SIZES)
images = torch.randn(2, 3, 32, 32)
print(vit)
cvt = CvT(num_classes=10, s1_emb_dim=8, s1_heads=1, s2_emb_dim=16, s2_heads=1, s2_depth=1,
          s3_emb_dim=16, s3_heads=1, s3_depth=1)
for model in (vit, SimpleViT(depth=2, **SIZES), CaiT(depth=1, cls_depth=1, **SIZES), cvt):
    out = model(images)
    loss = torch.nn.functional.cross_entropy(out, torch.tensor([1, 2]))
    loss.backward()
    grads = sum(p.grad.abs().sum().item() for p in model.parameters() if p.grad is not None)
    print(type(model).__name__, round(loss.item(), 3), out.shape, round(grads, 1))
logits, features = Extractor(vit)(images)
print(logits.shape, features.shape)
