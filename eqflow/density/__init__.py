"""Invertible equivariant maps, and the densities that they carry (conventions of `torch.distributions`)."""

from .autoregressive import GAutoregressive  # noqa: F401
from .bases import OrbitMixture, StandardNormal, UniformBall  # noqa: F401
from .bijection import Bijection, Chain, Inverse  # noqa: F401
from .bits import bits_per_dim  # noqa: F401
from .circulant import GroupCirculant  # noqa: F401
from .coupling import GCoupling  # noqa: F401
from .elementwise import ActNorm, Logit, dequantize, initialize  # noqa: F401
from .exponential import ConvExponential  # noqa: F401
from .flow import NormalizingFlow, OrbitAverage  # noqa: F401
from .fourier import FourierConv, UnitaryDFT  # noqa: F401
from .lipschitz import LipSwish  # noqa: F401
from .logdet import LogDet  # noqa: F401
from .masks import checkerboard, folded_checkerboard  # noqa: F401
from .moser import AveragedMoser, SphereMoser, TorusMoser  # noqa: F401
from .residual import GResidual, InverseReport  # noqa: F401
from .squeeze import Squeeze  # noqa: F401
from .universality import PaddedBlock, act_padded, padded_chain  # noqa: F401
from .vector_coupling import VectorCoupling  # noqa: F401
