# needs: torchmetrics lightning_utilities
"""torchmetrics: metrics of classification, regression, images and text."""

import copy
import pickle

import torch
import torchmetrics.functional as metric
from torchmetrics import (AUROC, Accuracy, ConfusionMatrix, F1Score, MeanMetric, MeanSquaredError,
                          MetricCollection, PearsonCorrCoef, Precision, R2Score, Recall)
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from torchmetrics.text import Perplexity, WordErrorRate

torch.manual_seed(0)
KIND = dict(task="multiclass", num_classes=5)
accuracy, f1, mean = Accuracy(**KIND), F1Score(**KIND, average="macro"), MeanMetric()
confusion, auroc = ConfusionMatrix(**KIND), AUROC(**KIND)
both = MetricCollection({"p": Precision(**KIND, average="macro"),
                         "r": Recall(**KIND, average="macro")})
for i in range(4):
    logits, y = torch.randn(16, 5), torch.randint(5, (16,))
    print(accuracy(logits, y).item(), f1(logits, y).item())
    mean.update(logits.mean(), weight=i + 1)
    confusion.update(logits, y)
    auroc.update(logits.softmax(-1), y)
    both.update(logits, y)
print(accuracy.compute(), f1.compute(), mean.compute(), auroc.compute())
print(confusion.compute())
print({k: v.item() for k, v in both.compute().items()})

regression = [MeanSquaredError(), R2Score(), PearsonCorrCoef()]
for _ in range(3):
    found, wanted = torch.randn(10), torch.randn(10)
    for m in regression:
        m.update(found, wanted)
print([m.compute().item() for m in regression])
accuracy.reset()
print(accuracy.state_dict(), accuracy)
print(Accuracy(task="binary")(torch.tensor([0.2, 0.8, 0.6]), torch.tensor([0, 1, 0])))
print(metric.pairwise_cosine_similarity(torch.eye(3) + 1))
a, b = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
print(PeakSignalNoiseRatio(data_range=1.0)(a, b))
print(StructuralSimilarityIndexMeasure(data_range=1.0)(a, b))
print(Perplexity()(torch.randn(2, 5, 7), torch.randint(7, (2, 5))))
print(WordErrorRate()(["a b c"], ["a b d"]))
print(metric.auroc(torch.rand(20), torch.randint(2, (20,)), task="binary"))
print(metric.average_precision(torch.rand(20), torch.randint(2, (20,)), task="binary"))
print(pickle.loads(pickle.dumps(mean)).compute(), copy.deepcopy(f1).compute())
