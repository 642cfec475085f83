"""The NetworkPolicies of deploy/kubernetes let through the connections that deeprack makes, and no other port."""

import pytest

from manifests import OVERLAYS, containers, environment, flag_value, of_kind, only, overlay, pod_templates

ANY = "any port"


def ports_of(rule):
    """The ports that a rule opens, as a set of numbers; all of TCP when it names none."""
    if "ports" not in rule:
        return {ANY}
    return {number for port in rule["ports"] for number in range(port["port"], port.get("endPort", port["port"]) + 1)}


def components(peers):
    """The components of this namespace whose pods a rule names; "*" for all of them, and namespaces by their labels."""
    names = set()
    for peer in peers:
        if "namespaceSelector" in peer:
            names.add(only(list(peer["namespaceSelector"]["matchLabels"].values())))
        else:
            names.add(peer["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component", "*"))
    return names


def open_connections(name):
    """(from, to, direction) -> ports. "ranks", "coordinator", "*", or a label of a namespace."""
    found = {}
    for policy in of_kind(overlay(name), "NetworkPolicy"):
        spec = policy["spec"]
        own = spec["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component", "*")
        assert "ingress" not in spec or "Ingress" in spec["policyTypes"]
        assert "egress" not in spec or "Egress" in spec["policyTypes"]
        for rule in spec.get("ingress", []):
            for other in components(rule["from"]):
                found.setdefault((other, own, "ingress"), set()).update(ports_of(rule))
        for rule in spec.get("egress", []):
            for other in components(rule["to"]):
                found.setdefault((own, other, "egress"), set()).update(ports_of(rule))
    return found


def pods_by_component(name):
    return {labels["app.kubernetes.io/component"]: pod for _, labels, pod in pod_templates(overlay(name))}


@pytest.mark.parametrize("name", OVERLAYS)
def test_everything_else_is_denied(name):
    denies = only([one for one in of_kind(overlay(name), "NetworkPolicy") if one["metadata"]["name"] == "deny-all"])
    assert denies["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert {one["metadata"]["namespace"] for one in overlay(name) if one["kind"] != "Namespace"} == {"deeprack"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_open_ports_are_those_in_use(name):
    pods, opened = pods_by_component(name), open_connections(name)
    coordinator = environment(only([one for one in pods["coordinator"]["containers"] if one["name"] == "coordinator"]))
    http = {int(coordinator["DEEPRACK_PORT"])}
    expected = {("*", "coordinator", "ingress"): http, ("allowed", "coordinator", "ingress"): http}
    if of_kind(overlay(name), "ServiceMonitor"):
        expected["monitoring", "coordinator", "ingress"] = http
    if "ranks" in pods:
        arguments = only(pods["ranks"]["containers"])["args"]
        first, ranks = int(flag_value(arguments, "--first-port")), int(flag_value(arguments, "--ranks"))
        called_back = set(range(first, first + ranks))
        cluster = {int(coordinator["DEEPRACK_CLUSTER_ADDRESS"].rpartition(":")[2])}
        for direction in ("ingress", "egress"):
            expected["coordinator", "ranks", direction] = called_back
            expected["ranks", "coordinator", direction] = cluster
            expected["ranks", "ranks", direction] = {ANY}
        expected["ranks", "kube-system", "egress"] = {53}
    assert opened == expected


@pytest.mark.parametrize("name", OVERLAYS)
def test_services_lead_to_the_ports_in_use(name):
    pods = pods_by_component(name)
    ports = {port["name"]: port["containerPort"] for one in containers(pods["coordinator"]) for port in one.get("ports", [])}
    coordinator = environment(only([one for one in pods["coordinator"]["containers"] if one["name"] == "coordinator"]))
    expected = {"http": int(coordinator["DEEPRACK_PORT"])}
    if "ranks" in pods:
        expected["cluster"] = int(coordinator["DEEPRACK_CLUSTER_ADDRESS"].rpartition(":")[2])
    assert ports == expected
    services = of_kind(overlay(name), "Service")
    assert {port["targetPort"]: port["port"] for service in services for port in service["spec"]["ports"]} == expected
    for service in services:
        if service["metadata"]["name"] == "deeprack-cluster":
            assert service["spec"]["clusterIP"] == "None", "the coordinator must see a rank's own address"
            assert service["spec"]["publishNotReadyAddresses"] is True, "it becomes ready only when the ranks have joined"
            rank = environment(only(pods["ranks"]["containers"]))
            assert rank["DEEPRACK_COORDINATOR"] == f"deeprack-cluster:{expected['cluster']}"
    for pool in of_kind(overlay(name), "InferencePool"):
        assert pool["spec"]["targetPorts"] == [{"number": expected["http"]}]


def test_autoscaled_servers_are_whole():
    """Replicas of a coordinator without ranks of its own would wait for ranks for ever."""
    for name in OVERLAYS:
        if of_kind(overlay(name), "ScaledObject") or of_kind(overlay(name), "HorizontalPodAutoscaler"):
            assert not of_kind(overlay(name), "LeaderWorkerSet"), name
            assert "replicas" not in only(of_kind(overlay(name), "Deployment"))["spec"]
        elif of_kind(overlay(name), "LeaderWorkerSet"):
            spec = only(of_kind(overlay(name), "Deployment"))["spec"]
            assert spec["replicas"] == 1 and spec["strategy"] == {"type": "Recreate"}
