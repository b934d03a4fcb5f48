"""What is deployed: valid under the schemas of those who read it, pinned, without root and without secrets."""

from __future__ import annotations

import copy
import hashlib
import json
import lzma
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from distributed.composition import composed
from distributed.settings import ExtractionRun
from launch import lock
from tests.conftest import REPOSITORY

LAUNCH = REPOSITORY / "launch"
CRDS = Path(__file__).parent / "kuberay"
RESOURCES = {"raycluster.yaml": "rayclusters", "rayjob.yaml": "rayjobs"}

#: What a secret looks like: keys and tokens of AWS, the Hub, GitHub; a private key.
SECRET = (
    r"AKIA[0-9A-Z]{16}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|PRIVATE KEY"
    r"|(?i:secret_access_key|password)\s*[:=]\s*\S"
)


def loaded(name: str) -> Any:
    return yaml.safe_load((LAUNCH / name).read_text(encoding="utf-8"))


def pinned() -> dict[str, str]:
    lines = (LAUNCH / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def strict(schema: Any) -> Any:
    """The schema as ``kubectl apply --validate=strict`` reads it: a field that is not in it is an error."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    open_ends = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "additionalProperties")
    if isinstance(schema.get("properties"), dict) and not any(end in schema for end in open_ends):
        closed["additionalProperties"] = False
    return closed


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    """Resource → the schema of its version v1, from the published definitions."""
    found = {}
    for resource in RESOURCES.values():
        name = f"ray.io_{resource}.yaml"
        content = lzma.decompress((CRDS / f"{name}.xz").read_bytes())
        assert hashlib.sha256(content).hexdigest() in (CRDS / "README.md").read_text(encoding="utf-8")
        definition = yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own, described elsewhere
        found[resource] = schema
    return found


def test_ray_takes_the_cluster() -> None:
    """By its own schema, and by its own check after the defaults are filled in."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    schema = json.loads((resources.files("ray.autoscaler") / "ray-schema.json").read_text(encoding="utf-8"))
    config = loaded("cluster.yaml")
    jsonschema.validate(config, schema)
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert types["head"]["max_workers"] == types["head"]["min_workers"] == 0
    assert [types[name]["node_config"].get("InstanceMarketOptions") for name in ("head", "cpu", "gpu")] == [
        None,
        {"MarketType": "spot"},
        {"MarketType": "spot"},
    ]
    assert types["gpu"]["resources"]["GPU"] == 1
    assert "GPU" not in types["head"]["resources"]
    for wrong in ({"head_node": {}, "no_such": 1}, {"available_node_types": {"head": {"resources": {"CPU": "4"}}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**config, **wrong}, schema)


def test_aws_gives_what_the_cluster_asks_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray's own way from the file to instances, on a service that answers as AWS does: nothing is opened on the way."""
    import boto3
    from moto import mock_aws
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray puts a key there
    with mock_aws():
        ec2, iam = (boto3.client(service, region_name="us-west-2") for service in ("ec2", "iam"))
        group = ec2.create_security_group(GroupName="ours", Description="ours")["GroupId"]
        for profile in ("filter-shift-head", "filter-shift-worker"):
            iam.create_instance_profile(InstanceProfileName=profile)
        before = ec2.describe_security_groups()["SecurityGroups"]
        text = (LAUNCH / "cluster.yaml").read_text(encoding="utf-8").replace("sg-00000000000000000", group)
        config = AWSNodeProvider.fillout_available_node_types_resources(prepare_config(yaml.safe_load(text)))
        config = bootstrap_aws(config)
        provider = AWSNodeProvider(config["provider"], "filter-shift")
        for name, node in config["available_node_types"].items():
            provider.create_node(node["node_config"], {"ray-user-node-type": name}, 1)
        assert ec2.describe_security_groups()["SecurityGroups"] == before
        reservations = ec2.describe_instances()["Reservations"]
        instances = [each for reservation in reservations for each in reservation["Instances"]]
    assert {each["InstanceType"] for each in instances} == {"m7i.xlarge", "c7i.4xlarge", "g6.xlarge"}
    assert {each["GroupId"] for instance in instances for each in instance["SecurityGroups"]} == {group}
    assert config["available_node_types"]["gpu"]["resources"]["accelerator_type:L4"] == 1
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0}


def test_the_cluster_on_aws_is_closed() -> None:
    config = loaded("cluster.yaml")
    assert "security_group" not in config["provider"], "Ray adds a rule that lets everybody in"
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    for node in config["available_node_types"].values():
        assert node["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}
        assert all(disk["Ebs"]["Encrypted"] for disk in node["node_config"]["BlockDeviceMappings"])


@pytest.mark.parametrize("name", RESOURCES)
def test_kuberay_takes_the_resources(name: str, schemas: dict[str, Any]) -> None:
    schema, resource = schemas[RESOURCES[name]], loaded(name)
    jsonschema.validate(resource, schema)
    spec = resource["spec"] if name == "raycluster.yaml" else resource["spec"]["rayClusterSpec"]
    spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["imagee"] = "misspelt"
    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        jsonschema.validate(resource, schema)
    spec["workerGroupSpecs"][0] = {"groupName": "cpu", "maxReplicas": "eight"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(resource, schema)


def test_the_job_has_the_cluster_of_the_cluster() -> None:
    assert loaded("rayjob.yaml")["spec"]["rayClusterSpec"] == loaded("raycluster.yaml")["spec"]


def test_pods_are_limited_and_without_root() -> None:
    job = loaded("rayjob.yaml")["spec"]
    cluster = job["rayClusterSpec"]
    groups = {"head": cluster["headGroupSpec"], **{each["groupName"]: each for each in cluster["workerGroupSpecs"]}}
    pods = {name: group["template"]["spec"] for name, group in groups.items()}
    for pod in (*pods.values(), job["submitterPodTemplate"]["spec"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000  # the user of launch/Dockerfile
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
    for name, pod in pods.items():
        [container] = pod["containers"]
        limits = container["resources"]["limits"]
        assert limits.get("nvidia.com/gpu") == ("1" if name == "gpu" else None)
        assert "ephemeral-storage" in limits
        assert [each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"]] == ["hub-token"]
        assert [each["secretRef"]["name"] for each in container["envFrom"]] == ["s3-credentials"]
        assert pod["serviceAccountName"] == "filter-shift"
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert cluster["headGroupSpec"]["enableIngress"] is False


def test_the_job_is_a_run() -> None:
    command, name, *overrides = shlex.split(loaded("rayjob.yaml")["spec"]["entrypoint"])
    assert (command, name) == ("filter-shift", "extract")
    run = composed("extract", ExtractionRun, overrides)
    assert run.cluster.address == "auto"
    assert run.store.uri.startswith("s3://")


def test_versions_of_ray_are_one() -> None:
    assert loaded("raycluster.yaml")["spec"]["rayVersion"] == pinned()["ray"]


def test_the_lock_pins_all_that_runs() -> None:
    """Every package that the project needs, in a version that it and its fellows allow."""
    locked = pinned()
    assert locked.keys() == lock.closure().keys()
    for requirement in lock.needed():
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), (requirement, version)


def test_the_lock_names_no_place() -> None:
    text = (LAUNCH / "requirements.lock").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line), line
    assert not re.search(r"://|--index|--find-links|@ ", text)


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments of the Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (LAUNCH / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line.strip()]


def test_the_image_is_pinned_and_slim() -> None:
    found = instructions()
    defaults = [arguments for name, arguments in found if name == "ARG"]
    assert len(defaults) == 1
    assert re.fullmatch(r"PYTHON=python:3\.11-slim-\w+@sha256:[0-9a-f]{64}", defaults[0])
    stages = [arguments.split() for name, arguments in found if name == "FROM"]
    named = {stage[2] for stage in stages}
    assert all(stage[0] in ("${PYTHON}", "scratch", *named) for stage in stages)
    for name, arguments in found:
        if name == "RUN" and "pip" in arguments:
            assert "--no-deps" in arguments
            assert "--no-cache-dir" in arguments
    assert stages[-1][2] == "kubernetes"  # what is built where no target is named


def test_the_image_is_installed_without_a_network() -> None:
    """From the lock file, and wheels that are in one folder: of the build, or given from outside."""
    [install] = [a for name, a in instructions() if name == "RUN" and "pip install" in a]
    assert "--network=none" in install
    assert {"--no-index", "--no-deps"} <= set(install.split())
    assert "from=wheels,target=/wheels" in install
    assert "source=launch/requirements.lock" in install
    assert install.split()[-1] == canonicalize_name("cnn-filter-shift")


def test_the_image_ends_as_a_user_without_rights() -> None:
    """Each stage that can be run, and with the number that Kubernetes can compare with runAsNonRoot."""
    users: dict[str, str] = {}
    stage = ""
    for name, arguments in instructions():
        if name == "FROM":
            stage = arguments.split()[-1]
        elif name == "USER":
            users[stage] = arguments
        elif name == "RUN":
            assert stage not in users, "nothing is changed after the user is"
    assert users == {"ray-up": "1000:1000", "kubernetes": "1000:1000"}


def test_only_packages_go_into_the_image() -> None:
    """What the build is sent is named; what is copied is of that."""
    lines = (LAUNCH / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word.split("/")[0]
        for name, arguments in instructions()
        if name == "COPY" and "--from" not in arguments
        for word in arguments.split()[:-1]
    }
    assert copied == sent
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"tests", "benchmarks", "notebooks"}
    assert packages <= copied


def test_no_file_of_a_deployment_holds_a_secret() -> None:
    files = [path for path in LAUNCH.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert len(files) > 6
    for path in files:
        assert not re.search(SECRET, path.read_text(encoding="utf-8")), path.name
    assert re.search(SECRET, "AWS_SECRET_ACCESS_KEY=abc")
    for name, arguments in instructions():
        assert name not in ("ARG", "ENV") or not re.search(
            r"(?i)token=(?!token\b)|key|secret", arguments.replace("RAY_AUTH_MODE=token", "")
        )


def test_requirements_are_read() -> None:
    assert Requirement("ray[data,default]>=2.55").name in {each.name for each in lock.needed()}
