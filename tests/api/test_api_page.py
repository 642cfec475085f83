"""docs/API.md against a server of the demo model: every curl gives the status and the answer that the page shows, and the tables
of fields say what the server does."""
import json
import re
import subprocess

import pytest

from ranks_cluster import ROOT

PAGE = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```sh\n(curl .*?)^```\n```(json|text) (\d+)\n(.*?)^```", PAGE, re.S | re.M)
WRONG = {"boolean": "x", "integer": "x", "number": "x", "string": {"x": 1}, "array": 1, "object": 1}


def rows(heading):
    """The cells of a table of fields: name, type, default, range, use."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n#")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]


def fields(heading):
    return [(row[0].strip("`"), *row[1:]) for row in rows(heading)]


SHARED, CHAT, COMPLETION = (fields(f"Fields of {name}") for name in (
    "both generation endpoints", "/v1/chat/completions alone", "/v1/completions alone"))


def bodies(more):
    """The requests that have the fields of each table."""
    chat = "/v1/chat/completions", {"messages": [{"role": "user", "content": "1 + 2?"}], "max_tokens": 1, **more}
    completion = "/v1/completions", {"prompt": "1 + 2", "max_tokens": 1, **more}
    return {id(SHARED): [chat, completion], id(CHAT): [chat], id(COMPLETION): [completion]}


def shows(shown, found):
    """True if `found` has all that `shown` has; "..." is any value, and a list that is not empty shows its first entries."""
    if shown == "...":
        return True
    if shown in ([], {}):
        return found == shown
    if isinstance(shown, dict):
        return isinstance(found, dict) and all(key in found and shows(value, found[key]) for key, value in shown.items())
    if isinstance(shown, list):
        return isinstance(found, list) and len(found) >= len(shown) and all(map(shows, shown, found))
    return type(shown) is type(found) and shown == found


def data(line):
    value = line.removeprefix("data: ")
    return json.loads(value) if value.startswith("{") else value


def test_the_page_has_an_example_for_every_endpoint():
    assert len(EXAMPLES) == PAGE.count("\ncurl ")
    asked = {re.search(r"http://127\.0\.0\.1:8000(/\S+)", command).group(1) for command, *_ in EXAMPLES}
    assert asked == {"/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/responses",
                     "/v1/responses/resp_0", "/v1/models", "/v1/models/another", "/v1/chat/completions/render", "/tokenize",
                     "/v1/responses/input_tokens", "/apply-template", "/completion",
                     "/tokenizer_info", "/detokenize", "/health", "/ready", "/version", "/metrics"}


@pytest.mark.parametrize("command, kind, status, answer", EXAMPLES, ids=range(len(EXAMPLES)))
def test_curl(cluster, command, kind, status, answer):
    command = command.replace("http://127.0.0.1:8000", cluster.url).replace("curl ", "curl -w '\\n%{http_code}' ", 1)
    out = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True, timeout=60).stdout
    text, _, found = out.rpartition("\n")
    assert found == status, text
    if kind == "json":
        assert shows(json.loads(answer), json.loads(text)), text
        return
    lines = iter(text.splitlines())
    for wanted in answer.splitlines():  # the shown lines come in this order
        assert any(shows(data(wanted), data(line)) for line in lines if line), wanted


@pytest.mark.parametrize("table", [SHARED, CHAT, COMPLETION], ids=["shared", "chat", "completion"])
def test_wrong_types_are_refused_by_name_and_null_is_taken(cluster, table):
    """Of honoured fields; tests/unit/api/fields_test.cc has the others."""
    for name, types, *_, use in table:
        if not use.startswith("honoured"):
            continue
        kind = types.split(" ")[0].rstrip(",")
        wrong = WRONG["array" if "array" in types and kind != "object" else kind]
        for path, body in bodies({name: wrong})[id(table)]:
            status, reply = cluster.post(path, body)
            assert status == 400 and reply["error"]["param"].startswith(name), (name, wrong, reply)
            assert reply["error"]["code"] != "unsupported_value" or name == "tool_choice"
        if name in ("messages", "prompt"):
            continue
        for path, body in bodies({name: None})[id(table)]:
            status, reply = cluster.post(path, body)
            assert status == 200, (name, reply)


def test_ranges(cluster):
    checked = 0
    for name, _, _, span, _ in SHARED:
        bounds = re.fullmatch(r"(-?[\d.e-]+) to (-?[\d.e-]+)", span)
        if not bounds:
            continue
        low, high = (float(bound) if re.search(r"[.e]", bound) else int(bound) for bound in bounds.groups())
        checked += 1
        for value, accepted in [(low, True), (high, name != "n"), (low - 1, False), (high + 1, False)]:
            for path, body in bodies({name: value})[id(SHARED)]:
                status, reply = cluster.post(path, body)
                if accepted:
                    assert status == 200, (name, value, reply)
                elif (name, value) != ("n", high):
                    assert status == 400 and reply["error"]["param"] == name, (name, value, reply)
    assert checked >= 8
