"""torch.func: derivatives and vmap as functions of functions."""

from ..nn.utils.stateless import functional_call as functional_call
from .batching import vmap as vmap
from .modules import debug_unwrap as debug_unwrap
from .modules import functionalize as functionalize
from .modules import linearize as linearize
from .modules import replace_all_batch_norm_modules_ as replace_all_batch_norm_modules_
from .modules import stack_module_state as stack_module_state
from .transforms import grad as grad
from .transforms import grad_and_value as grad_and_value
from .transforms import hessian as hessian
from .transforms import jacfwd as jacfwd
from .transforms import jacrev as jacrev
from .transforms import jvp as jvp
from .transforms import vjp as vjp
