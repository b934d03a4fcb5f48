"""What is known about a model, and where each piece was read: cards, ``config.json``, manifests, timm's registry."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import yaml

from distributed.errors import first_line
from distributed.references import METADATA_FIELDS, ModelMetadata
from distributed.sources.vocabulary import (
    IMAGE_TEXT_DATA,
    LIBRARY_TAGS,
    TASK_OF_PIPELINE,
    data_of_timm_tag,
    known_data_set,
)

logger = logging.getLogger(__name__)

#: Where a visual category comes from that no one wrote down for this model.
DATA_SET_TABLE = "data set table"

#: Characters of a card's front matter that are looked at: more would take the parser many seconds.
MAX_FRONT_MATTER = 256 * 1024

#: Fields that imply a visual category, the first that does counts.
IMPLYING_FIELDS = ("training_dataset", "pretraining_dataset")

_SQUARE = re.compile(r"([1-9]\d{0,4})(?:\.0+)?(?:\s*[x×]\s*\1)?", re.IGNORECASE)

#: Facts that say where the file itself was published, not what it is.
_ABOUT_THE_FILE = "file"

#: Library → the key of a ``config.json`` under which it writes its version.
_VERSION_KEYS = {"transformers": "transformers_version", "diffusers": "_diffusers_version"}

#: What cards write where they say nothing.
NOTHING_SAID = frozenset(
    {"null", "~", "none", "unknown", "n/a", "[more information needed]", "more information needed"}
)

#: What data sets are called by the libraries that load any folder or file.
_LOADERS = frozenset(
    {"imagefolder", "image_folder", "audiofolder", "generator", "csv", "json", "parquet", "webdataset"}
)

#: Parts of a result of a ``model-index`` → the keys that name it, the most telling first.
_PARTS_OF_RESULT = {"task": ("type", "name"), "dataset": ("name", "type")}

#: Field, or key of an attribute → (value, where it was read).
Facts = dict[str, tuple[str, str]]


def metadata_of(sources: Iterable[Facts]) -> ModelMetadata:
    """All facts together; of several values for one field the first source's counts.

    Without a visual category, the one that the training data set (or the one before) implies by an explicit table.
    """
    facts: Facts = {}
    for each in sources:
        for name, fact in each.items():
            facts.setdefault(name, fact)
    if "visual_category" not in facts:
        implied = implied_category(facts[name][0] for name in IMPLYING_FIELDS if name in facts)
        if implied is not None:
            facts["visual_category"] = (implied, DATA_SET_TABLE)
    values: dict[str, Any] = {name: facts[name][0] for name in METADATA_FIELDS if name in facts}
    if "resolution" in values:
        values["resolution"] = int(values["resolution"])
    known = {*METADATA_FIELDS, _ABOUT_THE_FILE}
    attributes = {name: value for name, (value, _) in sorted(facts.items()) if name not in known}
    origins = {name: origin for name, (_, origin) in sorted(facts.items())}
    return ModelMetadata(**values, attributes=attributes, origins=origins)


def facts_of_metadata(metadata: ModelMetadata) -> Facts:
    """What ``metadata_of`` made it from, without what a table concluded: that is concluded again from all facts."""
    values = {name: getattr(metadata, name) for name in METADATA_FIELDS} | dict(metadata.attributes)
    values[_ABOUT_THE_FILE] = ""
    origins = metadata.origins
    return {name: (str(values[name]), origin) for name, origin in origins.items() if origin != DATA_SET_TABLE}


def implied_category(data_sets: Iterable[str]) -> str | None:
    """What the pictures of the first of these data sets show whose pictures show one kind of thing."""
    known = (known_data_set(name) for name in data_sets)
    return next((each.visual_category for each in known if each is not None and each.visual_category), None)


def resolution_of(value: object) -> str | None:
    """The side of a square in pixels, of ``224``, ``224.0`` and ``224x224``; None for anything else."""
    found = _SQUARE.fullmatch(text_of(value) or "")
    return found[1] if found else None


def text_of(value: object) -> str | None:
    """A value of YAML or JSON as text: scalars as they are, lists joined by commas; None where there is none.

    Surrogate pairs, as JSON escapes what lies beyond sixteen bits, become the character they stand for; a half alone,
    which no file format of the store can hold, a question mark.
    """
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        joined = value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return joined.encode("utf-8", "replace").decode("utf-8") if value.strip() else None
    if isinstance(value, list | tuple):
        # Only scalars: a YAML list may contain itself.
        texts = [text_of(item) for item in value if isinstance(item, str | bool | int | float)]
        return ", ".join(text for text in texts if text) or None
    return None


def facts_of_card(card: Mapping[str, Any], origin: str = "README.md") -> Facts:
    """Facts of a model card's metadata: our own keys first, then the Hub's.

    The Hub's fields: https://huggingface.co/docs/hub/model-cards#model-card-metadata . What a model was evaluated on
    (``model-index``) is no training data; it and ``base_model`` are attributes.
    """
    values = {name: _card_text(card.get(name)) for name in METADATA_FIELDS}
    values["resolution"] = resolution_of(values["resolution"])
    tags = _listed(card.get("tags"))
    values["library"] = values["library"] or _card_text(card.get("library_name")) or _only(tags, LIBRARY_TAGS)
    if values["license"] in (None, "other"):
        values["license"] = _card_text(card.get("license_name")) or values["license"]
    evaluations = _evaluations(card.get("model-index"))
    if values["task"] is None:
        pipeline = (
            _card_text(card.get("pipeline_tag"))
            or _only(tags, TASK_OF_PIPELINE)
            or _only([each["task"] for each in evaluations], TASK_OF_PIPELINE)
        )
        values["task"] = None if pipeline is None else TASK_OF_PIPELINE.get(pipeline, pipeline)
    if values["training_dataset"] is None:
        values["training_dataset"] = _data_sets(card.get("datasets"))
    if values["paper"] is None:
        values["paper"] = _only_paper(tags)
    values["base_model"] = ", ".join(_listed(card.get("base_model"))) or None
    values["evaluation_dataset"] = _data_sets([each["dataset"] for each in evaluations])
    return {name: (value, origin) for name, value in values.items() if value is not None}


def _card_text(value: object) -> str | None:
    """``text_of``, without what cards write for nothing."""
    text = text_of(value)
    return None if text is None or text.strip().casefold() in NOTHING_SAID else text


def _listed(value: object) -> list[str]:
    """The texts of a list, or the one that stands in its place."""
    items = value if isinstance(value, list) else [value]
    return [text for item in items if isinstance(item, str | int | float) and (text := _card_text(item)) is not None]


def _only(texts: Iterable[str], known: Collection[str]) -> str | None:
    """The one of the texts that is known; None where none is, or several."""
    found = {text for text in texts if text in known}
    return found.pop() if len(found) == 1 else None


def _evaluations(index: object) -> list[dict[str, str]]:
    """Task and data set (type, else name; "" where it says none) of each result of a ``model-index``."""
    models = [each for each in index if isinstance(each, Mapping)] if isinstance(index, list) else []
    results = [each for model in models for each in _mappings(model.get("results"))]
    return [{part: _name_of(each.get(part), keys) for part, keys in _PARTS_OF_RESULT.items()} for each in results]


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _name_of(part: object, keys: Sequence[str]) -> str:
    if not isinstance(part, Mapping):
        return ""
    return next((text for key in keys if (text := _card_text(part.get(key))) is not None), "")


def _data_sets(value: object) -> str | None:
    known = [(known_data_set(name), name) for name in _listed(value) if name not in _LOADERS]
    return ", ".join(dict.fromkeys(each.name if each is not None else name for each, name in known)) or None


def _only_paper(tags: Sequence[str]) -> str | None:
    papers = {tag.removeprefix("arxiv:") for tag in tags if tag.startswith("arxiv:")}
    return f"arXiv:{papers.pop()}" if len(papers) == 1 else None


def facts_of_config(config: Mapping[str, Any], origin: str = "config.json") -> Facts:
    """Facts of a ``config.json``: of timm (``architecture``, ``pretrained_cfg``), diffusers or transformers-like."""
    if timm_architecture(config) is not None:
        return facts_of_timm_config(config, origin)
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else config.get("architecture")
    libraries = (each for each, key in _VERSION_KEYS.items() if text_of(config.get(key)))
    found = {
        "architecture": text_of(first) or text_of(config.get("_class_name")),
        "family": text_of(config.get("model_type")),
        "library": next(libraries, None),
    }
    return {name: (value, origin) for name, value in found.items() if value is not None}


def facts_of_timm_config(config: Mapping[str, Any], origin: str) -> Facts:
    """Facts of timm's ``config.json``, as for its registry's entries."""
    architecture = timm_architecture(config)
    assert architecture is not None
    pretrained = config["pretrained_cfg"]
    facts = facts_of_timm(architecture, text_of(pretrained.get("tag")) or "", pretrained, origin)
    facts["library"] = ("timm", origin)
    if isinstance(classes := config.get("num_classes"), int) and "task" not in facts:
        facts |= _timm_task(classes, facts.get("training_dataset", (None, ""))[0], origin)
    return facts


def facts_of_timm(architecture: str, tag: str, pretrained: Mapping[str, Any], origin: str) -> Facts:
    """Facts of one pretrained tag of timm.

    Args:
        architecture: name without tag.
        tag: pretrained tag, "" without.
        pretrained: timm's ``pretrained_cfg``.
        origin: where this was read.
    """
    facts: Facts = {"architecture": (architecture, origin)}
    family = timm_family(architecture)
    if family is not None:
        facts["family"] = (family, "timm")
    data = data_of_timm_tag(tag)
    said = {"training_dataset": data.training, "pretraining_dataset": data.pretraining, "recipe": data.recipe}
    facts |= {name: (value, "timm tag") for name, value in said.items() if value is not None}
    side = _side_of(pretrained.get("input_size"))
    if side is not None:
        facts["resolution"] = (side, origin)
    for name, key in (("license", "license"), ("paper", "paper_ids")):
        value = text_of(pretrained.get(key))
        if value is not None and value != "unknown":
            facts[name] = (value, origin)
    if isinstance(classes := pretrained.get("num_classes"), int):
        facts |= _timm_task(classes, data.training, "timm")
    return facts


def _side_of(shape: object) -> str | None:
    """Of a square (channels, height, width); None for other pictures."""
    if not isinstance(shape, list | tuple) or len(shape) != 3 or shape[1] != shape[2]:
        return None
    return resolution_of(shape[1])


def _timm_task(classes: int, training: str | None, origin: str) -> Facts:
    # Image towers of contrastive training keep their embedding's size as num_classes.
    classifies = classes > 0 and training not in IMAGE_TEXT_DATA
    return {"task": ("Classification" if classifies else "Feature Extraction", origin)}


def timm_architecture(config: Mapping[str, Any]) -> str | None:
    """The architecture of timm's ``config.json``; None for another library's."""
    architecture = config.get("architecture")
    if isinstance(architecture, str) and architecture and isinstance(config.get("pretrained_cfg"), Mapping):
        return text_of(architecture)
    return None


def timm_family(architecture: str) -> str | None:
    """The module of timm that defines an architecture (``resnet``, ``efficientnet``); None: not timm's."""
    import timm
    from timm.models import model_entrypoint

    if not timm.is_model(architecture):
        return None
    return str(model_entrypoint(architecture).__module__).rpartition(".")[2]


def builder_of(config: Mapping[str, Any] | None, config_text: str) -> str | None:
    """How to build the architecture that a ``config.json`` describes, see ``ModelReference.builder``."""
    if config is None:
        return None
    architecture = timm_architecture(config)
    if architecture is not None:
        return f"timm:{architecture}"
    # The samples' own layout: architectures[0] with its arguments in "model".
    is_sample = isinstance(config.get("model"), Mapping) and isinstance(config.get("input_shape"), list)
    if is_sample and isinstance(config.get("architectures"), list):
        return f"samples:{config_text}"
    return None


def parse_config(text: str, place: str) -> Mapping[str, Any] | None:
    """The object in a ``config.json``; None, with a warning, where it holds none: nothing is known then."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        logger.warning("%s: not JSON (%s); nothing is known from it", place, str(error).splitlines()[0])
        return None
    if not isinstance(content, dict):
        logger.warning("%s: not a JSON object; nothing is known from it", place)
        return None
    return content


def parse_front_matter(text: str, place: str) -> Mapping[str, Any]:
    """The YAML block at the head of a ``README.md``; {} where there is none, with a warning where it is malformed.

    Scalars stay the text that was written: names such as ``no``, ``1e3`` or ``2020-01-01`` are data.
    """
    lines = text.lstrip("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}
    end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        logger.warning("%s: the front matter has no end (---); nothing is known from it", place)
        return {}
    block = "\n".join(lines[1:end])
    if len(block) > MAX_FRONT_MATTER:
        logger.warning("%s: %d characters of front matter are too many; nothing is known from it", place, len(block))
        return {}
    try:
        # Not libyaml's loader: it ends the process (segmentation fault) on deeply nested input.
        content = yaml.load(block, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        logger.warning("%s: malformed front matter (%s); nothing is known from it", place, yaml_problem(error))
        return {}
    if not isinstance(content, dict):
        if content:
            logger.warning("%s: the front matter is no mapping; nothing is known from it", place)
        return {}
    return content


def yaml_problem(error: Exception) -> str:
    """A YAML error in a few words: the line and what is wrong."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is not None:
        return f"line {mark.line + 1}: {problem}"
    return first_line(error)
