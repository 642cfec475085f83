"""The demo model under load with 1, 2 and 4 ranks on one host, and with 2 ranks on two: the table of docs/LOAD.md.

Each rank has one compute thread. The two hosts are network namespaces of this machine (needs root, `ip` and `nft`), so both
share its processors: what differs is the way between the ranks. In every round each layout is served in turn; the
table has medians over the rounds.
    build/venv/bin/python bench/load/ranks.py --rounds 3
"""

import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "hosts"))
from clusters import over_mpi  # noqa: E402
from rack import Rack  # noqa: E402
from serve_command import BIN, Serve  # noqa: E402

LAYOUTS = [(1, 1), (2, 1), (4, 1), (2, 2)]  # ranks, hosts


def load(url, arguments):
    """The levels of a load test."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        subprocess.run([str(BIN / "deeprack"), "load", "--url", url, *arguments, "--json", report.name], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return json.load(report)["levels"]


def measure(ranks, hosts, arguments):
    if hosts == 1:
        with Serve("--tp", ranks, "--threads", 1) as server:
            return load(server.url, arguments)
    assert ranks == hosts  # OpenMPI takes two ranks on each of two hosts with one name for neighbours in shared memory
    rack = Rack(hosts)
    try:
        with rack.head.entered(), over_mpi(rack, "--tp", ranks) as server:
            return load(server.url, arguments)
    finally:
        rack.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", default="1,4,16")
    parser.add_argument("--requests", default="48")
    parser.add_argument("--output-tokens", default="64")
    options = parser.parse_args()
    arguments = ["--concurrency", options.concurrency, "--input-tokens", "128", "--output-tokens",
                 options.output_tokens, "--spread", "0", "--requests", options.requests]
    layouts = [layout for layout in LAYOUTS if layout[1] == 1 or os.geteuid() == 0]
    found = collections.defaultdict(list)
    for round_number in range(options.rounds):
        for layout in layouts:
            levels = measure(*layout, [*arguments, "--seed", str(round_number)])
            for level in levels:
                assert level["failed"] == 0, level["failures"]
                found[layout, level["name"]].append(level)
            print(f"round {round_number + 1}: {layout[0]} ranks on {layout[1]} host(s)", file=sys.stderr)

    def median(levels, *path):
        values = []
        for level in levels:
            for key in path:
                level = level[key]
            values.append(level)
        return statistics.median(values)

    print("| ranks | hosts | load | output tok/s | input tok/s | tok/s a user | TTFT p50 | TTFT p99 | TPOT p50 | e2e p50 |"
          " client late p99 |\n|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for ((ranks, hosts), name), levels in found.items():
        print(f"| {ranks} | {hosts} | {name} | {median(levels, 'output_tokens_per_second'):.0f} |"
              f" {median(levels, 'input_tokens_per_second'):.0f} | {median(levels, 'tokens_per_second_of_a_user'):.0f} |"
              f" {median(levels, 'ttft_ms', 'p50'):.1f} ms | {median(levels, 'ttft_ms', 'p99'):.1f} ms |"
              f" {median(levels, 'tpot_ms', 'p50'):.2f} ms | {median(levels, 'e2e_ms', 'p50'):.0f} ms |"
              f" {median(levels, 'client', 'send_delay_ms', 'p99'):.1f} ms |")


if __name__ == "__main__":
    main()
