"""Layer 4: which nodes become one kernel, in which order, and where values live."""
