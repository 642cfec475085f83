"""Two builds of engine_bench on one R1 slice, alternating: the medians of each, and the ratio of the second to the first.

    python3 compare_builds.py BEFORE/build/bin/engine_bench AFTER/build/bin/engine_bench build/r1_slice/Q4_K.gguf

The last column is the spread of each build's own rounds, largest to smallest: a ratio within the spread is noise.
"""
import argparse
import os
import statistics
import sys

from compare import DECODES, PREFILL, ours


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="the program engine_bench of the first build")
    parser.add_argument("after", help="the program engine_bench of the second build")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()

    builds = (arguments.before, arguments.after)
    values = {}
    for round_number in range(arguments.rounds):
        # Each build goes first in every other round.
        for build in builds if round_number % 2 == 0 else reversed(builds):
            for batches, prompt, decode in (([1], PREFILL, 32), ([b for b in DECODES if b > 1], 64, 16)):
                for figure, value in ours(build, arguments.model, arguments.threads, batches, prompt, decode):
                    values.setdefault((figure, build), []).append(value)
        print(f"round {round_number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)

    print("| tokens per second | before | after | after / before | spread of rounds |")
    print("|---|---:|---:|---:|---|")
    for figure in ("prefill", *DECODES):
        before, after = (values[figure, build] for build in builds)
        ratio = statistics.median(after) / statistics.median(before)
        spread = ", ".join(f"{max(rounds) / min(rounds):.2f}x" for rounds in (before, after))
        name = f"prefill of {PREFILL}" if figure == "prefill" else f"{figure} at once"
        print(f"| {name} | {statistics.median(before):.1f} | {statistics.median(after):.1f} | {ratio:.3f} | {spread} |")


if __name__ == "__main__":
    main()
