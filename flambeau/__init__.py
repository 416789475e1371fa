"""flambeau: PyTorch's programming model, recorded, interpreted and compiled in Python."""
