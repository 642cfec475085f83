"""A cluster on the hosts of a rack, one rank on each host."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "api"))  # what tests of the API and of a rack share

from external_ranks import ExternalRanks
from serve_command import Serve


def over_mpi(rack, *flags):
    """`deeprack serve` on the head starts all ranks with mpirun. Call it on the head."""
    hosts = ",".join(f"{host.address}:1" for host in rack.hosts)
    return Serve(*flags, "--hosts", hosts, "--cluster-address", f"{rack.head.address}:0", "--cluster-tls", rack.tls, "--threads", 1,
                 env=rack.environment)


class OverGloo(ExternalRanks):
    """One rank on each of `hosts`, by default all. `deeprack serve` runs on the head: make this class on the head."""

    def __init__(self, rack, *flags, hosts=None):
        self.rack, self.hosts = rack, hosts or rack.hosts
        super().__init__(len(self.hosts), *flags, "--cluster-address", f"{rack.head.address}:0", "--cluster-tls", rack.tls)

    def prefix(self, number):
        return self.hosts[number].command()

    def start_ended_workers(self):
        """As systemd and Kubernetes do with `Restart=always`."""
        for number, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.workers[number] = self.start(number)

    def __enter__(self):
        return super().__enter__().server
