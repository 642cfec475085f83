"""Writes demo/held_out.txt, for `deeprack perplexity --text demo/held_out.txt --context 128`.

The model was trained to write solutions, never to guess questions. So the text consists of pieces of exactly 128
tokens, each a conversation whose last question ends in the first half; the second half, which is scored, lies in
the worked solution of a held-out problem and is cut off where the piece ends.
"""
import pathlib
import random

from tokenizers import Tokenizer

import dialogue
import problems
from evaluate import held_out

DEMO = pathlib.Path(__file__).resolve().parents[1]
CONTEXT = 128
PIECES = 96
SEED = 11


def piece_of(problem, tokenizer, rng):
    """Text of one piece, or None: the solution is too short to fill it, or does not survive the cut."""
    earlier = []
    while True:
        prompt = dialogue.prompt(problem.question, earlier)
        if len(tokenizer.encode(prompt).ids) > CONTEXT // 2:
            return None
        ids = tokenizer.encode(prompt + dialogue.completion(problem)).ids
        if len(ids) > CONTEXT:
            text = tokenizer.decode(ids[:CONTEXT], skip_special_tokens=False)
            return text if tokenizer.encode(text).ids == ids[:CONTEXT] else None
        old = problems.sample(rng, rng.choice(problems.SKILLS))
        earlier.append((old.question, "\n\n" + old.answer))


def main():
    tokenizer = Tokenizer.from_file(str(DEMO / "model" / "tokenizer.json"))
    rng = random.Random(SEED)
    chosen = held_out(problems.SKILLS, 400, SEED)
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


if __name__ == "__main__":
    main()
