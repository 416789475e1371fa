"""The layers of nn, one file per family; nn/__init__.py lists what is public."""
