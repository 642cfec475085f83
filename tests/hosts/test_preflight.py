"""`deeprack preflight` on racks of network namespaces: a rack that is fit, and racks with known faults."""

import json
import os
import shutil
import signal
import subprocess

import pytest

import clusters  # finds the modules of tests/api
from faulty_rack import SLOW_MEGABITS, FaultyRack
from ranks_cluster import BIN, MODEL

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
SHARDS = ["model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors"]  # of the demo model
PORT = 7300
VERSION = subprocess.run([BIN / "deeprack", "version"], capture_output=True, text=True).stdout.split()[-1]
OTHER_VERSION = VERSION[:-1] + ("8" if VERSION.endswith("9") else "9")


def preflight(rack, *flags, launch=True):
    """Runs the command on the head. `launch`: by --hosts, with two ranks on the head and one on each other host."""
    command = [BIN / "deeprack", "preflight", "--cluster-address", f"{rack.head.address}:{PORT}", "--port", PORT + 1,
               "--cluster-tls", rack.tls, *flags]
    if launch:
        slots = [2] + [1] * (len(rack.hosts) - 1)
        command += ["--hosts", ",".join(f"{host.address}:{n}" for host, n in zip(rack.hosts, slots))]
    return subprocess.run(rack.head.command(*command), capture_output=True, text=True, timeout=100,
                          env=rack.environment)


def report_of(rack, *flags, **options):
    ended = preflight(rack, *flags, "--json", **options)
    assert ended.stdout, ended.stderr
    report = json.loads(ended.stdout)
    assert ended.returncode == (0 if report["fit"] else 69), ended.stderr
    return report


def rows(report, check, verdict=None):
    return [row for row in report["findings"] if row["check"] == check and verdict in (None, row["verdict"])]


@pytest.fixture(scope="module")
def fit():
    """The report of three hosts without a fault."""
    with FaultyRack(3) as rack:
        return report_of(rack, "--tp", 2, "--dp", 2)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """The report of three hosts with a fault of each kind. The hosts are 10.77.0.1 to 10.77.0.3."""
    folder = tmp_path_factory.mktemp("faults")
    with FaultyRack(3) as rack:
        second, third = rack.hosts[1:]
        rack.throttle(second, SLOW_MEGABITS)
        # The second host: another version, a missing shard, a clock three seconds ahead.
        other = folder / "deeprack"
        program = (BIN / "deeprack").read_bytes()
        version, another = (f"\0{text}\0".encode() for text in (VERSION, OTHER_VERSION))
        assert program.count(version) == 1
        other.write_bytes(program.replace(version, another))
        other.chmod(0o755)
        rack.mount_over(second, BIN / "deeprack", other)
        missing = folder / "missing"
        shutil.copytree(MODEL, missing)
        (missing / SHARDS[1]).unlink()
        rack.mount_over(second, MODEL, missing)
        rack.run_at_start(second, f"export LD_PRELOAD={LIBFAKETIME} FAKETIME=+3s FAKETIME_DONT_FAKE_MONOTONIC=1")
        # The third host: a changed shard, and less free memory than its rank takes.
        changed = folder / "changed"
        shutil.copytree(MODEL, changed)
        shard = bytearray((changed / SHARDS[0]).read_bytes())
        shard[-9] ^= 1
        (changed / SHARDS[0]).write_bytes(shard)
        rack.mount_over(third, MODEL, changed)
        meminfo = folder / "meminfo"
        meminfo.write_text("MemTotal: 65536 kB\nMemFree: 8192 kB\nMemAvailable: 8192 kB\n")
        rack.mount_over(third, "/proc/meminfo", meminfo)
        return report_of(rack, "--tp", 2, "--dp", 2)


def test_a_fit_rack(fit):
    assert fit["fit"] is True
    assert rows(fit, "host", "ok") and not [row for row in fit["findings"] if row["verdict"] == "fail"], fit["findings"]
    assert len(fit["links"]) == 6
    for link in fit["links"]:
        assert link["failure"] == ""
        assert 5e6 < link["bytes_per_second"] < 40e6  # 200 Mbit/s are 25 MB/s
        assert 0 < link["round_trip_seconds"] < 0.1
    assert [host["ranks"] for host in fit["hosts"]] == [[0, 1], [2], [3]]
    for host in fit["hosts"]:
        assert abs(host["clock_offset_seconds"]) < 0.5
        assert host["coordinator"]["up_bytes_per_second"] > 0 and host["coordinator"]["down_bytes_per_second"] > 0


def test_links_at_a_tenth_of_the_speed_are_named(faulty):
    slow = rows(faulty, "link", "fail")
    assert {row["subject"] for row in slow} == {"10.77.0.2 -> 10.77.0.1", "10.77.0.2 -> 10.77.0.3"}
    for row in slow:
        assert "of the usual" in row["found"] and row["remedy"].startswith("every link from 10.77.0.2 is slow")


def test_clock_skew_is_named(faulty):
    skewed, = rows(faulty, "clock", "fail")
    assert skewed["subject"] == "10.77.0.2" and skewed["found"].startswith("3.0") and "ahead" in skewed["found"]
    assert "chrony" in skewed["remedy"]


def test_another_version_is_named(faulty):
    other, = rows(faulty, "host", "fail")
    assert other["subject"] == "10.77.0.2"
    assert other["found"] == f"deeprack {OTHER_VERSION}; this machine has {VERSION}"


def test_missing_and_changed_shards_are_named(faulty):
    missing, changed = rows(faulty, "model", "fail")
    assert missing["subject"] == "10.77.0.2" and missing["found"] == f"{SHARDS[1]} is missing"
    assert changed["subject"] == "10.77.0.3" and changed["found"].startswith(f"{SHARDS[0]} has other bytes")
    assert SHARDS[0] in changed["remedy"]


def test_too_little_memory_is_named_with_bytes(faulty):
    small, = rows(faulty, "memory", "fail")
    assert small["subject"] == "10.77.0.3" and small["found"].startswith("8.0 MiB free; rank 3 takes")
    assert "bytes" in small["remedy"] and "are missing" in small["remedy"]


def test_a_blocked_port_and_a_host_that_does_not_answer():
    with FaultyRack(3) as rack:
        rack.block_port(PORT)
        rack.cut(rack.hosts[2])
        ended = preflight(rack, "--tp", 2, "--dp", 2, "--timeout", 8)
    assert ended.returncode == 69, ended.stderr
    blocked = next(line for line in ended.stdout.splitlines() if "10.77.0.2 -> 10.77.0.1:7300" in line)
    assert blocked.startswith("fail") and "no answer within 5s: a firewall or a route drops the packets" in blocked
    away = next(line for line in ended.stdout.splitlines() if line.startswith("fail     host") and "10.77.0.3" in line)
    assert "no agent" in away
    assert "open the port of --cluster-address" in ended.stdout
    assert "not fit to serve" in ended.stdout


def test_agents_that_were_started_by_hand(tmp_path):
    """As systemd units and pods do. Then one agent stops, and then a firewall blocks its port."""
    with FaultyRack(2) as rack:
        places = [f"{host.address}:{PORT + 5 + n}" for n, host in enumerate(rack.hosts)]
        agents = [subprocess.Popen(host.command(BIN / "deeprack", "preflight-agent", "--listen", place, "--cluster-tls", rack.tls),
                                   stdout=subprocess.PIPE, text=True) for host, place in zip(rack.hosts, places)]
        try:
            assert [json.loads(agent.stdout.readline()) for agent in agents] == [{"agent": place} for place in places]
            # The file that units share (docs/DEPLOY.md): ranks reach the coordinator, which listens on every interface.
            shared = tmp_path / "deeprack.yaml"
            shared.write_text(f"model: {MODEL}\ntp: 2\ncluster_address: 0.0.0.0:{PORT}\ncoordinator: {rack.head.address}:{PORT}\n"
                              f"cluster_tls: {rack.tls}\nport: {PORT + 1}\nhost: 0.0.0.0\n")
            ended = subprocess.run(rack.head.command(BIN / "deeprack", "preflight", "--cluster", shared, "--agents",
                                                     ",".join(places), "--json"), capture_output=True, text=True, timeout=60)
            report = json.loads(ended.stdout)
            assert ended.returncode == 0 and report["fit"], report["findings"]
            assert [row["subject"] for row in rows(report, "coordinator", "ok")] == [
                f"{host.address} -> {rack.head.address}:{PORT}" for host in rack.hosts]
            assert all(host["coordinator"]["up_bytes_per_second"] > 0 for host in report["hosts"])
            assert [host["ranks"] for host in report["hosts"]] == [[0], [1]] and len(report["links"]) == 2
            agents[1].send_signal(signal.SIGSTOP)  # `ip netns exec` has become the agent
            report = report_of(rack, MODEL, "--tp", 2, "--timeout", 2, "--agents", ",".join(places), launch=False)
            agents[1].send_signal(signal.SIGCONT)
            silent, = rows(report, "host", "fail")
            assert silent["subject"] == "10.77.0.2" and "no answer within 2s" in silent["found"]
            rack.block_port(PORT + 6)
            report = report_of(rack, MODEL, "--tp", 2, "--agents", ",".join(places), launch=False)
            blocked, = rows(report, "host", "fail")
            assert blocked["subject"] == "10.77.0.2" and "a firewall or a route drops the packets" in blocked["found"]
            for agent in agents:
                agent.send_signal(signal.SIGTERM)
                assert agent.wait(timeout=10) == 0
        finally:
            for agent in agents:
                agent.kill()
                agent.wait()


def test_a_port_that_another_program_holds():
    listen = "import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); print(flush=True); s.accept()"
    with FaultyRack(1) as rack:
        holder = subprocess.Popen(rack.head.command("python3", "-c", listen, rack.head.address, PORT), stdout=subprocess.PIPE)
        try:
            holder.stdout.readline()
            report = report_of(rack, launch=False)
        finally:
            holder.kill()
            holder.wait()
    held, = rows(report, "port", "fail")
    assert held["subject"] == f"10.77.0.1:{PORT}" and held["found"].startswith("held by python3")
    assert f"(pid {holder.pid})" in held["found"]
