#!/usr/bin/env python3
"""The longest time that event streams stand still while large bodies arrive.

Serves the demo model with each folder of programs in turn, streams on --streams connections, and sends --bodies chats of
--megabytes each at once. All of these are longer than the context, so the server reads them whole and refuses them. Prints the
longest gap between two events of a stream, before the bodies and while they are being answered.

  bench/http/stalls.py build/bin                    # one build
  bench/http/stalls.py OLD/build/bin build/bin      # two builds in turn, --rounds times
"""
import argparse
import json
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def request_bytes(path, body):
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


class Server:
    def __init__(self, programs):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([programs / "deeprack", "serve", ROOT / "demo" / "model", "--port", "0"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def __enter__(self):
        for _ in range(6000):
            self.log.seek(0)
            ready = re.search(rb"ready on http://[^:]+:(\d+)", self.log.read())
            if ready:
                self.port = int(ready.group(1))
                return self
            assert self.process.poll() is None, "the server has ended"
            time.sleep(0.02)
        raise TimeoutError("the server is not ready")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.settimeout(120)
        return connection


class Stream(threading.Thread):
    """Notes when events arrive, one stream after the other, until `stop` is set."""

    def __init__(self, server, stop):
        super().__init__()
        self.stop, self.times, self.connection = stop, [], server.connect()
        self.request = request_bytes("/v1/completions", {
            "prompt": "1 + 2", "stream": True, "ignore_eos": True, "max_tokens": 1900})
        self.connection.sendall(self.request)
        self.start()

    def run(self):
        while not self.stop.is_set():
            received = self.connection.recv(1 << 16)
            self.times.append(time.monotonic())
            assert received, "the server has closed a stream"
            if b"[DONE]" in received:
                self.connection.sendall(self.request)
        self.connection.close()


def longest_gap(streams, begin, end):
    """The longest gap that overlaps [begin, end]."""
    return max((b - a for s in streams for a, b in zip(s.times, s.times[1:]) if b > begin and a < end), default=0.0)


def send_body(server, body, answers):
    with server.connect() as connection:
        connection.sendall(body)
        answers.append(connection.recv(1 << 16)[9:12].decode())


def measure(programs, options):
    body = request_bytes("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "What is 12 + 30? " * int(options.megabytes * 1e6 / 17)}]})
    with Server(programs) as server:
        stop, answers = threading.Event(), []
        streams = [Stream(server, stop) for _ in range(options.streams)]
        begin = time.monotonic()
        time.sleep(options.quiet)
        bodies = time.monotonic()
        senders = [threading.Thread(target=send_body, args=(server, body, answers)) for _ in range(options.bodies)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        end = time.monotonic()
        stop.set()
        for stream in streams:
            stream.join()
        return {"quiet_gap_s": longest_gap(streams, begin, bodies), "bodies_gap_s": longest_gap(streams, bodies, end),
                "bodies_s": end - bodies, "answers": sorted(answers)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--bodies", type=int, default=8)
    parser.add_argument("--megabytes", type=float, default=7.5)
    parser.add_argument("--quiet", type=float, default=1.0, help="seconds of streaming before the bodies")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for _ in range(options.rounds):
        for programs in options.programs:
            result = measure(programs, options)
            print(programs, json.dumps({key: round(value, 3) if isinstance(value, float) else value
                                        for key, value in result.items()}), flush=True)


if __name__ == "__main__":
    main()
