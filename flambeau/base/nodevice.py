"""The functions of a device module whose device is not there."""

from __future__ import annotations


def functions(name: str, error: str) -> dict:
    """Questions that answer no, requests that raise RuntimeError.

    Args:
        name: the module's, for docstrings.
        error: what requests raise.
    """
    def answer(value, doc):
        def ask(*args, **kwargs):
            return value

        ask.__doc__ = doc
        return ask

    def refuse(what):
        def request(*args, **kwargs):
            raise RuntimeError(error)

        request.__doc__ = f"torch.{name}.{what}; raises RuntimeError: there is no such device."
        return request

    table = {"is_available": answer(False, "Whether the device can be used: no."),
             "is_initialized": answer(False, "Whether the device was started: no."),
             "device_count": answer(0, "Number of devices: 0."),
             "manual_seed": answer(None, "Nothing to seed."),
             "manual_seed_all": answer(None, "Nothing to seed."),
             "empty_cache": answer(None, "Nothing to empty.")}
    for what in ("synchronize", "current_device", "set_device", "current_stream", "get_rng_state",
                 "get_device_name", "memory_allocated"):
        table[what] = refuse(what)
    for what, function in table.items():
        function.__name__ = what
    return table
