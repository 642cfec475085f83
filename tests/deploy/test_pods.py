"""What the pods of deploy/kubernetes may do, mount, run and reach, held against the image and the programs."""

import re
import subprocess

import pytest

from image_files import IMAGE_TAGS, files, folders
from manifests import (BIN, COMPONENTS, OVERLAYS, ROOT, container, containers, environment, flag_value, kserve, number, of_kind, only, overlay,
                       pod_templates, probes, quantity, settings_table)

SETS = [*OVERLAYS, "kserve"]
SETTINGS = settings_table()
RUN_RANKS = (ROOT / "deploy/image/run-ranks").read_text()
PROGRAMS = {"deeprack-coordinator": "coordinator", "deeprack-run-ranks": "worker", "deeprack": "deeprack"}


def resources(name):
    return [kserve()] if name == "kserve" else overlay(name)


def pods(name):
    found = list(pod_templates(resources(name)))
    assert found
    return found


def by_label(resource, labels):
    selector = resource["spec"]["selector"]
    return set(selector.get("matchLabels", selector).items()) <= set(labels.items())


@pytest.mark.parametrize("name", SETS)
def test_no_container_has_rights_that_it_does_not_need(name):
    for where, _, pod in pods(name):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] == 10001 and context["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), where
        for one in containers(pod):
            assert one["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                              "capabilities": {"drop": ["ALL"]}}, where
            assert "memory" in one["resources"]["limits"] and "cpu" in one["resources"]["requests"], where


@pytest.mark.parametrize("name", SETS)
def test_services_set_no_variables(name):
    """Kubernetes would set DEEPRACK_PORT to the address of the Service `deeprack`, which the programs take for a setting."""
    assert "DEEPRACK_PORT" in SETTINGS
    for where, _, pod in pods(name):
        assert pod["enableServiceLinks"] is False, where


@pytest.mark.parametrize("name", SETS)
def test_every_variable_and_flag_is_known(name):
    for where, _, pod in pods(name):
        for one in containers(pod):
            program = PROGRAMS[one["command"][0]]
            for variable in environment(one):
                known_to = {"DEEPRACK_CONFIG": set(PROGRAMS.values())}.get(variable) or SETTINGS[variable][1]
                assert program in known_to, f"{where}: {program} does not take {variable}"
            if program == "worker":
                for flag in [part for part in one.get("args", []) if part.startswith("--")]:
                    assert f"    {flag}) " in RUN_RANKS, f"{where}: deeprack-run-ranks does not take {flag}"
            else:
                assert "args" not in one


@pytest.mark.parametrize("name", SETS)
def test_programs_files_and_folders_are_in_the_image(name):
    for where, _, pod in pods(name):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for one in containers(pod):
            assert f"/usr/local/bin/{one['command'][0]}" in files(), where
            mounts = {mount["mountPath"]: mount for mount in one["volumeMounts"]}
            for path, mount in mounts.items():
                assert path in folders() | {"/dev/shm", "/tmp"}, f"{where}: the image has no {path}"
                assert mount["name"] in volumes and (mount.get("readOnly") or "emptyDir" in volumes[mount["name"]]), f"{where}: {path}"
            for variable, value in environment(one).items():
                if value.startswith("/") and not value.startswith(("/mnt/models", "/models")):
                    there = value in files() or value in folders() or any(value == f"{path}/keys" for path in mounts)
                    assert there, f"{where}: {variable}={value} is neither in the image nor mounted"
        assert {mount["name"] for one in containers(pod) for mount in one["volumeMounts"]} == set(volumes), where


@pytest.mark.parametrize("name", SETS)
def test_images_are_those_that_the_dockerfile_makes(name):
    for where, _, pod in pods(name):
        on_card = any("nvidia.com/gpu" in one["resources"]["limits"] for one in containers(pod)) or not name.startswith("cpu-demo")
        for one in containers(pod):
            assert one["image"] == f"registry.example/deeprack:{IMAGE_TAGS['cuda' if on_card else 'cpu']}", where


@pytest.mark.parametrize("name", SETS)
def test_secrets_config_maps_and_claims_exist_or_are_told(name):
    """What the manifests do not make themselves, docs/DEPLOY.md tells how to make."""
    page = (ROOT / "docs/DEPLOY.md").read_text()
    made = {(one["kind"], one["metadata"]["name"]) for one in resources(name)}
    for where, _, pod in pods(name):
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made, where
            elif "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in made, where
            elif "secret" in volume:
                assert re.search(rf"create secret generic {volume['secret']['secretName']}\b", page), volume
        assert name == "kserve" or ("ServiceAccount", pod["serviceAccountName"]) in made


@pytest.mark.parametrize("name", SETS)
def test_the_weights_are_where_the_config_says(name):
    """The model's folder lies below a mount; that of the demo lies in the image."""
    for where, _, pod in pods(name):
        for one in containers(pod):
            values = environment(one)
            if "DEEPRACK_CONFIG" not in values or one["command"][0] == "deeprack-run-ranks":
                continue
            config = (ROOT / "configs" / values["DEEPRACK_CONFIG"].rpartition("/")[2]).read_text()
            in_file = re.search(r"^model: (\S+)", config, re.M)
            model = values.get("DEEPRACK_MODEL") or in_file.group(1)
            weights = next((volume for volume in pod["volumes"] if volume["name"] == "weights"), None)
            if name.startswith("cpu-demo"):
                assert f"{model}/config.json" in files()
            elif name != "kserve":
                assert model.startswith("/models/") and "emptyDir" not in weights, where


@pytest.mark.parametrize("name", SETS)
def test_a_pod_has_time_to_drain(name):
    for where, _, pod in pods(name):
        for one in containers(pod):
            values = environment(one)
            if "DEEPRACK_DRAIN_SECONDS" in values:
                wait = one["lifecycle"]["preStop"]["sleep"]["seconds"]
                assert pod["terminationGracePeriodSeconds"] >= wait + int(values["DEEPRACK_DRAIN_SECONDS"]) + 10, where


@pytest.mark.parametrize("name", SETS)
def test_probes_ask_ports_that_are_open(name):
    for where, _, pod in pods(name):
        for one in containers(pod):
            for probe in probes(one):
                asked = number((probe.get("httpGet") or probe["tcpSocket"])["port"], one)
                if "httpGet" in probe:
                    assert asked == int(environment(one)["DEEPRACK_PORT"]), where
                else:
                    assert asked == int(flag_value(one["args"], "--first-port")), where


@pytest.mark.parametrize("name", SETS)
def test_loading_has_the_time_that_it_needs(name):
    """R1 may load for 80 minutes, and the rollout does not count as failed before."""
    for where, _, pod in pods(name):
        for probe in [one["startupProbe"] for one in containers(pod) if "startupProbe" in one]:
            assert probe["httpGet"]["path"] == "/ready"
            seconds = probe["periodSeconds"] * probe["failureThreshold"]
            assert seconds >= (80 * 60 if name.startswith("r1") else 5 * 60), where
            for deployment in of_kind(resources(name), "Deployment"):
                assert deployment["spec"]["progressDeadlineSeconds"] > seconds


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_rank_of_a_pod_outlives_its_coordinator(name):
    """A rank in the coordinator's pod is a sidecar: Kubernetes ends it after the coordinator has drained."""
    for where, labels, pod in pods(name):
        for one in pod.get("initContainers", []):
            assert one["restartPolicy"] == "Always", where
            assert environment(one)["DEEPRACK_COORDINATOR"] == environment(container(pod, "coordinator"))["DEEPRACK_CLUSTER_ADDRESS"]
            assert environment(one)["DEEPRACK_COORDINATOR"].startswith("127.0.0.1:"), where


@pytest.mark.parametrize("name", OVERLAYS)
def test_selectors_find_pods(name):
    labels = [labels for _, labels, _ in pods(name)]
    for resource in overlay(name):
        if resource["kind"] in ("Service", "PodDisruptionBudget", "InferencePool"):
            found = [one for one in labels if by_label(resource, one)]
            assert len(found) == 1, resource["metadata"]
        if resource["kind"] == "ServiceMonitor":
            service = only([one for one in of_kind(overlay(name), "Service") if by_label(resource, one["metadata"]["labels"])])
            assert resource["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("name", [name for name in OVERLAYS if not name.startswith("cpu-demo")])
def test_coordinator_takes_the_settings(name):
    """The program itself reads each value. It stops at the first thing that is missing here: the model."""
    for where, _, pod in pods(name):
        one = container(pod, "coordinator") if where.startswith("Deployment") else None
        if one is None:
            continue
        values = environment(one)
        values["DEEPRACK_CONFIG"] = str(ROOT / "configs" / values["DEEPRACK_CONFIG"].rpartition("/")[2])
        end = subprocess.run([BIN / "deeprack-coordinator"], env=values, capture_output=True, text=True, timeout=120)
        assert end.returncode == 78 and re.fullmatch(r"deeprack-coordinator: /models/\S+: .*\n", end.stderr), end.stderr


@pytest.mark.parametrize("name", [name for name in OVERLAYS if name.startswith("r1") or name == "cpu-demo-two-pods"])
def test_ranks_keep_their_weights_when_the_coordinator_is_replaced(name):
    one = only([container(pod, "coordinator") for where, _, pod in pods(name) if where.startswith("Deployment")])
    assert environment(one)["DEEPRACK_STOP_WORKERS"] == "false"


@pytest.mark.parametrize("name", [name for name in OVERLAYS if name.startswith("r1") or name == "cpu-demo-two-pods"])
def test_worker_takes_the_settings(name):
    """The program itself reads each value. It stops at the first thing that is missing here: the certificates."""
    one = only(only([pod for where, _, pod in pods(name) if where.startswith("LeaderWorkerSet")])["containers"])
    end = subprocess.run([BIN / "deeprack-worker", "--listen", "0.0.0.0:7001", "--card", "0"], env=environment(one),
                         capture_output=True, text=True, timeout=120)
    assert end.returncode == 78 and "/etc/deeprack/tls: no such folder" in end.stderr, end.stderr


def test_the_page_has_every_folder():
    page = (ROOT / "docs/DEPLOY.md").read_text()
    for name in [f"overlays/{one}" for one in OVERLAYS] + [f"components/{one}" for one in COMPONENTS]:
        assert f"`{name}`" in page or f"`deploy/kubernetes/{name}`" in page, name


def test_sizes_are_read():
    assert quantity("4Gi") == 4 << 30 and quantity("512Mi") == 512 << 20 and quantity(3) == 3
