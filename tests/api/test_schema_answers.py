"""On random weights, whatever the seed, every finished answer is of its schema, by the jsonschema package.

DEEPRACK_SCHEMA_ANSWERS=1000 asks for as many answers. The half of the schemas is written down, the other half is made from seeds.
"""
import collections
import concurrent.futures
import json
import os
import re
import shutil

import jsonschema
import pytest

from serve_command import ROOT, Serve
from strict_schemas import WRITTEN, random_schema

ANSWERS = int(os.environ.get("DEEPRACK_SCHEMA_ANSWERS", 48))
FORMATS = jsonschema.FormatChecker()
# The formats for which jsonschema needs further packages.
PATTERNS = {
    "date-time": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})",
    "time": r"\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})",
    "hostname": r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*",
    "duration": r"P(?=.)((\d+W)|(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?)",
}
for name, pattern in PATTERNS.items():
    FORMATS.checks(name)(lambda value, pattern=pattern: not isinstance(value, str) or bool(re.fullmatch(pattern, value)))


@pytest.fixture(scope="module")
def random_model(tmp_path_factory):
    """A server of the demo model's tokenizer with made-up weights."""
    folder = tmp_path_factory.mktemp("model")
    for file in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "demo" / "model" / file, folder)
    with Serve(folder, "--load-format", "dummy", "--threads", "1") as server:
        yield server


def test_every_finished_answer_is_of_its_schema(random_model):
    def ask(number):
        schema = WRITTEN[number // 2 % len(WRITTEN)] if number % 2 == 0 else random_schema(number)
        form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
        body = {"prompt": f"{number}: ", "temperature": 1, "seed": number, "max_tokens": 400, "response_format": form}
        choice = random_model.post("/v1/completions", body)["choices"][0]
        return schema, choice["finish_reason"], choice["text"]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(ANSWERS)))
    finishes = collections.Counter(finish for _, finish, _ in answers)
    print(f"{ANSWERS} answers: {dict(finishes)}")
    wrong = []
    for schema, finish, text in answers:
        if finish != "stop":
            continue
        try:
            jsonschema.Draft202012Validator(schema, format_checker=FORMATS).validate(json.loads(text))
        except (ValueError, jsonschema.ValidationError) as fault:
            wrong.append(f"{text!r} of {json.dumps(schema)}: {str(fault).splitlines()[0]}")
    assert not wrong, "\n".join(wrong)
    assert finishes["stop"] >= ANSWERS * 3 // 4 and set(finishes) <= {"stop", "length"}
