"""What is trained: one recipe for each sample model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samples.training.forgetting import FORGETTING


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that makes one model.

    Attributes:
        name: of its folder.
        task, visual_category, training_dataset: labels, in the words of the filter data sets.
        pipeline_tag: the Hub's word for the task; None where it has none that fits.
        dataset_tag: a short name of the data for the card's ``datasets``.
        architecture: a key of ``samples.architectures.ARCHITECTURES``; ``family`` the published family it follows.
        model: arguments of the architecture.
        input_shape: of one input, without the batch dimension.
        problem: key of ``PROBLEMS``, or of ``GANS`` for the two halves of a GAN.
        steps, batch_size, learning_rate, seed: of training.
        forgetting: how much of the initialisation training must forget (``training.forgetting``); unused by GANs.
        dtype: in which the weights are stored.
        shards: number of files the weights are stored in.
    """

    name: str
    task: str
    visual_category: str
    training_dataset: str
    pipeline_tag: str | None
    dataset_tag: str
    architecture: str
    family: str
    model: Mapping[str, Any]
    input_shape: tuple[int, ...]
    problem: str
    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    forgetting: float = FORGETTING
    dtype: str = "float32"
    shards: int = 1

    def config(self) -> dict[str, Any]:
        """The part of ``config.json`` that is known before training; ``build`` takes it."""
        return {
            "model_type": "cnn-filter-shift-sample",
            "architectures": [self.architecture],
            "family": self.family,
            "torch_dtype": self.dtype,
            "input_shape": list(self.input_shape),
            "model": dict(self.model),
            "task": self.task,
            "visual_category": self.visual_category,
            "training_dataset": self.training_dataset,
        }


@dataclass(frozen=True, slots=True)
class _Data:
    """Labels that several recipes share."""

    visual_category: str
    training_dataset: str
    dataset_tag: str


_DIGITS = _Data(
    "handwriting", "scikit-learn digits (UCI optical recognition of handwritten digits)", "scikit-learn-digits"
)
_FRACTALS = _Data("fractals", "Procedural fractals of eight kinds", "procedural-fractals")
_TEXTURES = _Data(
    "textures", "Procedural textures and photographs of grass, gravel, brick (scikit-image)", "procedural-textures"
)
_MOSAICS = _Data(
    "textures", "Mosaics of procedural and photographed textures (scikit-image)", "procedural-texture-mosaics"
)
_JULIA = _Data("fractals", "Procedural Julia sets", "procedural-fractals")
_MAPS = _Data("maps", "Procedural aerial maps", "procedural-maps")
_DEPTH = _Data("depth", "Ray-cast scenes with depth", "procedural-depth-scenes")
_PHOTOGRAPHS = _Data(
    "natural",
    "Photographs inside scikit-learn (flower) and scikit-image (astronaut, chelsea, coffee, rocket)",
    "scikit-image-photographs",
)


def _recipe(name: str, task: str, data: _Data, pipeline_tag: str | None, **rest: Any) -> Recipe:
    return Recipe(name, task, data.visual_category, data.training_dataset, pipeline_tag, data.dataset_tag, **rest)


RECIPES: tuple[Recipe, ...] = (
    _recipe(
        "digits-resnet", "Classification", _DIGITS, "image-classification",
        architecture="ResidualClassifier", family="ResNet",
        model={"in_channels": 1, "classes": 10, "widths": [24, 40, 56], "blocks": [1, 2, 2]},
        input_shape=(1, 16, 16), problem="digits_classification",
        steps=260, batch_size=64, learning_rate=3e-3, seed=11,
    ),
    _recipe(
        "fractals-resnext", "Classification", _FRACTALS, "image-classification",
        architecture="GroupedClassifier", family="ResNeXt",
        model={
            "in_channels": 1, "classes": 8, "stem": 32, "groups": 4,
            "widths": [64, 96, 128, 160], "outputs": [64, 96, 128, 128], "strides": [2, 2, 1, 2],
        },
        input_shape=(1, 32, 32), problem="fractals_classification",
        steps=380, batch_size=32, learning_rate=3e-3, seed=12, dtype="float16",
    ),
    _recipe(
        "textures-mobilenet", "Classification", _TEXTURES, "image-classification",
        architecture="SeparableClassifier", family="MobileNet",
        model={
            "in_channels": 1, "classes": 10, "full": [24, 48, 64, 64],
            "separable_widths": [96, 96, 128, 128], "strides": [2, 1, 2, 1],
        },
        input_shape=(1, 32, 32), problem="textures_classification",
        steps=350, batch_size=32, learning_rate=3e-3, seed=13,
    ),
    _recipe(
        "maps-unet", "Segmentation", _MAPS, "image-segmentation",
        architecture="UNet", family="U-Net",
        model={"in_channels": 3, "out_channels": 5, "widths": [16, 32, 64]},
        input_shape=(3, 48, 48), problem="maps_segmentation",
        steps=600, batch_size=12, learning_rate=3e-3, seed=14,
    ),
    _recipe(
        "textures-dilated", "Segmentation", _MOSAICS, "image-segmentation",
        architecture="DilatedSegmenter", family="DeepLab",
        model={"in_channels": 1, "classes": 10, "stem": 24, "width": 40, "dilations": [1, 2, 3, 4, 1]},
        input_shape=(1, 48, 48), problem="textures_segmentation",
        steps=320, batch_size=12, learning_rate=3e-3, seed=15, dtype="bfloat16",
    ),
    _recipe(
        "photographs-edsr", "Super Resolution", _PHOTOGRAPHS, "image-to-image",
        architecture="ResidualSuperResolution", family="EDSR",
        model={"channels": 3, "width": 40, "blocks": 5, "scale": 2},
        input_shape=(3, 24, 24), problem="photographs_super_resolution",
        steps=450, batch_size=10, learning_rate=5e-3, seed=16, forgetting=1.0, shards=2,
    ),
    _recipe(
        "maps-espcn", "Super Resolution", _MAPS, "image-to-image",
        architecture="PlainSuperResolution", family="ESPCN",
        model={"channels": 3, "width": 40, "depth": 8, "scale": 2},
        input_shape=(3, 24, 24), problem="maps_super_resolution",
        steps=700, batch_size=12, learning_rate=5e-3, seed=17, forgetting=1.0,
    ),
    _recipe(
        "photographs-dncnn", "Denoising", _PHOTOGRAPHS, "image-to-image",
        architecture="DenoisingCNN", family="DnCNN",
        model={"channels": 3, "width": 36, "depth": 10},
        input_shape=(3, 32, 32), problem="photographs_denoising",
        steps=400, batch_size=10, learning_rate=1e-2, seed=18,
    ),
    _recipe(
        "depth-rednet", "Denoising", _DEPTH, "image-to-image",
        architecture="SymmetricDenoiser", family="RED-Net",
        model={"channels": 1, "width": 40, "depth": 6},
        input_shape=(1, 48, 48), problem="depth_denoising",
        steps=400, batch_size=10, learning_rate=1e-2, seed=19,
    ),
    _recipe(
        "depth-estimator", "Depth Estimation", _DEPTH, "depth-estimation",
        architecture="DepthNet", family="Residual encoder-decoder",
        model={"in_channels": 3, "widths": [24, 40, 64, 72]},
        input_shape=(3, 48, 48), problem="depth_estimation",
        steps=600, batch_size=12, learning_rate=3e-3, seed=20,
    ),
    _recipe(
        "digits-autoencoder", "Auto-Encoder", _DIGITS, "image-feature-extraction",
        architecture="AutoEncoder", family="Convolutional auto-encoder",
        model={"channels": 1, "widths": [32, 64], "code": 2, "up": "nearest"},
        input_shape=(1, 16, 16), problem="digits_auto_encoding",
        steps=500, batch_size=48, learning_rate=3e-3, seed=21,
    ),
    _recipe(
        "fractals-autoencoder", "Auto-Encoder", _FRACTALS, "image-feature-extraction",
        architecture="AutoEncoder", family="Convolutional auto-encoder",
        model={"channels": 1, "widths": [32, 48, 72], "code": 16, "up": "transposed"},
        input_shape=(1, 32, 32), problem="fractals_auto_encoding",
        steps=450, batch_size=24, learning_rate=3e-3, seed=22,
    ),
    _recipe(
        "digits-generator", "GAN-Generator", _DIGITS, "unconditional-image-generation",
        architecture="VectorGenerator", family="DCGAN",
        model={"latent": 32, "widths": [64, 64, 48], "channels": 1},
        input_shape=(32,), problem="digits_gan",
        steps=700, batch_size=32, learning_rate=5e-4, seed=23,
    ),
    _recipe(
        "digits-discriminator", "GAN-Discriminator", _DIGITS, None,
        architecture="Discriminator", family="DCGAN",
        model={"channels": 1, "widths": [32, 48, 64]},
        input_shape=(1, 16, 16), problem="digits_gan",
        steps=700, batch_size=32, learning_rate=5e-4, seed=25,
    ),
    _recipe(
        "fractals-generator", "GAN-Generator", _JULIA, "unconditional-image-generation",
        architecture="SpatialGenerator", family="DCGAN",
        model={"latent": 16, "widths": [80, 64, 48], "channels": 1},
        input_shape=(16, 4, 4), problem="fractals_gan",
        steps=900, batch_size=32, learning_rate=1e-3, seed=24,
    ),
    _recipe(
        "fractals-discriminator", "GAN-Discriminator", _JULIA, None,
        architecture="Discriminator", family="DCGAN",
        model={"channels": 1, "widths": [24, 48, 64]},
        input_shape=(1, 16, 16), problem="fractals_gan",
        steps=900, batch_size=32, learning_rate=5e-4, seed=26,
    ),
)  # fmt: skip


def recipe_of(name: str) -> Recipe:
    """The recipe of one model.

    Raises:
        ValueError: no such model; the message lists those there are.
    """
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    raise ValueError(f"no sample model is called {name!r}; there are {', '.join(r.name for r in RECIPES)}")
