"""One rank's engine beside ik_llama.cpp on an R1 slice: alternating rounds, medians, what docs/PERFORMANCE.md shows.

    python3 compare.py --ik ik_llama.cpp/build/bin --engine-bench build/bin/engine_bench build/r1_slice/Q4_K.gguf

ik_llama.cpp's best settings for each figure are part of the comparison: with and without run-time repacking, always with
flash attention, absorbed latents, fused experts and huge pages.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

PREFILL = 512  # tokens
DECODES = (1, 8, 32)


def output_of(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=900, check=False)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}; its last words:\n{done.stdout[-2000:]}")
    return done.stdout


def peer_single(ik, model, threads, repack):
    """Tokens per second of a prefill and of one stream's decoding after it, one value for each repetition."""
    output = output_of(ik / "llama-bench", "-m", model, "-t", threads, "-p", PREFILL, "-n", 0, "-gp", f"{PREFILL},32", "-r", 2,
                       "-mla", 3, "-fa", 1, "-fmoe", 1, "-thp", 1, "-rtr", int(repack), "-o", "json")
    start = output.index("[\n")
    rows, _ = json.JSONDecoder().raw_decode(output[start:])
    for row in rows:
        for value in row["samples_ts"]:
            yield ("prefill" if row["n_gen"] == 0 else 1), value


def peer_batches(ik, model, threads, repack):
    """Tokens per second of 8 and 32 streams, twice; a first run of one stream, which touches the pages, is not counted."""
    levels = [batch for batch in DECODES if batch > 1]
    output = output_of(ik / "llama-batched-bench", "-m", model, "-t", threads, "-tb", threads, "-mla", 3, "-fa", "on", "-thp",
                       "-rtr" if repack else "--no-mmap", "-c", 8192, "-b", 2048, "-ub", 512, "-npp", 64, "-ntg", 16,
                       "-npl", ",".join(str(batch) for batch in [1, *levels, *levels]))
    rows = re.findall(r"^\| +64 \| +16 \| +(\d+) \|(?:[^|]*\|){4} +([\d.]+) \|", output, re.MULTILINE)
    for batch, value in rows[1:]:
        yield int(batch), float(value)


def ours(engine_bench, model, threads, batches, prompt, decode):
    """Tokens per second; and for decodes the share of a plain read loop in the same steps, in percent."""
    output = output_of(engine_bench, model, "--threads", threads, "--batch", ",".join(str(b) for b in batches),
                       "--prompt", prompt, "--decode", decode, "--repeat", 3)
    number = r" +([\d.]+) \|"
    for batch, prefill, tokens, share in re.findall(rf"^\| +(\d+) \|{number}{number}(?:[^|]*\|){{4}} +(\d+)% \|", output,
                                                    re.MULTILINE):
        if prompt == PREFILL:
            yield "prefill", float(prefill)
        yield int(batch), float(tokens)
        yield ("share", int(batch)), float(share)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--ik", type=Path, required=True, help="folder of ik_llama.cpp's programs")
    parser.add_argument("--engine-bench", type=Path, default="build/bin/engine_bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    values = {}

    def take(engine, figures):
        for figure, value in figures:
            values.setdefault((figure, engine), []).append(value)

    for round_number in range(arguments.rounds):
        for repack in (False, True):
            take(f"ik repack {repack}", peer_single(arguments.ik, arguments.model, arguments.threads, repack))
            take("deeprack", ours(arguments.engine_bench, arguments.model, arguments.threads, [1], PREFILL, 32))
            take(f"ik repack {repack}", peer_batches(arguments.ik, arguments.model, arguments.threads, repack))
            take("deeprack", ours(arguments.engine_bench, arguments.model, arguments.threads, [b for b in DECODES if b > 1], 64, 16))
        print(f"round {round_number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)

    print("| tokens per second | deeprack | share of the read loop | ik_llama.cpp | ... repacked | against its better |")
    print("|---|---:|---:|---:|---:|---:|")
    for figure in ("prefill", *DECODES):
        own, plain, repacked = (statistics.median(values[figure, engine])
                                for engine in ("deeprack", "ik repack False", "ik repack True"))
        share = values.get((("share", figure), "deeprack"))
        print(f"| {f'prefill of {PREFILL}' if figure == 'prefill' else f'{figure} at once'} | {own:.1f} "
              f"| {f'{statistics.median(share):.0f}%' if share else ''} | {plain:.1f} | {repacked:.1f} "
              f"| {own / max(plain, repacked):.2f}x |")


if __name__ == "__main__":
    main()
