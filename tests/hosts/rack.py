"""Network namespaces as the hosts of a rack, connected by a switch. Needs root, `ip`, `tc` and `nft`."""

import contextlib
import ctypes
import os
import pathlib
import subprocess
import tempfile

BIN = pathlib.Path(os.environ.get("DEEPRACK_BIN", pathlib.Path(__file__).resolve().parents[2] / "build" / "bin"))
CLONE_NEWNET = 0x40000000


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options).stdout


class Host:
    """A network namespace with one address. Its cable ends at a port of the switch with the host's name."""

    def __init__(self, name, port, address):
        self.name, self.port, self.address = name, port, address
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def command(self, *command):
        """The command that runs `command` on this host."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def processes(self):
        """The programs that run on this host: process id to name."""
        found = {}
        for pid in run("ip", "netns", "pids", self.name).split():
            try:
                found[int(pid)] = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            except OSError:
                pass  # the process has ended
        return found

    def workers(self):
        return sorted(pid for pid, program in self.processes().items() if program == "deeprack-worker")

    @contextlib.contextmanager
    def entered(self):
        """The calling thread, and the threads and processes that the thread starts, use this host's network."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter(path):
            with open(path) as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {path}")

        with open("/proc/thread-self/ns/net") as own:
            enter(f"/run/netns/{self.name}")
            try:
                yield self
            finally:
                enter(f"/proc/self/fd/{own.fileno()}")


class Rack:
    """`hosts`, the first of which is `head`; a folder `tls` of certificates; an `environment` in which mpirun reaches all hosts."""

    def __init__(self, count):
        self.folder = tempfile.TemporaryDirectory(prefix="deeprack-rack-")
        unique = f"deeprack-{os.getpid()}"
        self.switch = f"{unique}-switch"
        self.hosts = []
        try:
            run("ip", "netns", "add", self.switch)
            run("ip", "-n", self.switch, "link", "add", "bridge", "up", "type", "bridge")
            run("ip", "netns", "exec", self.switch, "nft",
                "add table bridge rack; add chain bridge rack frames { type filter hook forward priority 0; }")
            for number in range(1, count + 1):
                self.add_host(f"{unique}-{number}", f"host{number}", f"10.77.0.{number}")
        except BaseException:
            self.close()
            raise
        self.head = self.hosts[0]
        self.tls = os.path.join(self.folder.name, "tls")
        run(BIN / "deeprack", "certs", "make", self.tls)
        self.agent = pathlib.Path(self.folder.name) / "agent"
        self.write_agent(lambda host: f'exec ip netns exec {host.name} sh -c "$*"')
        self.environment = {**os.environ, "OMPI_MCA_plm_rsh_agent": str(self.agent), "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}

    def add_host(self, name, port, address):
        host = Host(name, port, address)
        self.hosts.append(host)
        run("ip", "link", "add", "cable", "netns", name, "type", "veth", "peer", "name", port, "netns", self.switch)
        run("ip", "-n", self.switch, "link", "set", port, "master", "bridge", "up")
        run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "cable")
        run("ip", "-n", name, "link", "set", "cable", "up")

    def write_agent(self, command_on):
        """The program that runs a command on a host as ssh does on a rack: `agent HOST COMMAND...`. `command_on(host)` is the line of
        the shell that does so. Each host has a folder for temporary files of its own: of mpirun's daemons that make the same folder
        at once, one fails."""
        lines = ["#!/bin/sh", 'address=$1', "shift", 'case "$address" in']
        for host in self.hosts:
            temporary = self.agent.parent / host.port
            temporary.mkdir(exist_ok=True)
            lines.append(f"{host.address}) export TMPDIR={temporary}; {command_on(host)} ;;")
        self.agent.write_text("\n".join([*lines, "esac", ""]))
        self.agent.chmod(0o755)

    def _filter(self, rules):
        run("ip", "netns", "exec", self.switch, "nft", rules)

    def drop_from(self, host):
        """The switch drops what `host` sends."""
        self._filter(f'add rule bridge rack frames iifname "{host.port}" drop')

    def drop_to(self, host):
        """The switch drops what others send to `host`."""
        self._filter(f'add rule bridge rack frames oifname "{host.port}" drop')

    def cut(self, host):
        self.drop_from(host)
        self.drop_to(host)

    def lose_frames(self, percent):
        """The switch drops `percent` of all frames."""
        self._filter(f"add rule bridge rack frames numgen random mod 100 < {percent} drop")

    def mend(self):
        """The switch forwards every frame again."""
        self._filter("flush chain bridge rack frames")

    def pull_the_cable(self, host):
        """The host learns at once that its cable is out."""
        run("ip", "-n", host.name, "link", "set", "cable", "down")

    def plug_in_the_cable(self, host):
        run("ip", "-n", host.name, "link", "set", "cable", "up")

    def throttle(self, host, megabits):
        """What `host` sends is limited to this rate."""
        run("tc", "-n", host.name, "qdisc", "replace", "dev", "cable", "root", "tbf", "rate", f"{megabits}mbit", "burst", "16kb",
            "latency", "200ms")

    def close(self):
        for name in [host.name for host in self.hosts] + [self.switch]:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
            for pid in pids:  # only processes that were started on this host
                subprocess.run(["kill", "-9", pid], capture_output=True)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        self.folder.cleanup()
