"""Programs of the terminal: llm and shell-gpt."""
import os
import pathlib
import subprocess
import sys

import pytest

from scripted_servers import ANSWER, MODEL

BIN = pathlib.Path(sys.executable).parent


def run(command, environment):
    done = subprocess.run([str(BIN / command[0]), *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def llm(answers, tmp_path):
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: r1\n  model_name: {MODEL}\n  api_base: {answers.v1}\n  api_key_name: deeprack\n"
        f"- model_id: text\n  model_name: {MODEL}\n  api_base: {answers.v1}\n  completion: true\n"
        f"- model_id: responses\n  model_name: {MODEL}\n  api_base: {answers.v1}\n  responses: true\n")
    return lambda *arguments: run(["llm", *arguments], {"LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"})


def test_llm(llm):
    assert llm("prompt", "-m", "r1", "--key", "none", "What is 12 + 30?").endswith(ANSWER)
    assert llm("prompt", "-m", "r1", "--key", "none", "--no-stream", "What is 12 + 30?").endswith(ANSWER)
    assert llm("prompt", "-c", "-m", "r1", "--key", "none", "And again?").endswith(ANSWER)


def test_llm_responses(llm):
    assert llm("prompt", "-m", "responses", "--key", "none", "What is 12 + 30?").endswith(ANSWER)


def test_llm_completion(llm):
    assert llm("prompt", "-m", "text", "--key", "none", "-o", "max_tokens", "5", "abc") == "defgh"


def test_shell_gpt(answers, tmp_path):
    environment = {"HOME": str(tmp_path), "API_BASE_URL": answers.v1, "OPENAI_API_KEY": "none", "DEFAULT_MODEL": MODEL,
                   "PRETTIFY_MARKDOWN": "false", "OPENAI_USE_FUNCTIONS": "false", "SHELL_INTERACTION": "false"}
    assert ANSWER in run(["sgpt", "--no-cache", "What is 12 + 30?"], environment)
    assert ANSWER in run(["sgpt", "--no-cache", "--chat", "sums", "What is 12 + 30?"], environment)
    assert ANSWER in run(["sgpt", "--no-cache", "--chat", "sums", "And again?"], environment)
