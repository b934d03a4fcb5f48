"""The built-in samples as a source, and the configs of all sources."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import samples
from distributed.errors import SourceError
from distributed.sources import list_references
from distributed.sources.settings import HubSettings, LocalSettings, SampleSettings, TimmSettings
from tests.distributed.sources.models import write_model

CONFIGS = Path(__file__).resolve().parents[3] / "conf" / "source"


def test_samples_are_listed_with_how_to_build_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config: dict[str, object] = {"architectures": ["AutoEncoder"], "model": {"width": 4}, "input_shape": [1, 8, 8]}
    for name in ("digits", "maps"):
        write_model(tmp_path / name, card={"task": "Denoising", "visual_category": "maps"}, config=config)
    monkeypatch.setattr(samples, "SAMPLES_ROOT", tmp_path)
    both = list_references(SampleSettings())
    assert [(each.source, each.name, each.entry) for each in both] == [
        ("sample", "digits", "digits/model.safetensors"),
        ("sample", "maps", "maps/model.safetensors"),
    ]
    assert both[0].builder is not None
    kind, _, text = both[0].builder.partition(":")
    assert (kind, json.loads(text)) == ("samples", config)
    assert both[0].metadata.visual_category == "maps"
    assert [each.name for each in list_references(SampleSettings(models=("m*",)))] == ["maps"]
    with pytest.raises(SourceError, match="no sample model is called 'map': did you mean maps"):
        list_references(SampleSettings(models=("map",)))
    [local] = list_references(LocalSettings(str(tmp_path / "maps")))
    assert local.builder == both[1].builder


def test_missing_samples_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "SAMPLES_ROOT", tmp_path / "none")
    with pytest.raises(SourceError, match=r"the sample models are missing from .*none: python -m samples\.train"):
        list_references(SampleSettings())


@pytest.mark.parametrize("kind", [SampleSettings, LocalSettings, TimmSettings, HubSettings])
def test_every_setting_is_in_the_config_with_a_comment_and_its_default(kind: type) -> None:
    text = (CONFIGS / f"{kind.kind}.yaml").read_text("utf-8")  # type: ignore[attr-defined]
    config = yaml.safe_load(text)
    assert set(config) - {"defaults"} == {each.name for each in fields(kind)}
    for each in fields(kind):
        written = config[each.name]
        if each.name == "path":
            assert written == "???"
        else:
            assert (tuple(written) if isinstance(written, list) else written) == each.default
        line = next(line for line in text.splitlines() if line.startswith(f"{each.name}:"))
        assert "#" in line or each.name == "kind"
