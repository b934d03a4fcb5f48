"""What is known about a model, and where each piece was read: cards, ``config.json``, manifests, timm's registry."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from distributed.references import METADATA_FIELDS, ModelMetadata
from distributed.sources.vocabulary import IMAGE_TEXT_DATA, TASK_OF_PIPELINE, data_of_timm_tag, known_data_set

logger = logging.getLogger(__name__)

#: Where a visual category comes from that no one wrote down for this model.
DATA_SET_TABLE = "data set table"

#: Characters of a card's front matter that are looked at: more would take the parser many seconds.
MAX_FRONT_MATTER = 256 * 1024

#: Facts that say where the file itself was published, not what it is.
_ABOUT_THE_FILE = "file"

#: Library → the key of a ``config.json`` under which it writes its version.
_VERSION_KEYS = {"transformers": "transformers_version", "diffusers": "_diffusers_version"}

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
        for name in ("training_dataset", "pretraining_dataset"):
            data_set = known_data_set(facts[name][0]) if name in facts else None
            if data_set is not None and data_set.visual_category is not None:
                facts["visual_category"] = (data_set.visual_category, DATA_SET_TABLE)
                break
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
    """Facts of a model card's metadata: our own keys first, then the Hub's."""
    values = {name: text_of(card.get(name)) for name in METADATA_FIELDS}
    values["library"] = values["library"] or text_of(card.get("library_name"))
    if values["license"] in (None, "other"):
        values["license"] = text_of(card.get("license_name")) or values["license"]
    pipeline = text_of(card.get("pipeline_tag"))
    if values["task"] is None and pipeline is not None:
        values["task"] = TASK_OF_PIPELINE.get(pipeline, pipeline)
    if values["training_dataset"] is None:
        values["training_dataset"] = _data_sets(card.get("datasets"))
    if values["paper"] is None:
        values["paper"] = _only_paper(card.get("tags"))
    return {name: (value, origin) for name, value in values.items() if value is not None}


def _data_sets(value: object) -> str | None:
    names = [text_of(item) for item in (value if isinstance(value, list) else [value])]
    known = [(known_data_set(name), name) for name in names if name]
    return ", ".join(dict.fromkeys(each.name if each is not None else name for each, name in known)) or None


def _only_paper(tags: object) -> str | None:
    papers = (
        [tag for tag in tags if isinstance(tag, str) and tag.startswith("arxiv:")] if isinstance(tags, list) else []
    )
    return f"arXiv:{papers[0][len('arxiv:') :]}" if len(papers) == 1 else None


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
    for name, value in (("training_dataset", data.training), ("pretraining_dataset", data.pretraining)):
        if value is not None:
            facts[name] = (value, "timm tag")
    for name, key in (("license", "license"), ("paper", "paper_ids")):
        value = text_of(pretrained.get(key))
        if value is not None and value != "unknown":
            facts[name] = (value, origin)
    if isinstance(classes := pretrained.get("num_classes"), int):
        facts |= _timm_task(classes, data.training, "timm")
    return facts


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
    return str(error).splitlines()[0] if str(error) else type(error).__name__
