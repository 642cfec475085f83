"""Many short streams while ranks and clients fail. Counts how each stream ends. Run by hand:

    build/venv/bin/python tests/hosts/streams_under_faults.py --streams 10000

Two hosts, one rank on each, over gloo. Every few seconds a rank is killed or stopped, or a host's cable carries nothing for a
while. A part of the clients leave: before the answer, or in the middle, with and without a TCP reset.

A stream that is read to its end must have one last event and the text that it has when nothing breaks. A client that leaves must
have read the beginning of that text. The server must have ended as many sequences as it has begun, and use no KV page at the end.
The command ends with exit code 1 otherwise.
"""

import argparse
import collections
import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import struct
import sys
import threading
import time
import urllib.request

from clusters import OverGloo
from rack import Rack
from ranks_cluster import eventually
from streams import Reading, open_files
from test_faults import RestartAlways
from test_recovery import body, metric, ready

REQUESTS = [body(index, max_tokens=1 + 3 * (index % 13)) for index in range(39)]
WAYS = {"reads to the end": 70, "leaves in the middle": 10, "resets in the middle": 10, "leaves before the answer": 10}


def sequences_ended(server):
    """The number of sequences that the server has ended, by reason."""
    with urllib.request.urlopen(server.url + "/metrics", timeout=10) as reply:
        text = reply.read().decode()
    found = re.findall(r'^vllm:request_success_total\{[^}]*finished_reason="(\w+)"[^}]*\} (\S+)', text, re.M)
    return collections.Counter({reason: int(float(value)) for reason, value in found})


def reset(connection):
    """Closes the connection with a TCP reset."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Clients:
    """`lanes` threads that send `count` streams. A stream that the server refuses with 503 is sent again."""

    def __init__(self, server, undisturbed, count, lanes):
        self.host, self.port = server.url.removeprefix("http://").split(":")
        self.undisturbed, self.left = undisturbed, count
        self.ends, self.wrong, self.refused, self.accepted, self.unknown = collections.Counter(), [], 0, 0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._lane, args=(lane,), daemon=True) for lane in range(lanes)]
        for thread in self.threads:
            thread.start()

    @property
    def done(self):
        return self.ends.total()

    def _lane(self, lane):
        chance = random.Random(lane)
        while True:
            with self.lock:
                if self.left == 0:
                    return
                self.left -= 1
            index, way = chance.randrange(len(REQUESTS)), chance.choices(list(WAYS), WAYS.values())[0]
            while True:
                try:
                    fault = self._stream(index, way, chance)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    fault = repr(error)
                if fault != "refused":
                    break
                time.sleep(0.2)
            with self.lock:
                self.ends[way] += 1
                if fault:
                    self.wrong.append((index, way, fault))

    def _stream(self, index, way, chance):
        """Returns what is wrong with the stream, or None. "refused": the server recovers, and has begun no stream."""
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=120)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/completions", json.dumps({**REQUESTS[index], "stream": True}),
                               {"Content-Type": "application/json"})
            if way == "leaves before the answer":
                with self.lock:
                    self.unknown += 1
                time.sleep(chance.uniform(0, 0.05))
                return None
            reply = connection.getresponse()
            if reply.status == 503:
                reply.read()
                with self.lock:
                    self.refused += 1
                return "refused"
            if reply.status != 200:
                return f"status {reply.status}: {reply.read()[:200]!r}"
            with self.lock:
                self.accepted += 1
            expected = self.undisturbed[index]
            to_read = chance.randrange(1, 12) if "middle" in way else None
            text, lasts = "", []
            for line in reply:
                if not line.startswith(b"data: "):
                    continue
                if lasts:
                    return f"an event after the last one: {line!r}"
                if line.startswith(b"data: [DONE]"):
                    lasts.append("done")
                    continue
                event = json.loads(line[len("data: "):])
                if "error" in event:
                    lasts.append(event["error"])
                    continue
                text += "".join(choice["text"] for choice in event["choices"])
                if to_read is not None:
                    to_read -= 1
                    if to_read == 0:
                        if way.startswith("resets"):
                            reset(connection)
                        return None if expected.startswith(text) else f"began with {text!r}"
            if lasts != ["done"]:
                return f"the last events are {lasts}"
            return None if text == expected else f"the text is {text!r}"


class Faults:
    """What breaks in the rack, one fault at a time. `count` has the number of faults by kind."""

    def __init__(self, rack, server, seed):
        self.rack, self.server, self.chance, self.count = rack, server, random.Random(seed), collections.Counter()

    def break_one(self):
        kind = self.chance.choices(["killed", "stopped", "cut off", "stopped for a moment"], [6, 2, 2, 2])[0]
        host = self.chance.choice(self.rack.hosts if kind != "cut off" else self.rack.hosts[1:])
        workers = host.workers()
        if not workers:
            return
        self.count[kind] += 1
        if kind == "killed":
            os.kill(workers[0], signal.SIGKILL)
        elif kind == "cut off":
            self.rack.cut(host)
            self._until_noticed()
            self.rack.mend()
        else:
            os.kill(workers[0], signal.SIGSTOP)
            if kind == "stopped":
                self._until_noticed()
            else:
                time.sleep(self.chance.uniform(0.1, 1.5))  # less than a loss needs
            with contextlib.suppress(ProcessLookupError):
                os.kill(workers[0], signal.SIGCONT)

    def _until_noticed(self):
        if not eventually(lambda: not ready(self.server)["ready"], 20):
            raise SystemExit("a fault was not noticed")


def run(rack, server, options):
    undisturbed = [Reading(server, request).result()[0] for request in REQUESTS]
    coordinator = [pid for pid, name in rack.head.processes().items() if name == "deeprack-coordinator"]
    files_before, ended_before = open_files(coordinator), sequences_ended(server)
    begun = time.monotonic()
    clients, faults = Clients(server, undisturbed, options.streams, options.lanes), Faults(rack, server, options.seed)
    while clients.done < options.streams:
        if not eventually(lambda: ready(server)["ready"], 120):
            raise SystemExit(f"the cluster did not come back:\n{server.read_log()[-4000:]}")
        # A request that breaks three steps in a row is given up (docs/decisions/0042): let all go on a little.
        generated = metric(server, "vllm:generation_tokens_total")
        eventually(lambda: clients.left == 0 or metric(server, "vllm:generation_tokens_total") > generated + 8 * options.lanes, 60)
        if clients.left:
            time.sleep(faults.chance.uniform(0, options.pause))
            faults.break_one()
            print(f"{sum(faults.count.values())} faults, {clients.done} streams, {len(clients.wrong)} wrong", file=sys.stderr, flush=True)
        else:
            time.sleep(0.1)
    seconds = time.monotonic() - begun
    for thread in clients.threads:
        thread.join()
    idle = eventually(lambda: ready(server)["ready"] and metric(server, "vllm:num_requests_running") == 0
                      and metric(server, "vllm:num_requests_waiting") == 0, 120)
    pages = metric(server, "vllm:kv_cache_usage_perc")
    ended = sequences_ended(server) - ended_before
    # Of a client that left before the answer it is not known whether the server had begun its sequence.
    counted = clients.accepted <= ended.total() <= clients.accepted + clients.unknown
    time.sleep(1)  # the connections close
    print(f"streams: {clients.done} in {seconds:.0f} s, {options.lanes} at once, {len(clients.wrong)} wrong")
    print(f"  clients: {dict(clients.ends)}; refused with 503 and sent again: {clients.refused}")
    print(f"  faults: {dict(faults.count)}; losses {metric(server, 'deeprack:losses_total'):g}, "
          f"recoveries {metric(server, 'deeprack:recoveries_total'):g}")
    print(f"  sequences that the server ended: {dict(ended)}; begun: {clients.accepted} to {clients.accepted + clients.unknown}")
    print(f"  at the end: KV pages in use {pages:g}; open files of the coordinator {files_before[0]} before, {open_files(coordinator)[0]} after")
    for wrong in clients.wrong[:5]:
        print(f"  wrong: {wrong!r:.400}")
    return 0 if idle and counted and pages == 0 and not clients.wrong else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10000)
    parser.add_argument("--lanes", type=int, default=48, help="streams at once")
    parser.add_argument("--pause", type=float, default=3, help="the most seconds between a recovery and the next fault")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rack = Rack(2)
    try:
        with rack.head.entered():
            ranks = OverGloo(rack, "--tp", 2, "--recovery-timeout", 120, "--recovery-limit", "1000/1")
            with ranks as server, RestartAlways(ranks):
                return run(rack, server, options)
    finally:
        rack.close()


if __name__ == "__main__":
    sys.exit(main())
