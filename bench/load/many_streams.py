"""How many streams one network thread of `deeprack load` carries: the figure of docs/LOAD.md.

The server is a script on this machine. It sends the first token after 0.5 s and each further token 1.5 s after the token
before, so a stream of 4 tokens lasts 5 s, and RATE streams a second are 5 x RATE streams at once.
    python3 bench/load/many_streams.py --rate 800
"""

import argparse
import asyncio
import json
import os
import pathlib
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("DEEPRACK_BIN", ROOT / "build" / "bin"))
FIRST, GAP, TOKENS = 0.5, 1.5, 4


class Script:
    def __init__(self):
        self.running = self.most = 0

    async def serve(self, reader, writer):
        """One connection, which may carry requests one after the other."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if head.startswith("GET"):
                    body = json.dumps({"data": [{"id": "scripted"}]}).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    continue
                length = next(int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length:"))
                await self.answer(json.loads(await reader.readexactly(length)), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(self, request, writer):
        tokens = request.get("max_tokens") or request["max_completion_tokens"]
        prompt = len(request["messages"][-1]["content"].split())
        measured = tokens == TOKENS  # the client asks for other lengths while it learns the tokenizer
        self.running += measured
        self.most = max(self.most, self.running)
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for sent in range(1, tokens + 1):
                if measured:
                    await asyncio.sleep(FIRST if sent == 1 else GAP)
                send(writer, json.dumps({"choices": [{"delta": {"content": f"w{sent} "}}],
                                         "usage": {"prompt_tokens": prompt, "completion_tokens": sent}}))
            send(writer, "[DONE]")
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            self.running -= measured


def send(writer, event):
    data = f"data: {event}\n\n".encode()
    writer.write(b"%x\r\n" % len(data) + data + b"\r\n")


async def measure(rate):
    script = Script()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, backlog=4096)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        load = await asyncio.create_subprocess_exec(
            BIN / "deeprack", "load", "--url", url, "--client-threads", "1", "--rate", str(rate), "--requests", str(20 * rate),
            "--input-tokens", "8", "--output-tokens", str(TOKENS), "--spread", "0", "--json", report.name)
        if await load.wait() != 0:
            raise SystemExit(load.returncode)
        level, = json.load(report)["levels"]
    client = level["client"]
    print(f"{script.most} streams at once: the thread computed {client['busiest_thread_share']:.0%} of the time, and sent at most"
          f" {client['send_delay_ms']['p99']:.1f} ms late (99th percentile); {level['failed']} failed; load average"
          f" {os.getloadavg()[0]:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=800, help="streams that begin each second")
    asyncio.run(measure(parser.parse_args().rate))


if __name__ == "__main__":
    main()
