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
}

#: Whole tags whose data is in no part of theirs.
_WHOLE_TAGS: dict[str, str] = {
    "metaclip_400m": "MetaCLIP-400M",
    "metaclip_2pt5b": "MetaCLIP-2.5B",
}


@dataclass(frozen=True, slots=True)
class TagData:
    """Data named by a pretrained tag: of the last training, and of the trainings before it (`` + `` between)."""

    training: str | None
    pretraining: str | None


def data_of_timm_tag(tag: str) -> TagData:
    """What a tag says: ``augreg_in21k_ft_in1k`` → ImageNet-1k, before it ImageNet-21k; ``a1_in1k`` → ImageNet-1k.

    A tag that ends its data with ``ft`` and an unknown name gives no training data rather than the wrong one.
    """
    if tag in _WHOLE_TAGS:
        return TagData(_WHOLE_TAGS[tag], None)
    parts = tag.split("_")
    named = [_TAG_DATA[part] for part in parts if part in _TAG_DATA]
    last_ft = max((i for i, part in enumerate(parts) if part == "ft"), default=None)
    if not named:
        return TagData(None, None)
    if last_ft is not None and not any(part in _TAG_DATA for part in parts[last_ft + 1 :]):
        return TagData(None, " + ".join(dict.fromkeys(named)))
    before = [each for each in dict.fromkeys(named[:-1]) if each != named[-1]]
    return TagData(named[-1], " + ".join(before) or None)
