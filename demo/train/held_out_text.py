"""Writes demo/held_out.txt, for `deeprack perplexity --text demo/held_out.txt --context 128`.

The model was trained to write solutions, never to guess questions. So the text consists of pieces of exactly 128
tokens, each a conversation whose last question ends in the first half; the second half, which is scored, lies in
the worked solution of a held-out problem and is cut off where the piece ends.

With --starts N FILE it writes another text instead, for --context 64: N pieces in which the scored half is the
beginning of a solution, where the model chooses how to go on and is least sure.
"""
import argparse
import pathlib
import random

from tokenizers import Tokenizer

import dialogue
import problems
from evaluate import held_out

DEMO = pathlib.Path(__file__).resolve().parents[1]
CONTEXT = 128
PIECES = 288
SEED = 11
START_CONTEXT = 64


def old_turn(rng):
    old = problems.sample(rng, rng.choice(problems.SKILLS))
    return old.question, "\n\n" + old.answer


def cut(tokenizer, text, tokens):
    """The text's first tokens, or None: it is too short, or does not survive the cut."""
    ids = tokenizer.encode(text).ids
    piece = tokenizer.decode(ids[:tokens], skip_special_tokens=False)
    return piece if len(ids) >= tokens and tokenizer.encode(piece).ids == ids[:tokens] else None


def piece_of(problem, tokenizer, rng):
    """Text of one piece, or None: the solution is too short to fill it, or does not survive the cut."""
    earlier = []
    while True:
        prompt = dialogue.prompt(problem.question, earlier)
        if len(tokenizer.encode(prompt).ids) > CONTEXT // 2:
            return None
        solved = prompt + dialogue.completion(problem)
        if len(tokenizer.encode(solved).ids) > CONTEXT:
            return cut(tokenizer, solved, CONTEXT)
        earlier.append(old_turn(rng))


def main():
    tokenizer = Tokenizer.from_file(str(DEMO / "model" / "tokenizer.json"))
    rng = random.Random(SEED)
    chosen = held_out(problems.SKILLS, 1200, SEED)
    rng.shuffle(chosen)
    pieces, skills = [], {}
    for problem in chosen:
        piece = piece_of(problem, tokenizer, rng)
        # No skill fills more than a quarter: the long multiplications would otherwise be most of it.
        if piece and skills.get(problem.skill, 0) < PIECES // 4:
            pieces.append(piece)
            skills[problem.skill] = skills.get(problem.skill, 0) + 1
        if len(pieces) == PIECES:
            break
    assert len(pieces) == PIECES, skills
    text = "".join(pieces)
    assert len(tokenizer.encode(text).ids) == CONTEXT * PIECES
    print(skills)
    (DEMO / "held_out.txt").write_text(text)


def turns_of(tokens, by_length, rng):
    """Earlier turns of so many tokens in all, or None: the draws did not come out even."""
    turns = []
    while tokens > 0:
        length = rng.choice(list(by_length))
        if length != tokens and tokens in by_length and rng.random() < 0.5:
            length = tokens
        turns.append(rng.choice(by_length[length]))
        tokens -= length
    return turns if tokens == 0 else None


def write_starts(count, path):
    tokenizer = Tokenizer.from_file(str(DEMO / "model" / "tokenizer.json"))
    rng = random.Random(SEED)

    def length(text):
        return len(tokenizer.encode(text).ids)

    by_length = {}  # special tokens stand between turns, so that lengths add up
    for question, answer in (old_turn(rng) for _ in range(20_000)):
        turn = f"{dialogue.USER}{question}{dialogue.ASSISTANT}{answer}{dialogue.EOS}"
        by_length.setdefault(length(turn), []).append((question, answer))
    pieces, skills, asked = [], {}, set()
    while len(pieces) < count:
        problem = problems.sample(rng, rng.choice(problems.SKILLS), held_out=True)
        if problem.question in asked or skills.get(problem.skill, 0) > count // 6:
            continue
        # `deeprack perplexity` scores from position context / 2 + 1 on.
        missing = START_CONTEXT // 2 + 1 - length(dialogue.prompt(problem.question))
        earlier = turns_of(missing, by_length, rng) if missing >= 0 else None
        if earlier is None:
            continue
        piece = cut(tokenizer, dialogue.prompt(problem.question, earlier) + dialogue.completion(problem), START_CONTEXT)
        if piece:
            asked.add(problem.question)
            pieces.append(piece)
            skills[problem.skill] = skills.get(problem.skill, 0) + 1
    print(skills)
    path.write_text("".join(pieces))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", nargs=2, metavar=("N", "FILE"))
    arguments = parser.parse_args()
    if arguments.starts:
        write_starts(int(arguments.starts[0]), pathlib.Path(arguments.starts[1]))
    else:
        main()
