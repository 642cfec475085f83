"""The same prompts at servers with different flags: every token is the same. Run by hand:

    build/venv/bin/python tests/api/same_tokens.py --prompts 500
"""

import argparse
import concurrent.futures
import random
import sys

from serve_command import Serve

FLAGS = [
    ("--steps-under-way", 1),
    ("--steps-under-way", 2),
    ("--steps-under-way", 1, "--tp", 2),
    ("--tp", 2),
    ("--tp", 4),
    ("--dp", 2),
    ("--dp", 2, "--ep", 2, "--expert-exchange", "all_to_all"),
    ("--dp", 4, "--ep", 4),
    ("--pp", 2),
    ("--speculative-tokens", 1),
    ("--speculative-tokens", 2),
    ("--speculative-tokens", 3),
    ("--speculative-tokens", "auto"),
    ("--speculative-tokens", 2, "--tp", 2),
    ("--speculative-tokens", 3, "--dp", 2, "--ep", 2, "--expert-exchange", "all_to_all"),
    ("--speculative-tokens", 1, "--dp", 4, "--ep", 4),
    ("--speculative-tokens", 3, "--pp", 2),
]

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
    options = parser.parse_args()
    bodies, expected, different = requests(options.prompts), None, 0
    for flags in FLAGS:
        with Serve(*flags) as server:
            found = choices(server, bodies)
        expected = expected or tokens(found)
        others = sum(a != b for a, b in zip(expected, tokens(found)))
        different += others
        count = sum(len(of_answer) for _, of_answer in tokens(found))
        print(f"{' '.join(map(str, flags))}: {len(found)} answers, {count} tokens, {others} answers differ", flush=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
