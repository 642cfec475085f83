"""The resources of each overlay are those that `deeprack plan` asks for with the overlay's settings."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from test_configs import QWEN_14B, r1  # noqa: E402

from manifests import (BIN, OVERLAYS, ROOT, containers, environment, flag_value, kserve, of_kind, only, overlay, pod_templates,  # noqa: E402
                       quantity, settings_table)

# The label that NVIDIA's feature discovery gives a machine -> what is free on one of its cards (tests/cli/test_configs.py).
FREE_ON_A_CARD = {"NVIDIA-H200": "139G", "NVIDIA-H100-80GB-HBM3": "79G"}
# Overlay -> config.json of its model; None: the demo model.
MODELS = {"cpu-demo": None, "cpu-demo-two-pods": None, "distill-one-card": QWEN_14B, "r1-one-node-8xh200": r1(), "r1-four-nodes-8xh100": r1()}
# Settings of `deeprack plan`, by variable.
PLANNED = {"DEEPRACK_TP", "DEEPRACK_KV_BYTES"}


def pod_counts(resources):
    """(pod, how many of it serve together) of all pods that belong to one server."""
    for resource in resources:
        if resource["kind"] == "Deployment":
            yield only(list(pod_templates([resource])))[2], 1
        elif resource["kind"] == "LeaderWorkerSet":
            assert resource["spec"]["replicas"] == 1
            yield only(list(pod_templates([resource])))[2], resource["spec"]["leaderWorkerTemplate"]["size"]


def rank_containers(resources):
    """(container with ranks, its pod, how many such pods)"""
    return [(one, pod, count) for pod, count in pod_counts(resources) for one in containers(pod)
            if one["command"] == ["deeprack-run-ranks"]]


def coordinator_environment(resources):
    return only([environment(one) for pod, _ in pod_counts(resources) for one in containers(pod) if one["name"] == "coordinator"])


def plan(tmp_path, config, values, memory):
    """What `deeprack plan` prints with a coordinator's variables."""
    model = ROOT / "demo/model"
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
        model = tmp_path
    file = ROOT / "configs" / values["DEEPRACK_CONFIG"].rpartition("/")[2]
    flags = [part for variable in sorted(PLANNED & set(values)) for part in (settings_table()[variable][0], values[variable])]
    made = subprocess.run([BIN / "deeprack", "plan", model, "--config", file, "--device-memory", str(memory), *flags],
                          capture_output=True, text=True, timeout=60, env={})
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


def ranks_of(planned):
    return int(re.search(r"(\d+) ranks? on", planned).group(1))


def weights_of(planned):
    """Bytes of the weights of all ranks."""
    number, unit = re.search(r"^all\s+([\d.]+) (\w+)", planned, re.M).groups()
    return float(number) * {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit]


def test_every_overlay_is_planned():
    assert sorted(MODELS) == OVERLAYS


@pytest.mark.parametrize("name", OVERLAYS)
def test_ranks_and_memory_are_those_of_the_plan(tmp_path, name):
    resources = overlay(name)
    one, pod, pods = only(rank_containers(resources))
    limits, values = one["resources"]["limits"], environment(one)
    ranks = int(flag_value(one["args"], "--ranks"))
    if "nvidia.com/gpu" in limits:
        memory = FREE_ON_A_CARD[pod["nodeSelector"]["nvidia.com/gpu.product"]]
        assert limits["nvidia.com/gpu"] == one["resources"]["requests"]["nvidia.com/gpu"] == ranks, "one card for each rank"
    else:
        # Without the setting, a rank starts a thread for each processor of the container's limit.
        threads = int(values.get("DEEPRACK_THREADS") or limits["cpu"])
        assert threads * ranks <= int(one["resources"]["requests"]["cpu"])
        memory = quantity(limits["memory"]) // ranks
        assert one["resources"]["requests"]["memory"] == limits["memory"]
    planned = plan(tmp_path, MODELS[name], coordinator_environment(resources), memory)
    assert ranks_of(planned) == ranks * pods, planned
    backend = "cards" if "nvidia.com/gpu" in limits else "the CPU"
    assert f"on {backend}" in planned
    for claim in of_kind(resources, "PersistentVolumeClaim"):
        assert quantity(claim["spec"]["resources"]["requests"]["storage"]) > weights_of(planned), "the claim holds the weights"


def test_less_memory_would_not_do(tmp_path):
    """The check above can fail: R1 with expert parallelism does not fit four machines whose cards have half the memory."""
    values = coordinator_environment(overlay("r1-four-nodes-8xh100"))
    with pytest.raises(AssertionError, match="bytes|GiB"):
        plan(tmp_path, r1(), values, "24G")


def test_the_kserve_example_has_the_card_of_the_plan(tmp_path):
    one = only(kserve()["spec"]["template"]["containers"])
    planned = plan(tmp_path, QWEN_14B, environment(one), "79G")
    assert ranks_of(planned) == one["resources"]["limits"]["nvidia.com/gpu"] == 1
