"""Layer 3: detached graphs: captured from nodes, printed, parsed, verified, simplified."""
