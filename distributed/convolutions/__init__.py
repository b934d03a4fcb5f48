"""Which tensors of a checkpoint are learned 2-D convolutions, and their weights as the live module would have them."""

from distributed.convolutions.finding import find_convolutions
from distributed.convolutions.fixed import is_fixed, without_fixed
from distributed.convolutions.folding import fold, with_norms
from distributed.convolutions.layout import AxisOrderError
from distributed.convolutions.materialising import materialise
from distributed.convolutions.plan import Convolution, ConvolutionPlan, WeightForm
from distributed.convolutions.scales import UncertainWeightError

__all__ = [
    "AxisOrderError",
    "Convolution",
    "ConvolutionPlan",
    "UncertainWeightError",
    "WeightForm",
    "find_convolutions",
    "fold",
    "is_fixed",
    "materialise",
    "with_norms",
    "without_fixed",
]
