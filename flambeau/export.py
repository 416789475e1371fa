"""torch.export is not part of flambeau: every name raises NotImplementedError that says so."""

from .base.absent import absent as _absent

__getattr__ = _absent("torch.export", "programs run as they are and are compiled while they run; "
                      "save weights with torch.save(model.state_dict(), path)")
