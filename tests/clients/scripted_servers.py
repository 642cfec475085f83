"""Servers of scripted models for the tests of clients, and what those models say."""
import socket

from scripted_model import ScriptedModel
from serve_command import Serve

MODEL = "scripted/model"  # a slash, as names of the hub have
REASONING = "I add the two numbers."
ANSWER = "The sum is forty-two. Un café, s'il vous plaît 😀 – done."
CITY = {"city": "Paris"}
TALE = "Once upon a time, in a land far away, a small server told one tale after another, and nobody counted its tokens. "
VERDICT = {"answer": "yes", "note": "So it is.", "doubt": None, "reasons": [{"colour": "green", "weight": 42}]}
WEATHER = "It is sunny in Paris, says the tool."


def free_port():
    """A port of loopback that no program uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Scripted:
    """A running server of a scripted model. `url` has no path; `model` computes the right log-probabilities."""

    def __init__(self, folder, after):
        self.model = ScriptedModel(after)
        self.folder = self.model.write(folder)
        self.server = Serve(self.folder, "--served-model-name", MODEL, "--threads", "1")
        self.server.__enter__()
        self.url = self.server.url
        self.v1 = self.url + "/v1"
