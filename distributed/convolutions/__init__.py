"""Which tensors of a checkpoint are learned 2-D convolutions, and their weights as the live module would have them."""

from distributed.convolutions.finding import find_convolutions
from distributed.convolutions.materialising import is_fixed_blur, materialise
from distributed.convolutions.plan import Convolution, ConvolutionPlan, WeightForm

__all__ = ["Convolution", "ConvolutionPlan", "WeightForm", "find_convolutions", "is_fixed_blur", "materialise"]
