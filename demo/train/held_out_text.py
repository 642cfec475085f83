"""Writes demo/held_out.txt, for `deeprack perplexity --text demo/held_out.txt --context 128`.

The model was trained to write solutions, not to predict questions. So the text consists of pieces of exactly 128 tokens. Each
piece is a conversation whose last question ends in the first half. The second half, which is scored, is part of the worked
solution of a held-out problem; the solution is cut off at the end of the piece.

With --starts N FILE the script writes another text, for --context 64: N pieces whose scored half is the beginning of a
solution, where the model chooses the method and is least certain.
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
    """The text's first tokens. None: the text is too short, or its tokens change when it is cut."""
    ids = tokenizer.encode(text).ids
    piece = tokenizer.decode(ids[:tokens], skip_special_tokens=False)
    return piece if len(ids) >= tokens and tokenizer.encode(piece).ids == ids[:tokens] else None


def piece_of(problem, tokenizer, rng):
    """The text of one piece. None: the solution is too short, or its tokens change when it is cut."""
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
        # At most a quarter for each skill: otherwise most of the text would be long multiplications.
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
    """Earlier turns with the given number of tokens in all. None: the drawn turns did not reach exactly that number."""
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

    by_length = {}  # special tokens separate turns, so the lengths of turns add up
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
