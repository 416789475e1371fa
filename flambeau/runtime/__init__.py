"""Layer 5: running: the NumPy interpreter (tier 0), plans, threads, kernel cache."""
