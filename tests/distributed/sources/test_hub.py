"""Listing the Hub and timm with the real client against a real server, and without any network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from timm.models import save_for_hf

from distributed.byte_sources import open_sources
from distributed.errors import RetryableError, SourceError
from distributed.extraction import described, extract_model
from distributed.formats import open_checkpoint
from distributed.hub import client as client_module
from distributed.hub.catalogue import NoCatalogue
from distributed.outcomes import Outcome
from distributed.references import ModelReference
from distributed.settings import ExtractSettings
from distributed.sources import list_references, stream_source
from distributed.sources.settings import HubSettings, SourceSettings, TimmSettings
from distributed.store import Store, StoreSettings
from tests.distributed.sources.models import weights, write_card, write_model, write_onnx, write_shards
from tests.loopback_hub import Fault, FaultKind, LoopbackHub, hub_environment
from tests.tensors import read

REPOSITORY = Path(__file__).resolve().parents[3]


def listed(settings: SourceSettings) -> dict[str, ModelReference]:
    """The listing by name."""
    references = list_references(settings)
    assert [each.name for each in references] == sorted({each.name for each in references})
    return {each.name: each for each in references}


def refusal(settings: SourceSettings) -> str:
    """The one line that a listing ends with."""
    with pytest.raises(SourceError) as caught:
        list_references(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def problem(reference: ModelReference) -> tuple[str, str]:
    """The problem that listing found."""
    assert reference.problem is not None
    assert "\n" not in reference.problem.message
    return reference.problem.reason, reference.problem.message


@pytest.fixture
def timm_hub(hub: LoopbackHub) -> LoopbackHub:
    """timm's real repository ids for two tags of its tiny test models, written by timm itself."""
    hub.owner = "timm"
    for name in ("test_resnet.r160_in1k", "test_efficientnet.r160_in1k"):
        torch.manual_seed(0)
        save_for_hf(timm.create_model(name.partition(".")[0]), hub.root / name, safe_serialization="both")
        write_card(hub.root / name, {"license": "apache-2.0", "library_name": "timm", "datasets": ["imagenet-1k"]})
    return hub


def test_timm_models_are_pinned_described_and_not_read(timm_hub: LoopbackHub, tmp_path: Path) -> None:
    name = "test_resnet.r160_in1k"
    models = listed(TimmSettings(models=("test_resnet*", "test_efficientnet.*"), exclude=("*_ln*", "*_gn*", "*evos*")))
    assert set(models) == {name, "test_efficientnet.r160_in1k"}
    model, repo = models[name], timm_hub.repo(f"timm/{name}")
    assert repo is not None
    assert (model.root, model.revision, model.entry) == (f"timm/{name}", repo.sha, "model.safetensors")
    file = repo.files["model.safetensors"]
    assert (model.files[0].size, model.files[0].sha256, model.files[0].stamp) == (file.size, file.sha256, None)
    assert model.builder == "timm:test_resnet"
    assert model.pinned_model_id is not None
    known = model.metadata
    assert (known.library, known.architecture, known.family) == ("timm", "test_resnet", "resnet")
    assert (known.task, known.training_dataset, known.visual_category) == ("Classification", "ImageNet-1k", "natural")
    assert not timm_hub.sent("resolve")
    [source] = open_sources(model, tmp_path)
    assert source.read_ranges([(0, source.size)]) == [(timm_hub.root / name / "model.safetensors").read_bytes()]


def test_a_timm_repository_as_a_hub_repository(timm_hub: LoopbackHub, tmp_path: Path) -> None:
    [listing] = listed(HubSettings(repos=("timm/test_resnet.r160_in1k",))).values()
    assert not timm_hub.sent("resolve")
    model = described(listing, tmp_path)
    assert model.config is None
    assert model.builder == "timm:test_resnet"
    assert model.metadata.family == "resnet"
    assert (model.metadata.license, model.metadata.visual_category) == ("apache-2.0", "natural")
    assert [each.path.rpartition("/")[2] for each in timm_hub.sent("resolve")] == ["config.json"]
    assert (model.reference_key, model.pinned_model_id) == (listing.reference_key, listing.pinned_model_id)


def test_a_config_that_fails_is_the_model_s_failure_and_not_an_ignorance(
    timm_hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT_SECONDS", 0.02)
    store = Store.open(StoreSettings(str(tmp_path / "store")))
    [model] = listed(HubSettings(repos=("timm/test_resnet.r160_in1k",))).values()

    def extract() -> Outcome:
        return extract_model(model, store, ExtractSettings(), torch.device("cpu"), tmp_path)

    timm_hub.faults.append(Fault(FaultKind.INTERNAL, "config.json", times=10**6))
    with pytest.raises(RetryableError, match=r"config\.json"):
        extract()
    assert store.model_ids() == set()
    timm_hub.faults[:] = [Fault(FaultKind.UNAVAILABLE, "config.json"), Fault(FaultKind.WHOLE_BY_200, "config.json")]
    assert extract().reference.metadata.family == "resnet"
    [row] = store.models().to_pylist()
    assert (row["architecture"], row["task"]) == ("test_resnet", "Classification")
    assert set(store.layers()["depth_method"].to_pylist()) == {"traced"}


def test_timm_tags_without_repository_are_listed_with_the_problem(timm_hub: LoopbackHub) -> None:
    models = listed(TimmSettings(models=("legacy_seresnet18.in1k", "resnet10t.c3_in1k")))
    reason, message = problem(models["legacy_seresnet18.in1k"])
    assert reason == "not_found"
    assert "not on the Hub but at http" in message
    assert models["legacy_seresnet18.in1k"].metadata.architecture == "legacy_seresnet18"
    assert problem(models["resnet10t.c3_in1k"])[0] == "not_found"  # a real id that this Hub does not have


def test_unknown_timm_names_are_refused_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "'resnet5O.a1_in1k': did you mean resnet50.a1_in1k" in refusal(TimmSettings(models=("resnet5O.a1_in1k",)))
    assert "has no pretrained model 'nosuchnet*'" in refusal(TimmSettings(models=("nosuchnet*",)))
    assert "no timm model is left" in refusal(TimmSettings(models=("resnet50.a1_in1k",), exclude=("resnet*",)))


def test_equal_weights_of_two_tags_are_listed_once(hub: LoopbackHub) -> None:
    hub.owner = "timm"
    write_model(hub.root / "vit_base_patch16_clip_224.openai")
    models = listed(TimmSettings(models=("vit_base_patch16_clip*224.openai",)))
    assert len([each for each in models.values() if each.problem is None]) == 1


def test_the_preferred_file_of_each_repository(hub: LoopbackHub) -> None:
    both = write_model(hub.root / "o/both")
    torch.save(weights(), both / "pytorch_model.bin")
    (both / "onnx").mkdir()
    (both / "onnx/model.onnx").write_bytes(b"x" * 10)
    (both / "optimizer.pt").write_bytes(b"x")
    write_shards(hub.root / "o/sharded")
    many = hub.root / "o/many"
    write_card(many, {"license": "mit"})
    for name in ("b.pth", "a.pth", "sub/0.pth"):
        (many / name).parent.mkdir(exist_ok=True)
        torch.save(weights(), many / name)
    write_card(hub.root / "o/none", {"license": "mit"})
    (hub.root / "o/none/tf_model.h5").write_bytes(b"x")
    repos = ("o/both", "o/sharded", "o/many", "o/none")
    models = listed(HubSettings(repos=repos))
    assert {name: each.entry for name, each in models.items()} == {
        "o/both": "model.safetensors",
        "o/many": "a.pth",
        "o/none": "",
        "o/sharded": "model.safetensors.index.json",
    }
    assert len(models["o/sharded"].files) == 3
    assert problem(models["o/none"])[0] == "unsupported_format"
    assert problem(models["o/none"])[1].endswith("; 2 files not read: 1 .md, 1 .h5")
    chosen = listed(HubSettings(repos=("o/many", "o/both"), files=("*.pth", "pytorch_model.bin")))
    assert set(chosen) == {"o/both", "o/many/a.pth", "o/many/b.pth", "o/many/sub/0.pth"}
    [alone] = listed(HubSettings(repos=("o/both",), files=("*.safetensors", "*.bin"))).values()
    assert (alone.entry, alone.left_out) == ("model.safetensors", ("pytorch_model.bin",))
    assert chosen["o/both"].entry == "pytorch_model.bin"
    assert chosen["o/many/b.pth"].metadata.license == "mit"
    [none] = listed(HubSettings(repos=("o/both",), files=("*.ckpt",))).values()
    assert "looked for *.ckpt" in problem(none)[1]
    [shards] = listed(HubSettings(repos=("o/sharded",), files=("*-of-*",))).values()
    assert len(shards.files) == 2


@pytest.mark.parametrize("folder", ["", "onnx/"])
def test_onnx_external_data_of_any_name_is_found_in_the_graph(hub: LoopbackHub, tmp_path: Path, folder: str) -> None:
    write_onnx(hub.root / "odd" / folder / "model.onnx", "weights.pb")
    write_card(hub.root / "odd", {"license": "mit"})
    write_onnx(hub.root / "usual" / folder / "model.onnx", "model.onnx.data")
    write_card(hub.root / "usual", {"license": "mit"})
    (hub.root / "alone").mkdir()
    write_onnx(tmp_path / "model.onnx", "w.bin")
    (hub.root / "alone" / "model.onnx").write_bytes((tmp_path / "model.onnx").read_bytes())
    write_card(hub.root / "alone", {"license": "mit"})
    names = [f"{hub.owner}/{name}" for name in ("odd", "usual", "alone")]
    models = listed(HubSettings(repos=tuple(names)))
    files = [[each.path for each in models[name].files] for name in names]
    model = f"{folder}model.onnx"
    assert files == [[model, f"{folder}weights.pb"], [model, f"{model}.data"], ["model.onnx"]]
    # Only the graph that has a file of an unknown name beside it is looked into.
    assert [request.path.partition("/resolve/")[2].partition("/")[2] for request in hub.sent("resolve")] == [model]
    with open_checkpoint(open_sources(models[names[0]], tmp_path)) as checkpoint:
        found = dict(read(checkpoint, list(weights())))
    assert all(torch.equal(found[name], weight) for name, weight in weights().items())


def test_rare_suffixes_where_there_is_no_other(hub: LoopbackHub) -> None:
    for repo, names in (("o/rare", ("net.pkl", "notes.txt")), ("o/usual", ("labels.pkl", "net.pth"))):
        write_card(hub.root / repo, {"license": "mit"})
        for name in names:
            torch.save(weights(), hub.root / repo / name)
    models = listed(HubSettings(repos=("o/rare", "o/usual")))
    assert {name: each.entry for name, each in models.items()} == {"o/rare": "net.pkl", "o/usual": "net.pth"}


def test_gated_private_missing_and_malformed(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open", "gated", "private"):
        write_model(hub.root / "o" / name)
    hub.gated, hub.private, hub.token = frozenset({"o/gated"}), frozenset({"o/private"}), "hf_good"
    settings = HubSettings(repos=("o/open", "o/gated", "o/private", "o/missing", "o/open@v1"))
    models = listed(settings)
    reasons = {name: each.problem.reason if each.problem else None for name, each in models.items()}
    assert reasons == {
        "o/open": None,
        "o/gated": "gated",
        "o/private": "not_found",
        "o/missing": "not_found",
        "o/open@v1": "not_found",
    }
    assert "no such revision" in problem(models["o/open@v1"])[1]
    assert "set HF_TOKEN" in problem(models["o/gated"])[1]
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert {name for name, each in listed(settings).items() if each.problem} == {"o/missing", "o/open@v1"}
    assert "'no/such/id' is not a repository id" in refusal(HubSettings(repos=("no/such/id",)))


def test_explicit_revisions_are_pinned(hub: LoopbackHub) -> None:
    write_model(hub.root / "o/net")
    repo = hub.repo("o/net")
    assert repo is not None
    models = listed(HubSettings(repos=("o/net", f"o/net@{repo.sha}", "o/net@main")))
    assert [each.revision for each in models.values()] == [repo.sha]  # three names of one commit


def test_queries(hub: LoopbackHub) -> None:
    for i in range(7):
        card: dict[str, object] = {
            "pipeline_tag": "image-classification" if i % 2 else "image-segmentation",
            "library_name": "timm" if i < 4 else "transformers",
            "tags": ["vision", f"t{i}"],
        }
        write_model(hub.root / ("a" if i < 5 else "b") / f"m{i}", seed=i, card=card)
    hub.page_size = 2
    assert set(listed(HubSettings(author="a"))) == {f"a/m{i}" for i in range(5)}
    assert len(hub.sent("GET /api/models\\?")) == 3  # pages of two
    assert set(listed(HubSettings(task="image-classification", library="timm"))) == {"a/m1", "a/m3"}
    assert set(listed(HubSettings(tags=("vision", "t6")))) == {"b/m6"}
    assert set(listed(HubSettings(repos=("b/m5",), author="a", tags=("t1",)))) == {"a/m1", "b/m5"}
    downloads = {repo.id: repo.info(blobs=False, gated=False)["downloads"] for repo in hub.repos()}
    best = sorted(downloads, key=lambda each: -downloads[each])[:3]
    assert set(listed(HubSettings(tags=("vision",), limit=3))) == set(best)
    [model] = listed(HubSettings(tags=("t0",))).values()
    assert model.revision is not None
    assert model.metadata.task == "Segmentation"
    assert model.metadata.origins["task"] == "README.md"
    assert "the query found no repository" in refusal(HubSettings(author="nobody"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (HubSettings(), "source=hub needs source.repos"),
        (HubSettings(author="a", sort="beauty"), "source.sort must be one of downloads, likes"),
        (HubSettings(author="a", limit=0), "source.limit must be at least 1"),
        (HubSettings(repos=("a/b",), threads=0), "source.threads must be at least 1"),
    ],
)
def test_wrong_settings(hub: LoopbackHub, settings: HubSettings, said: str) -> None:
    assert said in refusal(settings)


def test_listing_survives_a_busy_hub(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT_SECONDS", 0.05)
    write_model(hub.root / "o/net")
    hub.faults += [Fault(FaultKind.TOO_MANY, "GET /api/models/"), Fault(FaultKind.RESET, "GET /api/models/")]
    assert listed(HubSettings(repos=("o/net",)))["o/net"].problem is None


def test_a_page_that_fails_ends_the_listing_after_what_was_found(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RETRIES", 0)
    hub.tiny, hub.page_size = 30, 10
    hub.faults.append(Fault(FaultKind.INTERNAL, "GET /api/models.*cursor=20", times=99))
    parts = stream_source(HubSettings(author="many"), NoCatalogue())
    assert len(next(parts).references) == 20
    with pytest.raises(SourceError, match=r"listing failed after 20 repositories .* answered 500"):
        next(parts)
    hub.faults.append(Fault(FaultKind.SHORT_BODY, "GET /api/models\\?"))
    assert "does not answer as the Hub does" in refusal(HubSettings(author="many"))


LIST = """
import sys, time
from distributed.errors import SourceError
from distributed.formats import open_checkpoint
from distributed.sources import list_references
from distributed.sources.settings import HubSettings
start = time.monotonic()
try:
    for each in list_references(HubSettings(repos=("samples/net",))):
        print(each.name, each.revision, each.problem)
except SourceError as error:
    print(f"error: {error}")
print(time.monotonic() - start, file=sys.stderr)
"""


def run_alone(environment: dict[str, str]) -> tuple[str, float]:
    """Output, and seconds of listing, of a fresh process: the client reads its environment at import."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", LIST],
        cwd=REPOSITORY,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), float(done.stderr.strip().splitlines()[-1])


def test_a_fresh_process_finds_the_hub_by_its_environment(hub: LoopbackHub, tmp_path: Path) -> None:
    write_model(hub.root / "net")
    repo = hub.repo("samples/net")
    assert repo is not None
    output, _ = run_alone(hub_environment(hub, tmp_path / "home"))
    assert output == f"samples/net {repo.sha} None"


def test_an_interrupt_while_the_hub_wants_a_pause_waits_for_no_thread(hub: LoopbackHub, tmp_path: Path) -> None:
    write_model(hub.root / "net")
    pause = {"Retry-After": "120"}
    hub.faults.append(Fault(FaultKind.TOO_MANY, "GET /api/models/", times=99, headers=pause))
    environment = os.environ | hub_environment(hub, tmp_path / "home")
    with subprocess.Popen(
        [sys.executable, "-c", LIST], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True
    ) as listing:
        while not hub.sent("GET /api/models/samples"):
            assert listing.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        start = time.monotonic()
        listing.send_signal(signal.SIGINT)
        _, said = listing.communicate(timeout=60)
    assert time.monotonic() - start < 20  # most of it to end the interpreter on a busy machine
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_without_a_network_one_line_at_once(hub: LoopbackHub, tmp_path: Path) -> None:
    environment = hub_environment(hub, tmp_path / "home")
    output, seconds = run_alone(environment | {"HF_HUB_OFFLINE": "1"})
    assert output == "error: HF_HUB_OFFLINE is set: unset it to list models of the Hub, or use source=local"
    assert seconds < 20
    assert not hub.requests
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}"
    output, seconds = run_alone(environment | {"HF_ENDPOINT": refused})
    assert output.startswith(f"error: cannot reach the Hub at {refused} (")
    assert "check the network and HF_ENDPOINT" in output
    assert "\n" not in output
    assert seconds < 20
    output, seconds = run_alone(environment | {"HF_ENDPOINT": "http://no-such-host.invalid"})
    assert output.startswith("error: cannot reach the Hub at http://no-such-host.invalid (")
    assert seconds < client_module.PROBE_SECONDS + 20


def test_where_packets_vanish_the_probe_gives_up(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PROBE_SECONDS", 0.5)
    hub.faults.append(Fault(FaultKind.SILENCE, "HEAD"))
    start = time.monotonic()
    assert "cannot reach the Hub at http://127.0.0.1" in refusal(HubSettings(repos=("a/b",)))
    assert time.monotonic() - start < 20
