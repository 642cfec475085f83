"""Every manifest has only fields that its kind has: Kubernetes' own kinds by the published schemas, custom resources by the schemas
of tests/deploy/schemas."""

import functools
import json
import pathlib

import jsonschema
import kubernetes_validate
import pytest
import yaml

from manifests import COMPONENTS, KUBERNETES, OVERLAYS, build_folder, kserve, of_kind, overlay, pod_templates

SCHEMAS = pathlib.Path(__file__).parent / "schemas"
VERSIONS = ("1.34", kubernetes_validate.latest_version())  # the oldest that docs/DEPLOY.md names, and the newest known


@functools.cache
def custom_schemas():
    """Kind -> (apiVersion, schema)."""
    definitions = yaml.safe_load((SCHEMAS / "definitions.yaml").read_text())
    kinds = {}
    for path in SCHEMAS.glob("*.yaml"):
        if path.name != "definitions.yaml":
            file = yaml.safe_load(path.read_text())
            jsonschema.Draft202012Validator.check_schema(file["schema"])
            kinds[path.stem] = file["apiVersion"], file["schema"] | {"$defs": definitions}
    return kinds


@functools.cache
def check_core(text):
    for version in VERSIONS:
        kubernetes_validate.validate(json.loads(text), version, strict=True)


def check(resource):
    if resource["kind"] not in custom_schemas():
        return check_core(json.dumps(resource, sort_keys=True))
    version, schema = custom_schemas()[resource["kind"]]
    assert resource["apiVersion"] == version
    jsonschema.Draft202012Validator(schema).validate(resource)
    for _, labels, pod in pod_templates([resource]):
        check_core(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "labels": labels}, "spec": pod},
                              sort_keys=True))
    if resource["kind"] == "ScaledObject":
        spec = resource["spec"]
        check_core(json.dumps({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"},
                               "spec": {"scaleTargetRef": spec["scaleTargetRef"], "maxReplicas": spec["maxReplicaCount"],
                                        "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]}}, sort_keys=True))


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_has_only_known_fields(name):
    for resource in overlay(name):
        check(resource)


def test_the_kserve_example_has_only_known_fields():
    check(kserve())


@pytest.fixture(scope="module")
def with_the_rest(tmp_path_factory):
    """An overlay of the components that no overlay of the repository has."""
    used = {pathlib.PurePosixPath(path).name for name in OVERLAYS
            for path in yaml.safe_load((KUBERNETES / "overlays" / name / "kustomization.yaml").read_text())["components"]}
    rest = sorted(set(COMPONENTS) - used)
    assert rest == ["autoscaling-hpa", "weights-image"]
    # Kustomize takes folders by a relative path only, so the copy lies beside the original's copy.
    copy = tmp_path_factory.mktemp("tree")
    (copy / "deploy").mkdir()
    (copy / "configs").symlink_to(KUBERNETES.parents[1] / "configs")
    (copy / "deploy" / "kubernetes").symlink_to(KUBERNETES)
    folder = copy / "own"
    folder.mkdir()
    components = ["rank-in-the-pod", *rest]
    base = pathlib.Path("../deploy/kubernetes")
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "deeprack",
        "resources": [str(base / "base")],
        "components": [str(base / "components" / name) for name in components]}))
    return build_folder(folder)


def test_the_other_components_have_only_known_fields(with_the_rest):
    for resource in with_the_rest:
        check(resource)
    scaler, deployment = of_kind(with_the_rest, "HorizontalPodAutoscaler")[0], of_kind(with_the_rest, "Deployment")[0]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    assert {"name": "weights", "image": {"reference": "registry.example/models:1", "pullPolicy": "IfNotPresent"}} in (
        deployment["spec"]["template"]["spec"]["volumes"])


def test_wrong_fields_are_found():
    """The checks of this file find a misspelled field, a wrong type and a wrong version."""
    deployment = json.loads(json.dumps(of_kind(overlay("cpu-demo"), "Deployment")[0]))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(deployment)
    ranks = json.loads(json.dumps(of_kind(overlay("r1-one-node-8xh200"), "LeaderWorkerSet")[0]))
    with pytest.raises(AssertionError):
        check(ranks | {"apiVersion": "leaderworkerset.x-k8s.io/v2"})
    ranks["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["tolerance"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        check(ranks)
    del ranks["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["tolerance"]
    ranks["spec"]["leaderWorkerTemplate"]["size"] = "4"
    with pytest.raises(jsonschema.ValidationError):
        check(ranks)
