"""Composite functions by family."""
