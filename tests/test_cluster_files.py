"""The files for clusters: what Ray and KubeRay would say of them, and whether the commands in them exist."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from nas.cli import cli
from tests.conftest import REPOSITORY

FILES = ("cluster/autoscaler.yaml", "cluster/kuberay.yaml", "docs/cluster.md")

# Fields of ray.io/v1 (KubeRay 1.1 and later), from its CustomResourceDefinitions.
JOB = {
    "activeDeadlineSeconds", "backoffLimit", "clusterSelector", "entrypoint", "entrypointNumCpus", "entrypointNumGpus",
    "entrypointResources", "jobId", "metadata", "rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes",
    "submissionMode", "submitterPodTemplate", "suspend", "ttlSecondsAfterFinished",
}  # fmt: skip
CLUSTER = {
    "autoscalerOptions", "enableInTreeAutoscaling", "headGroupSpec", "headServiceAnnotations", "rayVersion", "suspend",
    "workerGroupSpecs",
}  # fmt: skip
AUTOSCALER = {
    "env",
    "envFrom",
    "idleTimeoutSeconds",
    "image",
    "imagePullPolicy",
    "resources",
    "securityContext",
    "upscalingMode",
}
HEAD = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKERS = {
    "groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams", "replicas",
    "scaleStrategy", "template",
}  # fmt: skip


def _read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def _documents() -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(_read("cluster/kuberay.yaml"))}


def test_rays_cluster_launcher_accepts_its_file() -> None:
    pytest.importorskip("jsonschema")
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load(_read("cluster/autoscaler.yaml"))
    full = prepare_config(copy.deepcopy(config))
    validate_config(full)  # against ray/autoscaler/ray-schema.json, which allows no key that it does not know
    types = full["available_node_types"]
    assert full["head_node_type"] in types
    assert types["head"]["resources"]["CPU"] == 0
    assert types["gpu"]["min_workers"] >= 1  # a search asks it what a GPU has
    assert types["gpu"]["max_workers"] <= config["max_workers"]

    config["autoscaler"] = True
    with pytest.raises(Exception, match="Additional properties are not allowed"):
        validate_config(prepare_config(config))


def test_the_ray_job_has_the_fields_of_kuberay() -> None:
    job = _documents()["RayJob"]
    assert job["apiVersion"] == "ray.io/v1"
    spec = job["spec"]
    assert spec.keys() <= JOB
    cluster = spec["rayClusterSpec"]
    assert cluster.keys() <= CLUSTER
    assert cluster["autoscalerOptions"].keys() <= AUTOSCALER
    assert cluster["headGroupSpec"].keys() <= HEAD
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}  # strings: that is what KubeRay reads
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= WORKERS
        assert 1 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    templates = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    for template in templates:
        for container in template["spec"]["containers"]:
            assert {"name", "image", "resources"} <= container.keys()
            for amounts in container["resources"].values():
                assert all(isinstance(amount, str) for amount in amounts.values())
            volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    gpus = [
        group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
        for group in cluster["workerGroupSpecs"]
    ]
    assert gpus == ["1"]


def test_the_search_reaches_the_database_beside_it() -> None:
    documents = _documents()
    service, database = documents["Service"], documents["StatefulSet"]
    assert service["spec"]["selector"] == database["spec"]["template"]["metadata"]["labels"]
    assert database["spec"]["selector"]["matchLabels"] == database["spec"]["template"]["metadata"]["labels"]
    (server,) = database["spec"]["template"]["spec"]["containers"]
    (head,) = documents["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry for entry in head["env"]}
    names = list(environment)
    assert names.index("POSTGRES_PASSWORD") < names.index("NAS_STORAGE")  # Kubernetes fills in what stands before
    assert environment["POSTGRES_PASSWORD"]["valueFrom"] == server["env"][-1]["valueFrom"]
    storage = environment["NAS_STORAGE"]["value"]
    user, name = (
        next(entry["value"] for entry in server["env"] if entry["name"] == key)
        for key in ("POSTGRES_USER", "POSTGRES_DB")
    )
    port = service["spec"]["ports"][0]["port"]
    assert storage == f"postgresql+psycopg://{user}:$(POSTGRES_PASSWORD)@{service['metadata']['name']}:{port}/{name}"

    from nas.store import connection

    assert "PASSWORD" not in connection.shown(connection.parse(storage.replace("$(POSTGRES_PASSWORD)", "PASSWORD")))


def test_every_file_means_the_same_ray_and_the_same_image() -> None:
    import tomllib

    image = _read("cluster/Dockerfile")
    version = re.search(r"FROM rayproject/ray:([\d.]+)-py311-gpu", image)
    assert version
    job = _documents()["RayJob"]["spec"]["rayClusterSpec"]
    assert job["rayVersion"] == version[1]
    needs = next(
        need for need in tomllib.loads(_read("pyproject.toml"))["project"]["dependencies"] if need.startswith("ray")
    )
    assert version[1] in SpecifierSet(needs.partition("]")[2])
    images = re.findall(r"image: (registry\S+)", _read("cluster/kuberay.yaml") + _read("cluster/autoscaler.yaml"))
    assert len(images) == 3
    assert set(images) == set(re.findall(r"-t (registry\S+)", image))


def _commands(text: str) -> Iterator[list[str]]:
    """Every `nas …` of a file, with what a backslash or an indented comment continues."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    joined = re.sub(r"(?m)\n#\s{7,}(?=--)", " ", joined)
    for found in re.finditer(r"(?<![\w./-])nas ((?:search|study|bench|retrain|dashboard) [^\n`'#…]*)", joined):
        yield shlex.split(found[1])


@pytest.mark.parametrize("name", FILES)
def test_the_commands_exist_with_these_options(name: str) -> None:
    text = _read(name)
    if name.endswith("kuberay.yaml"):
        text += _documents()["RayJob"]["spec"]["entrypoint"] + "\n"
    commands = list(_commands(text))
    assert any(words[0] == "search" and "--ray-address" in words for words in commands)
    for words in commands:
        command, rest = cli, words
        while hasattr(command, "get_command") and rest:
            command, rest = command.get_command(None, rest[0]), rest[1:]  # type: ignore[arg-type, assignment]
        if rest:
            command.make_context(words[0], list(rest))


def test_the_page_names_every_file() -> None:
    page = _read("docs/cluster.md")
    for path in sorted(Path(REPOSITORY / "cluster").iterdir()):
        assert f"cluster/{path.name}" in page
