"""The pod of the CPU demo, run on this machine. The probes, the alarms and the dashboard are held against this server."""

import json
import re
import signal

import pytest
import yaml

from manifests import KUBERNETES, OVERLAYS, ROOT, container, containers, kserve, of_kind, only, overlay, pod_templates, probes, quantity
from pod_processes import PodProcesses, free_port
from processes import workers_under

NAME = r"(?:vllm|deeprack):[a-zA-Z0-9_]+"
SUFFIXES = ("_bucket", "_sum", "_count")


@pytest.fixture(scope="module")
def pod(tmp_path_factory):
    """The two containers of the pod, started in Kubernetes' order: the sidecar first."""
    spec = only([pod for where, _, pod in pod_templates(overlay("cpu-demo")) if where.startswith("Deployment")])
    cluster = f"127.0.0.1:{free_port()}"
    with PodProcesses(tmp_path_factory.mktemp("pod")) as running:
        running.rank = running.start(container(spec, "rank"), DEEPRACK_COORDINATOR=cluster)
        running.start_coordinator(container(spec, "coordinator"), DEEPRACK_CLUSTER_ADDRESS=cluster)
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def metrics(pod):
    """The names that /metrics shows, with those of a histogram's series."""
    text = pod.get("/metrics")[1]
    names = set(re.findall(rf"^({NAME})[ {{]", text, re.M))
    assert "vllm:time_to_first_token_seconds_bucket" in names
    return names


def labels_of(pod, metric):
    return set(re.findall(r'(\w+)="', "".join(re.findall(rf"^{metric}{{(.*)}}", pod.get("/metrics")[1], re.M))))


def test_it_answers(pod):
    status, body = pod.get("/v1/chat/completions", {"model": "demo", "temperature": 0, "max_tokens": 300,
                                                    "messages": [{"role": "user", "content": "What is 17 + 25?"}]})
    assert status == 200 and "42" in json.loads(body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("name", [*OVERLAYS, "kserve"])
def test_every_probe_is_answered(pod, name):
    asked = {probe["httpGet"]["path"] for _, _, one in pod_templates([kserve()] if name == "kserve" else overlay(name))
             for part in containers(one) for probe in probes(part) if "httpGet" in probe}
    assert asked == {"/ready", "/health"}
    for path in asked:
        assert pod.get(path)[0] == 200


def test_alarms_name_metrics_that_exist(pod, metrics):
    rules = [rule for group in only(of_kind(overlay("distill-one-card"), "PrometheusRule"))["spec"]["groups"] for rule in group["rules"]]
    assert len(rules) > 8
    for rule in rules:
        named = re.findall(NAME, rule["expr"])
        assert named and set(named) <= metrics, rule
        # What Prometheus adds to each series, and what the series has itself.
        known = {"namespace", "pod"} | set().union(*(labels_of(pod, metric) for metric in named))
        for text in [rule["expr"], *rule["annotations"].values()]:
            used = re.findall(r"\$labels\.(\w+)", text) + re.findall(r"[{,](\w+)=", text)
            assert set(used) <= known, rule


def test_every_alarm_of_the_page_is_a_rule(metrics):
    """The table of docs/OPERATING.md and the rules name the same metrics of deeprack's own and vLLM's names."""
    page = (ROOT / "docs/OPERATING.md").read_text()
    table = page[page.index("Alarms worth having:"):page.index("A row of logits")]
    rules = "".join(rule["expr"] for group in only(of_kind(overlay("distill-one-card"), "PrometheusRule"))["spec"]["groups"]
                    for rule in group["rules"])
    assert set(re.findall(NAME, table)) == set(re.findall(NAME, rules))


def test_the_dashboard_shows_metrics_that_exist(pod, metrics):
    board = json.loads(only([one for one in of_kind(overlay("distill-one-card"), "ConfigMap")
                             if one["metadata"]["name"] == "deeprack-dashboard"])["data"]["deeprack.json"])
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len(panels) > 10
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    for query in queries + [variable["query"]["query"] for variable in board["templating"]["list"][1:]]:
        named = re.findall(NAME, query)
        assert named and set(named) <= metrics, query
        known = {"namespace", "pod", "le"}.union(*(labels_of(pod, metric) for metric in named))
        for grouping in re.findall(r"by \(([^)]*)\)", query):
            assert set(grouping.split(", ")) <= known, query


def test_autoscalers_and_the_endpoint_picker_read_metrics_that_exist(metrics):
    trigger = only(only(of_kind(overlay("distill-one-card"), "ScaledObject"))["spec"]["triggers"])
    assert set(re.findall(NAME, trigger["metadata"]["query"])) == {"vllm:num_requests_waiting"} <= metrics
    folder = KUBERNETES / "components/autoscaling-hpa"
    rule = only(yaml.safe_load((folder / "prometheus-adapter.yaml").read_text())["rules"]["custom"])
    scaler = yaml.safe_load((folder / "horizontal-pod-autoscaler.yaml").read_text())
    assert rule["name"]["as"] == only(scaler["spec"]["metrics"])["pods"]["metric"]["name"]
    assert rule["name"]["matches"] in metrics and rule["seriesQuery"].startswith(rule["name"]["matches"] + "{")
    text = (KUBERNETES / "components/inference-pool/kustomization.yaml").read_text()
    assert len(set(re.findall(NAME, text))) == 4 and set(re.findall(NAME, text)) <= metrics


def test_it_takes_no_more_memory_than_its_limits(pod):
    """Both processes, most of their life long, after answers of every test above."""
    limits = {one["name"]: quantity(one["resources"]["limits"]["memory"])
              for _, _, spec in pod_templates(overlay("cpu-demo")) for one in containers(spec)}
    worker = only(workers_under(pod.rank.pid))
    for name, process in (("coordinator", pod.coordinator.pid), ("rank", worker)):
        status = open(f"/proc/{process}/status").read()
        most = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) << 10
        assert most < limits[name], f"{name} took {most} bytes"


def test_ended_as_kubernetes_ends_it(pod):
    """The coordinator gets SIGTERM first and ends with 0; the sidecar after it. The last test of this file."""
    pod.coordinator.send_signal(signal.SIGTERM)
    assert pod.coordinator.wait(timeout=60) == 0, pod.read_log()
    assert pod.rank.poll() is None
    pod.rank.send_signal(signal.SIGTERM)
    assert pod.rank.wait(timeout=60) == 0, pod.read_log()
