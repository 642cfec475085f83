"""A cluster on the hosts of a rack, one rank on each host."""

import re
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "api"))  # what tests of the API and of a rack share

from ranks_cluster import eventually
from serve_command import BIN, Serve


def over_mpi(rack, *flags):
    """`deeprack serve` on the head starts all ranks with mpirun. Call it on the head."""
    hosts = ",".join(f"{host.address}:1" for host in rack.hosts)
    return Serve(*flags, "--hosts", hosts, "--cluster-address", f"{rack.head.address}:0", "--cluster-tls", rack.tls, "--threads", 1,
                 env=rack.environment)


class OverGloo:
    """`deeprack serve` on the head waits for ranks, and the test starts a rank on each host. Make it on the head."""

    def __init__(self, rack, *flags):
        self.rack, self.workers = rack, {}
        self.server = Serve(*flags, "--workers", "external", "--cluster-address", f"{rack.head.address}:0", "--cluster-tls", rack.tls)
        told = eventually(lambda: re.search(r"start each with\n\s+deeprack-worker (.*)", self.server.read_log()))
        assert told, self.server.read_log()
        self.command = [BIN / "deeprack-worker", *told.group(1).split(), "--threads", 1, "--no-bind-threads"]

    def start_worker(self, host):
        self.workers[host] = subprocess.Popen(host.command(*self.command), stdin=subprocess.DEVNULL, stdout=self.server.log,
                                              stderr=self.server.log)

    def kill_worker(self, host):
        self.workers[host].kill()
        self.workers.pop(host).wait()

    def start_ended_workers(self):
        """As systemd and Kubernetes do with `Restart=always`."""
        for host, worker in list(self.workers.items()):
            if worker.poll() is not None:
                self.start_worker(host)

    def __enter__(self):
        for host in self.rack.hosts:
            self.start_worker(host)
        self.server.__enter__()
        return self.server

    def __exit__(self, *_):
        self.server.__exit__()
        self.exit_codes = [worker.wait(timeout=30) for worker in self.workers.values()]
