"""Full load for half an hour, with nothing broken. Says how much the processes grew. Run by hand:

    build/venv/bin/python tests/hosts/full_load.py --minutes 30

Two hosts, one rank on each, over gloo. It ends with exit code 1 when a stream was wrong, a rank was lost, a process grew by more
than 1 % after the first fifth of the time, or has more open files than then.

Of memory that a process wants in huge pages (weights, KV cache, workspace), the size of the mappings counts and not what is
resident: the kernel gives whole huge pages where a few small pages are in use, at a time of its own. All other memory counts as
far as it is resident.
"""

import argparse
import sys
import time
from pathlib import Path

from clusters import OverGloo
from rack import Rack
from ranks_cluster import eventually
from streams import Load, open_files, undisturbed_results
from test_recovery import metric

MOST_GROWTH = 0.01


def memory_of(pid):
    """Bytes of a process: resident; and counted, which is the size of mappings for huge pages and what is resident of all others."""
    resident, counted, sizes = 0, 0, {}
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("Size", "Rss"):
            sizes[name] = int(value.split()[0]) * 1024
        elif name == "VmFlags":  # the last line of a mapping
            resident += sizes["Rss"]
            counted += sizes["Size" if "hg" in value.split() else "Rss"]
    return resident, counted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--lanes", type=int, default=8, help="streams at once")
    options = parser.parse_args()
    rack = Rack(2)
    try:
        with rack.head.entered():
            with OverGloo(rack, "--tp", 2) as server:
                undisturbed = undisturbed_results(server)
                pids = {pid: name for host in rack.hosts for pid, name in host.processes().items()
                        if name in ("deeprack-coordinator", "deeprack-worker")}
                load = Load(server, undisturbed, options.lanes)
                time.sleep(options.minutes * 60 / 5)
                begun, files = {pid: memory_of(pid) for pid in pids}, open_files(pids)
                time.sleep(options.minutes * 60 * 4 / 5)
                load.stop()
                eventually(lambda: metric(server, "vllm:num_requests_running") == 0, 30)
                time.sleep(1)  # the connections close
                ended = {pid: memory_of(pid) for pid in pids}
                growth = {pid: (ended[pid][1] - begun[pid][1]) / begun[pid][0] for pid in pids}
                losses, pages = metric(server, "deeprack:losses_total"), metric(server, "vllm:kv_cache_usage_perc")
                files_after = open_files(pids)
    finally:
        rack.close()
    print(f"{options.minutes:g} minutes, {options.lanes} streams at once: {load.done} streams, {len(load.wrong)} wrong, {load.refused} refused;"
          f" {losses:g} ranks lost; KV pages in use at the end: {pages:g}")
    for number, (pid, name) in enumerate(pids.items()):
        print(f"  {name}: {begun[pid][0] / 2**20:.1f} MiB resident, then {ended[pid][0] / 2**20:.1f} MiB; grew by {growth[pid]:.2%} "
              f"without the kernel's filling of huge pages; open files {files[number]}, then {files_after[number]}")
    grown = [name for pid, name in pids.items() if growth[pid] > MOST_GROWTH]
    return 1 if load.wrong or load.refused or losses or pages or grown or any(after > before for before, after in zip(files, files_after)) else 0


if __name__ == "__main__":
    sys.exit(main())
