"""The same prompts at servers with different flags: every token is the same. Run by hand:

    build/venv/bin/python tests/api/same_tokens.py --prompts 500
"""

import argparse
import concurrent.futures
import random
import sys

from serve_command import Serve

LAYOUTS = {  # and the drafts that are tried with each
    (): (1, 2, 3, "auto"),
    ("--tp", 2): (2,),
    ("--tp", 4): (1,),
    ("--dp", 2): (3,),
    ("--dp", 2, "--ep", 2, "--expert-exchange", "all_to_all"): (2,),
    ("--dp", 4, "--ep", 4): (1,),
    ("--pp", 2): (3,),
}

SCHEMA = {"type": "object", "additionalProperties": False, "required": ["larger", "digits"],
          "properties": {"larger": {"enum": ["first", "second", "equal"]},
                         "digits": {"type": "array", "items": {"enum": [0, 1, 2, 3]}, "minItems": 1, "maxItems": 6}}}
FORMS = [{"response_format": {"type": "json_schema", "json_schema": {"name": "comparison", "strict": True, "schema": SCHEMA}}},
         {"structured_outputs": {"regex": "[a-z]{2,12} [0-9]{1,6}"}}]


def requests(count, seed=1):
    """Chats at temperatures 0, 0.6 and 1.0, every other one with penalties. Some stop early, some at min_tokens, some keep to a
    schema or to a regular expression."""
    chance = random.Random(seed)
    questions = ["What is {} + {}?", "What is {} * {}?", "Sort {}, {}, 318, 40.", "Which is larger, {} or {}?"]
    made = []
    for number in range(count):
        body = {"messages": [{"role": "user",
                              "content": questions[number % len(questions)].format(chance.randrange(2000), chance.randrange(99))}],
                "temperature": (0, 0.6, 1.0)[number % 3], "seed": number, "max_tokens": chance.choice((1, 2, 40, 300)),
                "logprobs": True, "top_logprobs": 2}
        if number % 2:
            body |= {"frequency_penalty": 0.3, "presence_penalty": 0.2, "repetition_penalty": 1.1}
        if number % 5 == 0:
            body["min_tokens"] = min(30, body["max_tokens"])
        if number % 7 < len(FORMS):
            body |= FORMS[number % 7] | {"max_tokens": 300}
            body.pop("min_tokens", None)  # a form says itself where the answer ends
        made.append(body)
    return made


def has_form(body):
    """Whether the request asks for a form of the answer."""
    return any(set(form) & set(body) for form in FORMS)


def choices(server, bodies, at_once=8):
    """The answers' choices, with `at_once` requests running side by side."""
    with concurrent.futures.ThreadPoolExecutor(at_once) as lanes:
        return [reply["choices"] for reply in lanes.map(lambda body: server.post("/v1/chat/completions", body), bodies)]


def tokens(found):
    """Each answer's tokens, in order, and how it ended. Log-probabilities differ in the last digits between layouts."""
    return [(choice[0]["finish_reason"],
             [part["token"] for field in ("reasoning_content", "content") for part in choice[0]["logprobs"].get(field) or []])
            for choice in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=500)
    bodies, different, first = requests(parser.parse_args().prompts), 0, None

    def run(*flags):
        with Serve(*flags) as server:
            found = choices(server, bodies)
        count = sum(len(of_answer) for _, of_answer in tokens(found))
        print(f"{' '.join(map(str, flags))}: {len(found)} answers, {count} tokens", end="", flush=True)
        return found

    def compare(found, expected, than):
        others = sum(a != b for a, b in zip(expected, found))
        print(f", {others} differ from those of {than}", flush=True)
        return others

    for layout, drafts in LAYOUTS.items():
        one_step = run("--steps-under-way", 1, *layout)
        first = first or one_step
        # Sums in bf16 differ between layouts, so log-probabilities may, and near ties too.
        different += compare(tokens(one_step), tokens(first), "one rank, by their tokens")
        for flags in [("--steps-under-way", 2), *(("--speculative-tokens", number) for number in drafts)]:
            different += compare(run(*flags, *layout), one_step, "one step under way, with their log-probabilities")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
