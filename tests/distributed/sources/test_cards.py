"""Metadata of model cards in the shapes that the Hub documents and its libraries write: forty, each read right.

Every card is a shape: which fields stand there, and how YAML writes them. The names in them are made up or generic.
"""

from __future__ import annotations

import pytest

from distributed.references import ModelMetadata
from distributed.sources.metadata import facts_of_card, metadata_of, parse_front_matter

INDEX = """
model-index:
- name: net
  results:
  - task: {type: TASK, name: Some Task}
    dataset: {name: DATA, type: data, split: test}
    metrics:
    - {type: accuracy, value: 0.91, name: Accuracy}
"""

CARDS: dict[str, tuple[str, dict[str, object]]] = {
    "timm, of old": (
        "tags:\n- image-classification\n- timm\nlicense: apache-2.0\ndatasets:\n- imagenet-1k",
        {"task": "Classification", "library": "timm", "license": "apache-2.0", "training_dataset": "ImageNet-1k"},
    ),
    "timm, with library": (
        "tags:\n- image-classification\n- timm\n- transformers\nlibrary_name: timm\nlicense: mit\ndatasets:\n"
        "- imagenet-1k\n- imagenet-22k",
        {"task": "Classification", "library": "timm", "training_dataset": "ImageNet-1k, ImageNet-21k"},
    ),
    "two libraries say neither": ("tags: [timm, transformers]", {"library": None}),
    "pipeline before tags": (
        "pipeline_tag: image-segmentation\ntags: [image-classification]",
        {"task": "Segmentation"},
    ),
    "two tasks among the tags say neither": ("tags: [object-detection, image-segmentation]", {"task": None}),
    "a pipeline that is new": ("pipeline_tag: any-to-any", {"task": "any-to-any"}),
    "an empty pipeline": ("pipeline_tag:\ntags: [depth-estimation]", {"task": "Depth Estimation"}),
    "a list of one licence": ("license: [apache-2.0]", {"license": "apache-2.0"}),
    "two licences": ("license:\n- mit\n- apache-2.0", {"license": "mit, apache-2.0"}),
    "another licence by name": (
        "license: other\nlicense_name: research-only\nlicense_link: LICENSE.md",
        {"license": "research-only"},
    ),
    "another licence without a name": ("license: other", {"license": "other"}),
    "an unknown licence": ("license: unknown", {"license": None}),
    "a licence with a comment": ("license: mit # see the file", {"license": "mit"}),
    "a quoted licence": ("license: 'cc-by-nc-4.0'", {"license": "cc-by-nc-4.0"}),
    "one data set as text": ("datasets: cifar10", {"training_dataset": "CIFAR-10", "visual_category": "natural"}),
    "a data set of an owner": ("datasets:\n- ILSVRC/imagenet-1k", {"training_dataset": "ImageNet-1k"}),
    "data sets in a row": ("datasets: [coco, ade20k]", {"training_dataset": "COCO, ADE20K", "visual_category": None}),
    "data set of faces": ("datasets: [CelebA-HQ]", {"training_dataset": "CelebA", "visual_category": "faces"}),
    "data sets that are null": ("datasets:\n- null\n- ~", {"training_dataset": None}),
    "an empty list": ("datasets: []\ntags: []", {"training_dataset": None, "paper": None}),
    "a trainer's folder is no data set": ("datasets:\n- imagefolder", {"training_dataset": None}),
    "a data set that is a number": ("datasets: [300]", {"training_dataset": "300"}),
    "data sets as mappings": ("datasets:\n- name: x\n  split: y", {"training_dataset": None}),
    "more information needed": (
        "library_name: transformers\nlicense: '[More Information Needed]'",
        {"library": "transformers", "license": None},
    ),
    "diffusion adapter": (
        "base_model: owner/base\nlibrary_name: diffusers\npipeline_tag: text-to-image\ntags: [lora]",
        {"task": "Text to Image", "library": "diffusers", "attributes": {"base_model": "owner/base"}},
    ),
    "several base models": (
        "base_model:\n- owner/a\n- owner/b\nbase_model_relation: merge",
        {"attributes": {"base_model": "owner/a, owner/b"}},
    ),
    "no base model": ("base_model: null", {"attributes": {}}),
    "fine-tuned, evaluated": (
        "base_model: owner/base\ntags: [generated_from_trainer]\ndatasets: [beans]" + INDEX.replace("DATA", "beans"),
        {"training_dataset": "beans", "attributes": {"base_model": "owner/base", "evaluation_dataset": "beans"}},
    ),
    "evaluation is no training": (
        "license: mit" + INDEX.replace("DATA", "ImageNet 1k"),
        {"training_dataset": None, "visual_category": None, "attributes": {"evaluation_dataset": "ImageNet-1k"}},
    ),
    "task of the evaluation": (
        "license: mit" + INDEX.replace("TASK", "image-classification").replace("DATA", "cifar10"),
        {"task": "Classification", "attributes": {"evaluation_dataset": "CIFAR-10"}},
    ),
    "a task of its own words in the evaluation": ("license: mit" + INDEX, {"task": None}),
    "an index that is a text": ("model-index: none yet", {"attributes": {}}),
    "an index without results": ("model-index:\n- name: net", {"attributes": {}}),
    "results without data": ("model-index:\n- results:\n  - metrics: []", {"attributes": {}}),
    "one paper": ("tags: ['arxiv:1512.03385', pytorch]", {"paper": "arXiv:1512.03385"}),
    "several papers": ("tags: ['arxiv:1512.03385', 'arxiv:2110.00476']", {"paper": None}),
    "a paper named twice": ("tags: ['arxiv:1512.03385', 'arxiv:1512.03385']", {"paper": "arXiv:1512.03385"}),
    "a tag as text": ("tags: object-detection", {"task": "Object Detection"}),
    "detection library": (
        "library_name: ultralytics\ntags: [object-detection, computer-vision]\nlicense: agpl-3.0\nlanguage: en",
        {"task": "Object Detection", "library": "ultralytics", "license": "agpl-3.0"},
    ),
    "reinforcement learning": (
        "library_name: stable-baselines3\ntags: [deep-reinforcement-learning, reinforcement-learning]",
        {"task": "Reinforcement Learning", "library": "stable-baselines3"},
    ),
    "windows line ends": ("license: mit\r\npipeline_tag: image-to-image\r", {"task": "Image to Image"}),
    "our own keys": (
        "task: Eye Tracking\nvisual_category: eyes\nresolution: 640x640\nrecipe: b\npipeline_tag: image-to-image",
        {"task": "Eye Tracking", "visual_category": "eyes", "resolution": 640, "recipe": "b"},
    ),
    "a resolution of no square": ("resolution: 640x480", {"resolution": None}),
    "widgets, metrics and emissions": (
        "widget:\n- src: https://example.org/a.jpg\n  example_title: A\nmetrics: [accuracy]\nco2_eq_emissions:\n"
        "  emissions: 1.5\nthumbnail: x.png\ninference: false\nlanguage: [en, de]",
        {"task": None, "attributes": {}},
    ),
}


@pytest.mark.parametrize("shape", CARDS)
def test_cards_of_the_hub(shape: str) -> None:
    text, expected = CARDS[shape]
    card = parse_front_matter(f"---\n{text}\n---\n# Net\n", shape)
    assert card, "the front matter was not read"
    found = metadata_of([facts_of_card(card)])
    assert {name: getattr(found, name) for name in expected} == expected
    known = [name for name in ModelMetadata.__dataclass_fields__ if getattr(found, name) and name != "origins"]
    assert set(found.origins) == {*found.attributes, *known} - {"attributes"}


def test_there_are_forty() -> None:
    assert len(CARDS) >= 40
