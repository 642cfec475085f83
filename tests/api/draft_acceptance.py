"""How many drafts of the MTP layer prove right, and what they are worth at one stream. Run by hand:

    build/venv/bin/python tests/api/draft_acceptance.py --rounds 3
"""

import argparse
import statistics
import time

from same_tokens import choices, has_form, requests
from serve_command import Serve
from test_recovery import metric


def free_requests(temperature):
    bodies = [body for body in requests(60) if not has_form(body)]
    return [{"messages": body["messages"], "temperature": temperature, "seed": body["seed"], "max_tokens": 300} for body in bodies]


def measure(drafts, bodies):
    """Tokens a second, and the counters of the drafts."""
    with Serve("--speculative-tokens", drafts) as server:
        choices(server, bodies[:4], at_once=1)  # warms up
        before, begun = metric(server, "vllm:generation_tokens_total"), time.monotonic()
        choices(server, bodies, at_once=1)
        pace = (metric(server, "vllm:generation_tokens_total") - before) / (time.monotonic() - begun)
        if drafts == 0:
            return pace, 0, 0, 0
        return pace, *(metric(server, f"vllm:spec_decode_num_{what}_total") for what in ("drafts", "draft_tokens", "accepted_tokens"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print("| temperature | drafts | accepted | tokens for each step | tokens/s, of those without drafts |\n|--:|--:|--:|--:|--:|")
    for temperature in (0, 0.6, 1.0):
        bodies = free_requests(temperature)
        found = [{drafts: measure(drafts, bodies) for drafts in range(4)} for _ in range(rounds)]
        for drafts in range(1, 4):
            _, verified, offered, accepted = found[0][drafts]
            ratio = statistics.median(of_round[drafts][0] / of_round[0][0] for of_round in found)
            print(f"| {temperature} | {drafts} | {accepted / offered:.0%} | {1 + accepted / verified:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
