"""Kills ranks with SIGKILL at random moments while streams run, and says what was seen. Run by hand:

    build/venv/bin/python tests/hosts/kill_ranks.py --kills 200 --layout "--tp 2 --dp 2"

Two or four hosts, one rank on each, over gloo. A moment is while the cluster is idle, computes prompts or decodes, or while it
recovers from the kill before (it then joins or loads). Every stream must end once, with the text that it has when nothing breaks.
The command ends with exit code 1 when a stream did not, or when the cluster does not come back.
"""

import argparse
import collections
import math
import os
import random
import signal
import statistics
import sys
import time

from clusters import OverGloo
from rack import Rack
from ranks_cluster import eventually
from streams import Load, open_files, undisturbed_results
from test_faults import RestartAlways
from test_recovery import metric, ready


def percentile(values, share):
    """The least value that `share` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--layout", default="--tp 2", help="flags of a layout with two or four ranks")
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--lanes", type=int, default=6, help="streams at once")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    rack = Rack(options.hosts)
    noticed, serving, moments = [], [], collections.Counter()
    try:
        with rack.head.entered():
            ranks = OverGloo(rack, *options.layout.split(), "--recovery-timeout", 120, "--recovery-limit", "1000/1")
            with ranks as server, RestartAlways(ranks):
                undisturbed = undisturbed_results(server)
                coordinator = [pid for pid, name in rack.head.processes().items() if name == "deeprack-coordinator"]
                files_before = open_files(coordinator)
                load = Load(server, undisturbed, options.lanes)
                for number in range(options.kills):
                    idle = chance.random() < 0.15
                    if idle:
                        load.paused.set()
                        eventually(lambda: metric(server, "vllm:num_requests_running") == 0, 60)
                    # A third of the kills come while the cluster still recovers from the kill before.
                    if chance.random() > 0.33:
                        if not eventually(lambda: ready(server)["ready"], 60):
                            raise SystemExit(f"kill {number}: the cluster did not come back:\n{server.read_log()[-4000:]}")
                        # A request that breaks three steps in a row is given up (docs/decisions/0042): let all go on a little.
                        generated = metric(server, "vllm:generation_tokens_total")
                        eventually(lambda: idle or metric(server, "vllm:generation_tokens_total") > generated + 2 * options.lanes, 30)
                    time.sleep(chance.uniform(0, 1.2))
                    state = ready(server)["state"]
                    moments["idle" if idle and state == "ready" else state] += 1
                    living = [host for host in rack.hosts if host.workers()]
                    if not living:
                        continue
                    victim = chance.choice(living)
                    began = time.monotonic()
                    try:
                        os.kill(victim.workers()[0], signal.SIGKILL)
                    except (IndexError, ProcessLookupError):
                        continue
                    if state == "ready":
                        if eventually(lambda: ready(server)["state"] != "ready", 10):
                            noticed.append(time.monotonic() - began)
                        if chance.random() > 0.33:
                            if eventually(lambda: ready(server)["ready"], 60):
                                serving.append(time.monotonic() - began)
                    load.paused.clear()
                    if sys.stderr.isatty() or number % 20 == 19:
                        print(f"{number + 1} kills, {load.done} streams, {len(load.wrong)} wrong", file=sys.stderr, flush=True)
                load.stop()
                back = eventually(lambda: ready(server)["ready"], 60)
                pages = metric(server, "vllm:kv_cache_usage_perc")
                files_after = open_files(coordinator)
    finally:
        rack.close()
    print(f"kills: {options.kills} ({', '.join(f'{count} {state}' for state, count in moments.items())})")
    for name, seconds in (("noticed after", noticed), ("serving after", serving)):
        print(f"{name}: median {statistics.median(seconds):.2f} s, p99 {percentile(seconds, 0.99):.2f} s, most {max(seconds):.2f} s "
              f"({len(seconds)} measured)")
    print(f"streams: {load.done}, {len(load.wrong)} wrong, {load.refused} refused with 503; KV pages in use at the end: {pages}; "
          f"open files of the coordinator: {files_before[0]} before, {files_after[0]} after")
    for index, result in load.wrong[:5]:
        print(f"  request {index}: {result!r:.300}")
    return 0 if back and not load.wrong and pages == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
