"""Greedy evaluation on held-out problems; prints a markdown table with one row for each skill.

  --url http://127.0.0.1:8000   asks a running server over its OpenAI-style API (standard library only)
  --torch demo/model            runs the exported folder in process

In process, the worked solution is the draft: one forward pass finds the first token where greedy decoding differs from it. Only
samples that differ are decoded further, token by token. The result is that of plain greedy decoding.
"""
import argparse
import json
import random
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import dialogue
import problems

MAX_TOKENS = 400


def held_out(skills, count, seed):
    """`count` different held-out problems of each skill; fewer if the skill has fewer."""
    out = []
    for skill in skills:
        rng, seen = random.Random(f"{seed}|{skill}"), {}
        for _ in range(count * 20):
            if len(seen) == count:
                break
            problem = problems.sample(rng, skill, held_out=True)
            seen.setdefault(problem.question, problem)
        out += seen.values()
    return out


def ask(url, model, question, timeout):
    body = {"model": model, "messages": [{"role": "user", "content": question}],
            "temperature": 0, "max_tokens": MAX_TOKENS}
    request = urllib.request.Request(url.rstrip("/") + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return json.load(reply)["choices"][0]["message"]["content"] or ""


def answers_over_http(arguments, asked):
    def one(problem):
        try:
            return ask(arguments.url, arguments.model, problem.question, arguments.timeout)
        except (OSError, ValueError, KeyError) as error:
            return f"error: {error}"
    with ThreadPoolExecutor(arguments.concurrency) as pool:
        return list(pool.map(one, asked))


def answers_in_process(arguments, asked):
    import torch
    from tokenizers import Tokenizer

    import export
    from model import Group

    torch.set_num_threads(arguments.threads)
    model = export.load(arguments.torch)
    tokenizer = Tokenizer.from_file(f"{arguments.torch}/tokenizer.json")
    end = tokenizer.token_to_id(dialogue.EOS)

    @torch.inference_mode()
    def next_tokens(rows):
        """The most likely next token at every position of every row."""
        length = max(map(len, rows))
        flat = torch.tensor([row + [end] * (length - len(row)) for row in rows]).flatten()
        return model.lm_head(model(flat, [Group(0, len(rows), length)])).argmax(-1).view(len(rows), length).tolist()

    def batches(rows, size):
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for first in range(0, len(order), size):
            yield order[first:first + size]

    prompts = [tokenizer.encode(dialogue.prompt(p.question)).ids for p in asked]
    drafts = [tokenizer.encode(dialogue.completion(p)).ids for p in asked]
    said = [None] * len(asked)
    for batch in batches(drafts, 64):
        for i, row in zip(batch, next_tokens([prompts[i] + drafts[i] for i in batch])):
            greedy = row[len(prompts[i]) - 1:]
            same = next((n for n, (a, b) in enumerate(zip(greedy, drafts[i])) if a != b), len(drafts[i]) - 1)
            said[i] = greedy[:same + 1]
    for batch in batches(said, 64):
        live = [i for i in batch if said[i][-1] != end]
        while live:
            for i, row in zip(live, next_tokens([prompts[i] + said[i] for i in live])):
                said[i].append(row[len(prompts[i]) + len(said[i]) - 1])
            live = [i for i in live if said[i][-1] != end and len(said[i]) < MAX_TOKENS]
    return [tokenizer.decode(ids) for ids in said]


def table(asked, answers, skills):
    lines = ["| skill | problems | right | percent |", "|---|---:|---:|---:|"]
    right = [problems.check(p, a) for p, a in zip(asked, answers)]
    for skill in (*skills, "total"):
        found = [r for r, p in zip(right, asked) if skill in (p.skill, "total")]
        lines.append(f"| {skill} | {len(found)} | {sum(found)} | {100 * sum(found) / max(1, len(found)):.1f} |")
    return "\n".join(lines), right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="a server's root address")
    where.add_argument("--torch", metavar="FOLDER", help="an exported model")
    parser.add_argument("--model", default="deepseek-r1-demo", help="the model name to send")
    parser.add_argument("--problems", type=int, default=500, help="problems of each skill")
    parser.add_argument("--skills", nargs="+", default=list(problems.SKILLS), choices=problems.SKILLS, metavar="SKILL")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--concurrency", type=int, default=16, help="requests in flight")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--failures", type=int, default=0, help="show this many wrong answers")
    arguments = parser.parse_args()
    asked = held_out(arguments.skills, arguments.problems, arguments.seed)
    answers = (answers_over_http if arguments.url else answers_in_process)(arguments, asked)
    text, right = table(asked, answers, arguments.skills)
    print(text)
    wrong = [(p, a) for p, a, r in zip(asked, answers, right) if not r]
    for problem, answer in random.Random(0).sample(wrong, min(len(wrong), arguments.failures)):
        print(f"\n{problem.question}\nexpected: {problem.expected}\n{answer}", file=sys.stderr)


if __name__ == "__main__":
    main()
