"""Comparison of results, test tensors, gradient checks (``torch.testing``)."""

from .compare import assert_allclose as assert_allclose
from .compare import assert_close as assert_close
from .gradcheck import GradcheckError as GradcheckError
from .gradcheck import gradcheck as gradcheck
from .gradcheck import gradgradcheck as gradgradcheck
from .make import make_tensor as make_tensor
