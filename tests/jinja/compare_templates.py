#!/usr/bin/env python3
"""Compares this project's interpreter with jinja2 on chat templates, over the conversations of conversations.py.

    compare_templates.py FILE...

A FILE is a template, or a tokenizer_config.json with a chat_template.
"""

import json
import pathlib
import sys

from conversations import variables
from reference import answered, difference, environment

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def templates(path: pathlib.Path) -> dict[str, str]:
    if path.suffix != ".json":
        return {path.name: path.read_text()}
    found = json.loads(path.read_text()).get("chat_template") or {}
    if isinstance(found, str):
        return {path.parent.name: found}
    return {f"{path.parent.name}: {entry['name']}": entry["template"] for entry in found}


def main() -> int:
    failed = 0
    cases = list(variables())
    count = 0
    for argument in sys.argv[1:]:
        for name, template in templates(pathlib.Path(argument)).items():
            count += 1
            try:
                compiled = environment().from_string(template)
            except Exception as error:
                print(f"{name}: jinja2 refuses it: {error}")
                continue
            answers = answered([(template, values | TOKENS) for _, values in cases])
            different, texts = [], 0
            for (case, values), answer in zip(cases, answers):
                try:
                    expectation = {"text": compiled.render(**values, **TOKENS)}
                    texts += 1
                except Exception as error:
                    expectation = {"error": f"{type(error).__name__}: {error}"}
                if found := difference(expectation, answer):
                    different.append(f"{case}: {found}")
            failed += bool(different)
            print(f"{name}: {len(cases)} prompts, {texts} with a text, {len(different)} different", *different[:2], sep="\n    ")
    print(f"{count} templates, {failed} with differences")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
