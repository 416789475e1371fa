"""LLVM text emission, vector mathematics, contraction and convolution generators."""
