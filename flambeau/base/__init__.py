"""Layer 0: dtypes, devices, shapes, errors, flags, source locations. Imports nothing of ours."""
