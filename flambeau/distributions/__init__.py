"""torch.distributions: probability distributions, transforms and divergences."""

from __future__ import annotations

from . import constraints as constraints
from . import kl as kl
from . import kl_pairs as kl_pairs
from . import transforms as transforms
from .combined import (HalfNormal as HalfNormal, Independent as Independent,
                       LogNormal as LogNormal, MixtureSameFamily as MixtureSameFamily,
                       Pareto as Pareto, RelaxedOneHotCategorical as RelaxedOneHotCategorical,
                       TransformedDistribution as TransformedDistribution, Weibull as Weibull)
from .continuous import (Beta as Beta, Cauchy as Cauchy, Chi2 as Chi2, Dirichlet as Dirichlet,
                         Exponential as Exponential, Gamma as Gamma, Gumbel as Gumbel,
                         Laplace as Laplace, Normal as Normal, StudentT as StudentT,
                         Uniform as Uniform)
from .discrete import (Bernoulli as Bernoulli, Binomial as Binomial, Categorical as Categorical,
                       Geometric as Geometric, Multinomial as Multinomial,
                       OneHotCategorical as OneHotCategorical, Poisson as Poisson)
from .distribution import Distribution as Distribution
from .distribution import ExponentialFamily as ExponentialFamily
from .kl import kl_divergence as kl_divergence
from .kl import register_kl as register_kl
from .matrices import (LKJCholesky as LKJCholesky,
                       LowRankMultivariateNormal as LowRankMultivariateNormal,
                       Wishart as Wishart)
from .matrix_transforms import (
    CatTransform as CatTransform, CorrCholeskyTransform as CorrCholeskyTransform,
    CumulativeDistributionTransform as CumulativeDistributionTransform,
    PositiveDefiniteTransform as PositiveDefiniteTransform, StackTransform as StackTransform)
from .multivariate import MultivariateNormal as MultivariateNormal
from .rare import (ContinuousBernoulli as ContinuousBernoulli, FisherSnedecor as FisherSnedecor,
                   GeneralizedPareto as GeneralizedPareto, HalfCauchy as HalfCauchy,
                   InverseGamma as InverseGamma, Kumaraswamy as Kumaraswamy,
                   LogisticNormal as LogisticNormal, NegativeBinomial as NegativeBinomial,
                   OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough,
                   RelaxedBernoulli as RelaxedBernoulli, VonMises as VonMises)
from .transforms import (AbsTransform as AbsTransform, AffineTransform as AffineTransform,
                         biject_to as biject_to, ComposeTransform as ComposeTransform,
                         ExpTransform as ExpTransform, identity_transform as identity_transform,
                         IndependentTransform as IndependentTransform,
                         LowerCholeskyTransform as LowerCholeskyTransform,
                         PowerTransform as PowerTransform, ReshapeTransform as ReshapeTransform,
                         SigmoidTransform as SigmoidTransform,
                         SoftmaxTransform as SoftmaxTransform,
                         SoftplusTransform as SoftplusTransform,
                         StickBreakingTransform as StickBreakingTransform,
                         TanhTransform as TanhTransform, Transform as Transform,
                         transform_to as transform_to)

for _transform in (CatTransform, CorrCholeskyTransform, CumulativeDistributionTransform,
                   PositiveDefiniteTransform, StackTransform):
    setattr(transforms, _transform.__name__, _transform)
