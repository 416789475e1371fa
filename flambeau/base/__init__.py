"""Layer 0: dtypes, devices, shape algebra, errors, flags, source locations. Imports nothing of ours."""
