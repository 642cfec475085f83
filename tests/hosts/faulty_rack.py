"""A rack whose hosts differ: other files, another clock, slower cables, ports that a firewall blocks."""

import shlex

from rack import Rack

FAST_MEGABITS, SLOW_MEGABITS = 200, 20


class FaultyRack(Rack):
    """All cables have the same speed at first."""

    def __init__(self, count):
        super().__init__(count)
        self.scripts = {host.address: [] for host in self.hosts}
        for host in self.hosts:
            self.throttle(host, FAST_MEGABITS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def block_port(self, port):
        """The switch drops what is sent to the TCP port, as a firewall does."""
        self._filter(f"add rule bridge rack frames tcp dport {port} drop")

    def run_at_start(self, host, script):
        """The shell runs `script` on the host before each command that mpirun starts there. The command alone sees its mounts."""
        self.scripts[host.address].append(script)

        def command_on(one):
            start = "; ".join([*self.scripts[one.address], 'exec sh -c "$0"'])
            return f'exec ip netns exec {one.name} unshare --mount sh -c {shlex.quote(start)} "$*"'

        self.write_agent(command_on)

    def mount_over(self, host, path, replacement):
        self.run_at_start(host, f"mount --bind {shlex.quote(str(replacement))} {shlex.quote(str(path))}")
