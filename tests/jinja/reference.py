"""Templates rendered by Python's jinja2 with the settings of transformers, and by this project's interpreter."""

import datetime
import json
import os
import pathlib
import subprocess
from typing import Any

import jinja2
from jinja2 import ext, nodes, sandbox

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = 1_750_000_000  # what strftime_now shows, as in jinja_dump.cc


class Generation(ext.Extension):
    """{% generation %} marks what a model wrote; the text stays as it is."""

    tags = {"generation"}

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller: Any) -> str:
        return caller()


def tojson(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def environment() -> sandbox.ImmutableSandboxedEnvironment:
    made = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda style: datetime.datetime.fromtimestamp(NOW).strftime(style)
    return made


def expected(template: str, variables: dict) -> dict:
    """{"text": ...}, or {"error": ...} with the exception."""
    try:
        return {"text": environment().from_string(template).render(**variables)}
    except Exception as error:  # a template may raise whatever Python raises
        return {"error": f"{type(error).__name__}: {error}"}


def dump_program() -> pathlib.Path:
    program = ROOT / os.environ.get("DEEPRACK_BUILD", "build") / "tests" / "jinja_dump"
    assert program.exists(), f"{program} is missing: run `make build` or set DEEPRACK_BUILD"
    return program


def answered(requests: list[tuple[str, dict]]) -> list[dict]:
    """What this project's interpreter makes of (template, variables)."""
    lines = "".join(json.dumps({"template": template, "variables": variables}) + "\n" for template, variables in requests)
    run = subprocess.run([dump_program()], input=lines, stdout=subprocess.PIPE, check=True, text=True, encoding="utf-8")
    answers = [json.loads(line) for line in run.stdout.split("\n")[:-1]]
    assert len(answers) == len(requests)
    return answers


def difference(expectation: dict, answer: dict) -> str:
    """Empty if both give the same text, or both an error."""
    if "error" in expectation and "error" in answer:
        return ""
    if expectation == answer:
        return ""
    if "error" in expectation or "error" in answer:
        return f"jinja2: {expectation}, here: {answer}"
    wanted, found = expectation["text"], answer["text"]
    at = next((i for i, (a, b) in enumerate(zip(wanted, found)) if a != b), min(len(wanted), len(found)))
    return f"from character {at} on, jinja2: {wanted[max(at - 40, 0):at + 80]!r}, here: {found[max(at - 40, 0):at + 80]!r}"
