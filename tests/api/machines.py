"""Two network namespaces as two machines, connected by a virtual cable only. Needs root and `ip`."""

import os
import pathlib
import subprocess
import tempfile

BIN = pathlib.Path(os.environ.get("DEEPRACK_BIN", pathlib.Path(__file__).resolve().parents[2] / "build" / "bin"))


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Machine:
    """A network namespace with one address."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")

    def command(self, *command):
        """The command that runs `command` on this machine."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def programs(self):
        """The names of the programs that run on this machine."""
        pids = subprocess.run(["ip", "netns", "pids", self.name], check=True, capture_output=True, text=True).stdout.split()
        names = []
        for pid in pids:
            try:
                names.append(os.path.basename(os.readlink(f"/proc/{pid}/exe")))
            except OSError:
                pass  # the process has ended
        return names


class TwoMachines:
    """The machines `head` and `other`, a folder `tls` of certificates, and the launch agent by which mpirun reaches `other`."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="deeprack-machines-")
        unique = os.getpid()
        self.names = [f"deeprack-{unique}-a", f"deeprack-{unique}-b"]
        try:
            self.head = Machine(self.names[0], "10.77.0.1")
            self.other = Machine(self.names[1], "10.77.0.2")
            ip("link", "add", "cable", "netns", self.head.name, "type", "veth", "peer", "name", "cable", "netns", self.other.name)
            for machine in (self.head, self.other):
                ip("-n", machine.name, "address", "add", f"{machine.address}/24", "dev", "cable")
                ip("-n", machine.name, "link", "set", "cable", "up")
        except BaseException:
            self.close()
            raise
        self.tls = os.path.join(self.folder.name, "tls")
        subprocess.run([BIN / "deeprack", "certs", "make", self.tls], check=True, capture_output=True)
        # Runs a command on the other machine as ssh does on a rack: `agent HOST COMMAND...`.
        agent = os.path.join(self.folder.name, "agent")
        with open(agent, "w") as file:
            file.write(f'#!/bin/sh\nshift\nexec ip netns exec {self.other.name} sh -c "$*"\n')
        os.chmod(agent, 0o755)
        self.environment = {**os.environ, "OMPI_MCA_plm_rsh_agent": agent, "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}

    def pull_the_cable(self):
        ip("-n", self.other.name, "link", "set", "cable", "down")

    def plug_it_in_again(self):
        ip("-n", self.other.name, "link", "set", "cable", "up")

    def close(self):
        for name in self.names:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
            for pid in pids:  # only processes that were started on this machine
                subprocess.run(["kill", "-9", pid], capture_output=True)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        self.folder.cleanup()
