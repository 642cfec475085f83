"""Servers for the tests of clients: the demo model, and scripted models whose answers are known.

A plain run of pytest takes the tests of this folder alone. Those of the subfolders need packages of their own: `make test-clients`
installs them and names the subfolder in DEEPRACK_CLIENTS.
"""
import json
import os
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path += [str(FOLDER), str(FOLDER.parent / "api")]

from scripted_model import EOS, chat_scripts, tool_call  # noqa: E402
from scripted_servers import ANSWER, CITY, REASONING, TALE, VERDICT, WEATHER, Scripted  # noqa: E402
from serve_command import Serve  # noqa: E402

GROUPS = [entry.name for entry in FOLDER.iterdir() if (entry / "requirements.txt").exists()]
collect_ignore = [group for group in GROUPS if group != os.environ.get("DEEPRACK_CLIENTS")]


@pytest.fixture(scope="session")
def serve_script(tmp_path_factory):
    """serve_script(chat, after_tools): the server of that script. Each script is served once a session."""
    running = {}

    def start(chat, after_tools=None):
        key = (chat, after_tools)
        if key not in running:
            running[key] = Scripted(tmp_path_factory.mktemp("model"), chat_scripts(chat, after_tools))
        return running[key]

    yield start
    for scripted in running.values():
        scripted.server.__exit__()


@pytest.fixture(scope="session")
def answers(serve_script):
    """A model that reasons REASONING and answers ANSWER."""
    return serve_script(f"{REASONING}</think>\n\n{ANSWER}{EOS}")


@pytest.fixture(scope="session")
def weather(serve_script):
    """A model that calls get_weather(CITY). After the tool's output it thinks once more, as R1 does, and answers WEATHER.

    A script has one text after </think>, so the call itself ends the first thought.
    """
    return serve_script(f"I ask the tool.{tool_call('get_weather', CITY)}", f"The tool knows.</think>{WEATHER}{EOS}")


@pytest.fixture(scope="session")
def verdicts(serve_script):
    """A model that answers VERDICT as JSON."""
    return serve_script(f"I weigh it.</think>{json.dumps(VERDICT)}{EOS}")


@pytest.fixture(scope="session")
def verdict_calls(serve_script):
    """A model that calls the function Verdict with VERDICT as its arguments."""
    return serve_script(f"I weigh it.</think>{tool_call('Verdict', VERDICT)}")


@pytest.fixture(scope="session")
def endless(serve_script):
    """A model whose answers never end."""
    return serve_script("The same again.</think>" + TALE)


@pytest.fixture(scope="session")
def demo():
    """The demo model, served under the name "demo"."""
    with Serve("--threads", "1") as server:
        server.v1 = server.url + "/v1"
        yield server
