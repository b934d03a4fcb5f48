"""The tables behind what is concluded about a model: the Hub's task names, data sets, timm's pretrained tags.

Whatever is not in a table is not concluded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The Hub's pipeline tags → our task names. A tag that is not here is kept as it is.
TASK_OF_PIPELINE: dict[str, str] = {
    "image-classification": "Classification",
    "video-classification": "Video Classification",
    "audio-classification": "Audio Classification",
    "zero-shot-image-classification": "Zero-Shot Classification",
    "image-segmentation": "Segmentation",
    "mask-generation": "Segmentation",
    "object-detection": "Object Detection",
    "zero-shot-object-detection": "Object Detection",
    "keypoint-detection": "Keypoint Detection",
    "depth-estimation": "Depth Estimation",
    "image-feature-extraction": "Feature Extraction",
    "feature-extraction": "Feature Extraction",
    "unconditional-image-generation": "Image Generation",
    "text-to-image": "Text to Image",
    "image-to-image": "Image to Image",
    "image-to-text": "Image to Text",
    "image-text-to-text": "Image to Text",
    "visual-question-answering": "Visual Question Answering",
    "document-question-answering": "Document Question Answering",
    "automatic-speech-recognition": "Speech Recognition",
    "reinforcement-learning": "Reinforcement Learning",
    "robotics": "Robotics",
}

#: Tags of cards that name the library which reads the weights.
LIBRARY_TAGS = frozenset(
    {
        *("timm", "transformers", "diffusers", "ultralytics", "keras", "fastai", "flair", "open_clip", "paddlepaddle"),
        *("segmentation-models-pytorch", "stable-baselines3", "sentence-transformers", "speechbrain", "nemo"),
    }
)


@dataclass(frozen=True, slots=True)
class DataSet:
    """A training data set: its usual name, what its pictures show (None: too mixed to say), other spellings."""

    name: str
    visual_category: str | None
    aliases: tuple[str, ...] = ()


_DATA_SETS: tuple[DataSet, ...] = (
    DataSet("ImageNet-1k", "natural", ("imagenet", "imagenet1k", "ilsvrc2012", "in1k")),
    DataSet("ImageNet-12k", "natural", ("in12k",)),
    DataSet("ImageNet-21k", "natural", ("imagenet22k", "imagenet21kp", "in21k", "in22k", "inw21k")),
    DataSet("CIFAR-10", "natural"),
    DataSet("CIFAR-100", "natural"),
    DataSet("STL-10", "natural"),
    DataSet("Tiny ImageNet", "natural"),
    DataSet("COCO", "natural", ("mscoco", "coco2017", "coco2014")),
    DataSet("Pascal VOC", "natural", ("voc2012", "voc2007", "voc")),
    DataSet("ADE20K", "natural", ("sceneparse150",)),
    DataSet("Open Images", "natural"),
    DataSet("Places365", "natural"),
    DataSet("DIV2K", "natural"),
    DataSet("iNaturalist", "natural", ("inat2021", "inat2018")),
    DataSet("JFT-300M", "natural", ("jft",)),
    DataSet("YFCC100M", "natural"),
    DataSet("YFCC15M", "natural"),
    DataSet("Instagram-1B", "natural", ("ig1b",)),
    DataSet("SA-1B", "natural", ("sa1b",)),
    DataSet("LVD-142M", "natural"),
    DataSet("LVD-1689M", "natural"),
    DataSet("WIT-400M", None),
    DataSet("LAION-400M", None),
    DataSet("LAION-2B", None),
    DataSet("LAION-A", None),
    DataSet("DataComp-1B", None),
    DataSet("DataComp-XL", None),
    DataSet("DFN-2B", None),
    DataSet("DFN-5B", None),
    DataSet("DFNDR-2B", None),
    DataSet("MetaCLIP-400M", None),
    DataSet("MetaCLIP-2.5B", None),
    DataSet("Merged-2B", None),
    DataSet("CC12M", None),
    DataSet("WebLI", None),
    DataSet("DataCompDR-1B", None),
    DataSet("MetaCLIP2-Worldwide", None),
    DataSet("FLD-5B", None),
    DataSet("Merged-30M", "natural"),
    DataSet("Merged-38M", "natural"),
    DataSet("Instagram-3.6B", "natural"),
    DataSet("Bamboo", "natural"),
    DataSet("MNIST", "handwriting"),
    DataSet("EMNIST", "handwriting"),
    DataSet("Fashion-MNIST", "clothes"),
    DataSet("SVHN", "street numbers"),
    DataSet("CelebA", "faces", ("celebahq", "celebamaskhq")),
    DataSet("FFHQ", "faces"),
    DataSet("VGGFace2", "faces"),
    DataSet("CASIA-WebFace", "faces"),
    DataSet("MS-Celeb-1M", "faces", ("ms1m", "ms1mv2", "ms1mv3")),
    DataSet("WIDER FACE", "faces"),
    DataSet("DRIVE", "medical fundus"),
    DataSet("ISIC", "medical skin"),
    DataSet("CheXpert", "medical xray"),
    DataSet("MIMIC-CXR", "medical xray"),
    DataSet("SAT-493M", "satellite"),
    DataSet("EuroSAT", "satellite"),
)

#: Images of the web with their texts: models trained last on such data classify nothing by themselves.
IMAGE_TEXT_DATA = frozenset(each.name for each in _DATA_SETS if each.visual_category is None) | {"YFCC15M"}


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


_BY_KEY: dict[str, DataSet] = {
    key: each for each in _DATA_SETS for key in (_key(each.name), *(_key(alias) for alias in each.aliases))
}


def known_data_set(text: str) -> DataSet | None:
    """The data set of this name, however it is spelled (``ILSVRC/imagenet-1k``, ``imagenet_1k``); None: not known."""
    return _BY_KEY.get(_key(text.rpartition("/")[2]))


@dataclass(frozen=True, slots=True)
class TagData:
    """What a pretrained tag names: data of the last training, and of those before it (`` + `` between), and the recipe.

    The recipe is what is left of the tag: ``a1``, ``ra4_e3600``, ``augreg``, ``fcmae``; None where nothing is.
    """

    training: str | None
    pretraining: str | None
    recipe: str | None


#: Parts of timm's pretrained tags → data. Methods (``a1``, ``fcmae``) and numbers of pixels or epochs name none.
_TAG_DATA: dict[str, str] = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-21k",
    "inw21k": "ImageNet-21k",
    "jft": "JFT-300M",
    "yfcc100m": "YFCC100M",
    "yfcc15m": "YFCC15M",
    "ig1b": "Instagram-1B",
    "sa1b": "SA-1B",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "laiona": "LAION-A",
    "openai": "WIT-400M",
    "datacomp1b": "DataComp-1B",
    "datacompxl": "DataComp-XL",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "dfndr2b": "DFNDR-2B",
    "merged2b": "Merged-2B",
    "cc12m": "CC12M",
    "webli": "WebLI",
    "m30m": "Merged-30M",
    "m38m": "Merged-38M",
}

#: Whole tags whose data is in no part of theirs, as their authors say: data of the last training, before it, recipe.
_WHOLE_TAGS: dict[str, TagData] = {
    "metaclip_400m": TagData("MetaCLIP-400M", None, "metaclip"),
    "metaclip_2pt5b": TagData("MetaCLIP-2.5B", None, "metaclip"),
    "metaclip2_worldwide": TagData("MetaCLIP2-Worldwide", None, "metaclip2"),
    "fcmae": TagData("ImageNet-1k", None, "fcmae"),  # ConvNeXt V2, arXiv 2301.00808
    "mae": TagData("ImageNet-1k", None, "mae"),  # arXiv 2111.06377; Hiera, arXiv 2306.00989
    "dino": TagData("ImageNet-1k", None, "dino"),  # arXiv 2104.14294
    "fb_dino": TagData("ImageNet-1k", None, "fb_dino"),  # ResMLP, arXiv 2105.03404
    "seer": TagData("Instagram-1B", None, "seer"),  # arXiv 2103.01988, 2202.08360
    "seer_ft_in1k": TagData("ImageNet-1k", "Instagram-1B", "seer"),
    "bamboo": TagData("Bamboo", None, "bamboo"),  # arXiv 2203.07845
    "swag_ft_in1k": TagData("ImageNet-1k", "Instagram-3.6B", "swag"),  # arXiv 2201.08371
    "swag_lc_in1k": TagData("ImageNet-1k", "Instagram-3.6B", "swag_lc"),
    "apple_mclip": TagData("DataCompDR-1B", None, "apple_mclip"),  # MobileCLIP, arXiv 2311.17049
    "apple_mclip_lt": TagData("DataCompDR-1B", None, "apple_mclip_lt"),
    "msft_florence2": TagData("FLD-5B", None, "msft_florence2"),  # arXiv 2311.06242
    "clip_laion2b_ft_320": TagData("LAION-2B", None, "clip"),  # the same data at a higher resolution
    "clip_laion2b_ft_soup_320": TagData("LAION-2B", None, "clip_soup"),
}

#: Parts of a tag that are neither data nor recipe: the way to data, and the resolution, which has its own column.
_NO_RECIPE = re.compile(r"ft|r?\d{3,4}")


def data_of_timm_tag(tag: str) -> TagData:
    """What a tag says: ``augreg_in21k_ft_in1k`` → augreg on ImageNet-1k, before it ImageNet-21k.

    A tag that ends its data with ``ft`` and an unknown name gives no training data rather than the wrong one.
    """
    if tag in _WHOLE_TAGS:
        return _WHOLE_TAGS[tag]
    parts = tag.split("_")
    named = [_TAG_DATA[part] for part in parts if part in _TAG_DATA]
    recipe = "_".join(part for part in parts if part not in _TAG_DATA and not _NO_RECIPE.fullmatch(part)) or None
    last_ft = max((i for i, part in enumerate(parts) if part == "ft"), default=None)
    if not named:
        return TagData(None, None, recipe)
    if last_ft is not None and not any(part in _TAG_DATA for part in parts[last_ft + 1 :]):
        return TagData(None, " + ".join(dict.fromkeys(named)), recipe)
    before = [each for each in dict.fromkeys(named[:-1]) if each != named[-1]]
    return TagData(named[-1], " + ".join(before) or None, recipe)
