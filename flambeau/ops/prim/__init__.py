"""Primitives and the operations made directly of them, one file per class."""
