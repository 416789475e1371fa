"""Layer 3: the tape (what backward walks), the engine, grad modes."""
