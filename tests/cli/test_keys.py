"""`deeprack keys` makes keys that `serve --api-keys` accepts, and removes them while it runs."""

import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from serve_command import Serve, run  # noqa: E402


def ask(url, path, key=None, header="Authorization", body=None):
    """Status, headers and text of one request."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers[header] = f"Bearer {key}" if header == "Authorization" else key
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, body, headers), timeout=60) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def test_keys_open_the_server_until_they_are_removed(tmp_path):
    file = tmp_path / "keys"
    added = run("keys", "add", "alice", "--file", file)
    assert added.returncode == 0, added.stderr
    alice = added.stdout.strip()
    assert alice.startswith("sk-dr-") and alice not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    again = run("keys", "add", "alice", "--file", file)
    assert again.returncode == 78 and "remove it first" in again.stderr
    assert run("keys", "add", "bob", "--expires", "soon", "--file", file).returncode == 64

    with Serve("--api-keys", file, "--log-level", "info") as serve:
        assert "DEEPRACK_API_KEY" in serve.read_log()
        assert ask(serve.url, "/health")[0] == ask(serve.url, "/ready")[0] == 200
        assert ask(serve.url, "/metrics")[0] == 401
        body = json.dumps({"prompt": "1 + 1", "max_tokens": 1}).encode()
        for header in ("Authorization", "x-api-key"):
            assert ask(serve.url, "/v1/completions", alice, header, body)[0] == 200
        for key in (None, "sk-dr-wrong"):
            status, headers, text = ask(serve.url, "/v1/completions", key, body=body)
            assert status == 401 and headers["WWW-Authenticate"] == "Bearer"
            assert json.loads(text)["error"]["code"] == "invalid_api_key"

        bob = run("keys", "add", "bob", "--file", file).stdout.strip()
        assert run("keys", "remove", "alice", "--file", file).returncode == 0
        names = run("keys", "list", env=dict(os.environ, DEEPRACK_API_KEYS=str(file))).stdout
        assert "bob" in names and "alice" not in names
        deadline = time.monotonic() + 30
        while ask(serve.url, "/v1/models", alice)[0] != 401 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert ask(serve.url, "/v1/models", alice)[0] == 401
        assert ask(serve.url, "/v1/models", bob)[0] == 200
        assert alice not in serve.read_log() and bob not in serve.read_log()


def test_a_missing_file_of_keys_is_a_clear_error(tmp_path):
    refused = run("serve", "--api-keys", tmp_path / "none")
    assert refused.returncode == 78, refused.stderr
    assert "none" in refused.stderr
