"""Builds the demo tokenizer: byte-level BPE in the layout of R1's tokenizer.json, with a vocabulary of 512.

Merges only extend a word from its start (" m", " ma", " man", " many"). So the frequent words of the problems become single
tokens, and the letters of all other words stay separate tokens, which counting letters needs. Digits never merge.
"""
import argparse
import json
import pathlib
import random
import re
from collections import Counter

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

import dialogue as d
import problems

VOCAB_SIZE = 512
# The three splits of R1's tokenizer: digits, CJK and kana, then words, punctuation and space.
SPLITS = (
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
)
CHAT_TEMPLATE = pathlib.Path(__file__).with_name("chat_template.jinja")


def pre_tokenizer():
    splits = [pre_tokenizers.Split(Regex(s.replace("\\r", "\r").replace("\\n", "\n")), "isolated") for s in SPLITS]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def count_pieces(seed, problems_a_skill):
    """Counts each pre-token, without questions about letters, whose words must stay separate letters."""
    rng, splitter, counts = random.Random(seed), pre_tokenizer(), Counter()
    for skill in problems.SKILLS:
        for _ in range(problems_a_skill):
            problem = problems.sample(rng, skill)
            question = "How many are in? Count the" if skill == "letters" else problem.question
            for text in (question, problem.thought, problem.answer):
                counts.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    return counts


def choose_merges(counts, budget):
    """The merges of the most frequent words' prefixes, most frequent word first, until the vocabulary is full."""
    wanted = re.compile(r"Ġ[a-z]+|[A-Z][a-z]+|Ġ[-+*=]|Ċ+")
    merges, known = [], set()

    def chain(piece):
        fresh = [(piece[:i], piece[i]) for i in range(1, len(piece)) if piece[:i + 1] not in known]
        if len(merges) + len(fresh) <= budget:
            merges.extend(fresh)
            known.update(a + b for a, b in fresh)

    chain("ĊĊ")
    for letter in "abcdefghijklmnopqrstuvwxyz":
        chain("Ġ" + letter)
    worth = {p: n * (len(p) - 1) for p, n in counts.items() if wanted.fullmatch(p) and len(p) > 1}
    for piece in sorted(worth, key=lambda p: (-worth[p] / len(p) ** 0.5, p)):
        chain(piece)
    return merges


def build(seed=1, problems_a_skill=2000):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = [d.USER, d.ASSISTANT, d.THINK, d.END_THINK, *d.TOOL_MARKS]
    base = [d.BOS, d.EOS, d.PAD, *alphabet]
    merges = choose_merges(count_pieces(seed, problems_a_skill), VOCAB_SIZE - len(base) - len(marks))
    vocab = {token: i for i, token in enumerate([*base, *(a + b for a, b in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, dropout=None, fuse_unk=False, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in (d.BOS, d.EOS, d.PAD)])
    tokenizer.add_tokens([AddedToken(t, normalized=True, special=False) for t in marks])
    return tokenizer


def write_config(folder):
    special = {"__type": "AddedToken", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": {**special, "content": d.BOS},
        "clean_up_tokenization_spaces": False,
        "eos_token": {**special, "content": d.EOS},
        "legacy": True,
        "model_max_length": 2048,
        "pad_token": {**special, "content": d.EOS},
        "sp_model_kwargs": {},
        "unk_token": None,
        "tokenizer_class": "LlamaTokenizerFast",
        "chat_template": CHAT_TEMPLATE.read_text(),
    }
    (pathlib.Path(folder) / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n")


def write(folder, seed=1):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    build(seed).save(str(folder / "tokenizer.json"))
    write_config(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="build/demo_train", help="folder for tokenizer.json and tokenizer_config.json")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    write(arguments.out, arguments.seed)
