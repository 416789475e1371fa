"""Layer 2: what can be computed. ``prim/``: graph primitives by class with their operations;
``lib/``: composites, plain functions over operations."""
