"""What is concluded about models, from which words, and that strange words survive."""

from __future__ import annotations

import json
import logging
import re

import pytest
import timm
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed.sources.metadata import (
    NOTHING_SAID,
    builder_of,
    facts_of_card,
    facts_of_config,
    facts_of_timm,
    metadata_of,
    parse_config,
    parse_front_matter,
)
from distributed.sources.vocabulary import TagData, data_of_timm_tag, known_data_set


@pytest.mark.parametrize(
    ("tag", "training", "pretraining", "recipe"),
    [
        ("a1_in1k", "ImageNet-1k", None, "a1"),
        ("in1k", "ImageNet-1k", None, None),
        ("fb_in22k_ft_in1k", "ImageNet-1k", "ImageNet-21k", "fb"),
        ("augreg_in21k_ft_in1k", "ImageNet-1k", "ImageNet-21k", "augreg"),
        ("fcmae_ft_in22k_in1k_384", "ImageNet-1k", "ImageNet-21k", "fcmae"),
        ("e3600_r256_in1k", "ImageNet-1k", None, "e3600"),  # the resolution is a column of its own
        ("clip_laion2b_soup_ft_in12k_in1k_384", "ImageNet-1k", "LAION-2B + ImageNet-12k", "clip_soup"),
        ("laion2b", "LAION-2B", None, None),
        ("ns_jft_in1k", "ImageNet-1k", "JFT-300M", "ns"),
        ("fb_ssl_yfcc100m_ft_in1k", "ImageNet-1k", "YFCC100M", "fb_ssl"),
        ("in22k_ft_in22k_in1k", "ImageNet-1k", "ImageNet-21k", None),
        ("metaclip_2pt5b", "MetaCLIP-2.5B", None, "metaclip"),
        ("sam_in1k", "ImageNet-1k", None, "sam"),  # the optimizer SAM, not the data of Segment Anything
        ("clip_laion2b_ft_320", "LAION-2B", None, "clip"),
        ("clip_laion2b_ft_other", None, "LAION-2B", "clip_other"),
        ("seer", "Instagram-1B", None, "seer"),
        ("mim_m38m_ft_in22k_in1k", "ImageNet-1k", "Merged-38M + ImageNet-21k", "mim"),
        ("", None, None, None),
    ],
)
def test_timm_tags(tag: str, training: str | None, pretraining: str | None, recipe: str | None) -> None:
    assert data_of_timm_tag(tag) == TagData(training, pretraining, recipe)


def test_a_resolution_in_a_tag_is_the_one_of_the_column() -> None:
    checked = 0
    for name in timm.list_pretrained():
        architecture, _, tag = name.partition(".")
        facts = facts_of_timm(architecture, tag, timm.models.get_pretrained_cfg(name).to_dict(), "x")
        said = re.search(r"(?:^|_)r?(\d{3,4})(?:_|$)", tag)
        if said:
            checked += 1
            assert facts["resolution"][0] == said[1], name
    assert checked > 100


def test_timm_facts() -> None:
    config = timm.models.get_pretrained_cfg("resnet50.a1_in1k").to_dict()
    found = metadata_of([facts_of_timm("resnet50", "a1_in1k", config, "timm pretrained_cfg")])
    assert (found.architecture, found.family, found.task) == ("resnet50", "resnet", "Classification")
    assert (found.training_dataset, found.visual_category) == ("ImageNet-1k", "natural")
    assert found.license == "apache-2.0"
    assert found.paper == "arXiv:2110.00476"
    assert (found.recipe, found.resolution, found.attributes) == ("a1", 224, {})
    assert found.origins == {
        "recipe": "timm tag",
        "resolution": "timm pretrained_cfg",
        "architecture": "timm pretrained_cfg",
        "family": "timm",
        "task": "timm",
        "training_dataset": "timm tag",
        "visual_category": "data set table",
        "license": "timm pretrained_cfg",
        "paper": "timm pretrained_cfg",
    }
    clip = facts_of_timm("vit_base_patch16_clip_224", "openai", {"num_classes": 512}, "x")
    assert clip["task"][0] == "Feature Extraction"


def test_cards_own_keys_come_before_the_hubs() -> None:
    card = {
        "task": "Eye Tracking",
        "pipeline_tag": "image-classification",
        "datasets": ["ILSVRC/imagenet-1k", "my/own"],
        "license": "other",
        "license_name": "my-license",
        "library_name": "pytorch",
        "tags": ["arxiv:1512.03385", "x"],
    }
    found = metadata_of([facts_of_card(card)])
    assert (found.task, found.training_dataset) == ("Eye Tracking", "ImageNet-1k, my/own")
    assert (found.license, found.library, found.paper) == ("my-license", "pytorch", "arXiv:1512.03385")
    assert found.visual_category is None  # of two data sets, one unknown
    hub = metadata_of([facts_of_card({"pipeline_tag": "depth-estimation", "datasets": ["mnist"]})])
    assert (hub.task, hub.visual_category) == ("Depth Estimation", "handwriting")
    assert hub.origins["visual_category"] == "data set table"
    assert metadata_of([facts_of_card({"pipeline_tag": "brand-new-task"})]).task == "brand-new-task"


def test_data_sets_by_any_spelling() -> None:
    for text in ("imagenet-1k", "ILSVRC/imagenet-1k", "ImageNet_1K", "imagenet"):
        found = known_data_set(text)
        assert found is not None
        assert found.name == "ImageNet-1k"
    assert known_data_set("imagenet-9") is None


@pytest.mark.parametrize(
    "text",
    [
        "---\n{broken\n---\n",
        "---\nno end",
        "---\n- a list\n---\n",
        "---\n" + "[" * 600 + "\n---\n",
        "---\n!!python/object/apply:os.system ['touch x']\n---\n",
        "---\n" + "a: b\n" * 60_000 + "---\n",
        "---\na: *nowhere\n---\n",
        "---\na: &a [*a]\n---\n",
    ],
)
def test_malformed_front_matter_is_a_warning(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert parse_front_matter(text, "net/README.md") == {}
    assert "net/README.md" in caplog.text


def test_front_matter_is_text() -> None:
    card = parse_front_matter("---\nlicense: no\ntask: 1e3\nfamily: 2020-01-01\nlibrary: [a, 0x1]\n---\n", "x")
    found = metadata_of([facts_of_card(card)])
    assert (found.license, found.task, found.family, found.library) == ("no", "1e3", "2020-01-01", "a, 0x1")
    assert parse_front_matter("# no card", "x") == {}
    assert parse_front_matter("---\n---\n", "x") == {}


@settings(max_examples=60, deadline=None)
@given(st.text(), st.lists(st.text() | st.integers() | st.none()))
def test_any_text_survives(text: str, many: list[object]) -> None:
    read = parse_front_matter(f"---\n{yaml.safe_dump({'task': text, 'datasets': many})}---\n", "x")
    task = metadata_of([facts_of_card(read)]).task
    assert task == (text if text.strip() and text.strip().casefold() not in NOTHING_SAID else None)
    found = metadata_of([facts_of_card({"task": text, "datasets": many})])
    assert found.task == task
    (found.training_dataset or "").encode()


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "task",
                        "datasets",
                        "tags",
                        "license",
                        "pipeline_tag",
                        "architecture",
                        "architectures",
                        "resolution",
                        "model-index",
                        "results",
                        "dataset",
                        "base_model",
                    ]
                )
                | st.text(),
                inner,
            )
        ),
    )
)
def test_cards_and_configs_of_any_shape_are_read(content: object) -> None:
    if isinstance(content, dict):
        metadata_of([facts_of_card(content), facts_of_config(content)])
        builder_of(content, json.dumps(content))
    parse_config(json.dumps(content), "x")


def test_half_surrogates_do_not_reach_the_store() -> None:
    config = parse_config('{"architectures": ["a\\ud800b"]}', "x")
    assert config is not None
    architecture = metadata_of([facts_of_config(config)]).architecture
    assert architecture is not None
    assert architecture.encode() == b"a?b"


def test_builders() -> None:
    timm_config = {"architecture": "resnet18", "pretrained_cfg": {"tag": "a1_in1k"}, "num_classes": 10}
    assert builder_of(timm_config, "…") == "timm:resnet18"
    found = metadata_of([facts_of_config(timm_config)])
    assert (found.library, found.training_dataset, found.task) == ("timm", "ImageNet-1k", "Classification")
    sample = {"architectures": ["AutoEncoder"], "model": {"width": 8}, "input_shape": [1, 8, 8]}
    assert builder_of(sample, json.dumps(sample)) == f"samples:{json.dumps(sample)}"
    assert builder_of({"architectures": ["BertModel"], "model_type": "bert"}, "…") is None
    assert builder_of(None, "") is None
    assert parse_config("[1]", "x") is None
    assert parse_config("{", "x") is None
