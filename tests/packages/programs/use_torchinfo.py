# needs: torchinfo
"""torchinfo: tables of models."""

import torch
from torch import nn
from torchinfo import summary


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(32 * 4 * 4, 10))

    def forward(self, x):
        return self.classifier(self.features(x))


COLUMNS = ("input_size", "output_size", "num_params", "kernel_size", "mult_adds", "trainable")
print(summary(CNN(), input_size=(2, 1, 8, 8), verbose=0))
print(summary(CNN(), input_size=(2, 1, 8, 8), col_names=COLUMNS, verbose=0,
              row_settings=("depth", "var_names")))
print(summary(nn.LSTM(4, 8, 2), input_data=torch.zeros(5, 3, 4), verbose=0))
print(summary(nn.TransformerEncoderLayer(16, 4, 32), input_data=torch.zeros(5, 3, 16), verbose=0))
model = CNN()
model.features[0].requires_grad_(False)
print(summary(model, verbose=0))
