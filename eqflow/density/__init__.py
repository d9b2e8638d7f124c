"""Invertible equivariant maps, and the densities that they carry (conventions of `torch.distributions`)."""

from .autoregressive import GAutoregressive
from .bases import OrbitMixture, StandardNormal, UniformBall
from .bijection import Bijection, Chain, Inverse
from .bits import bits_per_dim
from .circulant import GroupCirculant
from .context import ContextChain, ContextMixture, ContextResidual
from .coupling import GCoupling
from .elementwise import ActNorm, Logit, dequantize, initialize
from .exponential import ConvExponential
from .features import FeatureField
from .fields import FieldType
from .fit import fit
from .flow import NormalizingFlow, OrbitAverage
from .flow_matching import FlowMatching, ImageField, PlaneField, RadialField
from .fourier import FourierConv, UnitaryDFT
from .glow import glow
from .lipschitz import LipSwish, Sine
from .logdet import LogDet
from .masks import checkerboard, folded_checkerboard
from .moser import AveragedMoser, SphereMoser, TorusMoser
from .point_sets import PointSetCoupling
from .polar import AngularMap, RadialMap
from .quotient import QuotientResidual
from .residual import GResidual, InverseReport
from .squeeze import Squeeze
from .tolerance import refined_log_prob
from .turning import TurningMap
from .universality import PaddedBlock, act_padded, padded_chain
from .vector_coupling import VectorCoupling
from .video import VideoDensity

__all__ = [
    "ActNorm",
    "AngularMap",
    "AveragedMoser",
    "Bijection",
    "Chain",
    "ContextChain",
    "ContextMixture",
    "ContextResidual",
    "ConvExponential",
    "FeatureField",
    "FieldType",
    "FlowMatching",
    "FourierConv",
    "GAutoregressive",
    "GCoupling",
    "GResidual",
    "GroupCirculant",
    "ImageField",
    "Inverse",
    "InverseReport",
    "LipSwish",
    "LogDet",
    "Logit",
    "NormalizingFlow",
    "OrbitAverage",
    "OrbitMixture",
    "PaddedBlock",
    "PlaneField",
    "PointSetCoupling",
    "QuotientResidual",
    "RadialField",
    "RadialMap",
    "Sine",
    "SphereMoser",
    "Squeeze",
    "StandardNormal",
    "TorusMoser",
    "TurningMap",
    "UniformBall",
    "UnitaryDFT",
    "VectorCoupling",
    "VideoDensity",
    "act_padded",
    "bits_per_dim",
    "checkerboard",
    "dequantize",
    "fit",
    "folded_checkerboard",
    "glow",
    "initialize",
    "padded_chain",
    "refined_log_prob",
]
