"""The manifests of a cluster on Kubernetes are what KubeRay and mar's own commands take."""

from pathlib import Path

import pytest
import yaml

from mar.evaluation.options import RunOptions

MANIFEST = Path(__file__).resolve().parents[2] / "deploy" / "kuberay.yaml"


@pytest.fixture(scope="module")
def documents():
    cluster, job = yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))
    return cluster, job


def test_every_document_is_of_a_kind_that_kuberay_has(documents):
    assert [(d["apiVersion"], d["kind"]) for d in documents] == [("ray.io/v1", "RayCluster"), ("ray.io/v1", "RayJob")]
    assert all(d["metadata"]["name"] for d in documents)
    assert documents[1]["spec"]["clusterSelector"] == {"ray.io/cluster": documents[0]["metadata"]["name"]}


def test_each_group_has_what_the_operator_requires(documents):
    spec = documents[0]["spec"]
    groups = spec["workerGroupSpecs"]
    for group in (spec["headGroupSpec"], *groups):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert container["name"]
        assert container["image"]
        assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
        named = {volume["name"] for volume in group["template"]["spec"].get("volumes", [])}
        assert {mount["name"] for mount in container.get("volumeMounts", [])} == named
    assert len({group["groupName"] for group in groups}) == len(groups)
    assert all(group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in groups)


def test_the_run_s_command_is_one_of_mar_s(documents):
    words = documents[1]["spec"]["entrypoint"].split()
    assert words[:2] == ["mar", "train"]
    assert {w.removeprefix("--") for w in words if w.startswith("--")} - {"task"} <= set(RunOptions.model_fields)
