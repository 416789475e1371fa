"""torch.onnx is not part of flambeau: every name raises NotImplementedError that says so."""

from ..base.absent import absent as _absent

__getattr__ = _absent("torch.onnx", "there is no exporter; run the model in PyTorch with the same "
                      "state_dict() and export it there")


def is_in_onnx_export() -> bool:
    """Whether a model is being exported: no."""
    return False
