"""Layer 1: the graph IR: nodes, graph primitives, operations and their registry."""
