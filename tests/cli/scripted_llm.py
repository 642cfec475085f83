"""A small HTTP server that streams answers from a script: known delays, known errors."""

import http.server
import json
import threading
import time


class Script:
    """What the server does. `behaviour(number)` says how it answers the request with this number, of those that ask for
    `tokens` tokens (requests that ask for another number are answered at once): a status such as "429", or one of "ok",
    "error event", "bad event", "no token", "broken", "silent"."""

    def __init__(self, tokens, behaviour=lambda number: "ok", first=0.0, gap=0.0, per_event=1, refused=(),
                 requests_of_a_connection=1000):
        self.tokens, self.behaviour = tokens, behaviour
        self.first, self.gap = first, gap  # seconds before the first event and between events
        self.per_event = per_event  # tokens of an event
        self.refused = refused  # fields that the server answers with 400
        self.requests_of_a_connection = requests_of_a_connection  # then it closes the connection without notice
        self.lock = threading.Lock()
        self.requests = []  # bodies, by arrival
        self.arrivals = []  # seconds of the monotonic clock
        self.connections = set()
        self.running = self.most_running = 0


def words(body):
    """The prompt's text."""
    if "prompt" in body:
        return body["prompt"]
    contents = [message["content"] for message in body["messages"]]
    return " ".join(one if isinstance(one, str) else one[0]["text"] for one in contents)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script = None  # set by ScriptedLlm

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        known = {"/v1/models": {"data": [{"id": "scripted"}]}, "/health": {}}
        self.answer(200 if self.path in known else 404, known.get(self.path, {}))

    def do_POST(self):
        script = self.script
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for field in script.refused:
            if field in body or field in body.get("stream_options", {}):
                return self.answer(400, {"error": {"message": f"unknown field {field}"}})
        body["max_tokens"] = body.get("max_tokens") or body["max_completion_tokens"]
        behaviour, measured = "ok", body["max_tokens"] == script.tokens
        with script.lock:
            if measured:
                behaviour = script.behaviour(len(script.requests))
                script.requests.append(body)
                script.arrivals.append(time.monotonic())
                script.connections.add(id(self))
                script.running += 1
                script.most_running = max(script.most_running, script.running)
        self.handled = getattr(self, "handled", 0) + 1
        try:
            self.play(behaviour, body, measured)
        finally:
            if measured:
                with script.lock:
                    script.running -= 1
        if self.handled == script.requests_of_a_connection:
            self.close_connection = True

    def play(self, behaviour, body, measured):
        script = self.script
        if behaviour.isdigit():
            return self.answer(int(behaviour), {"error": {"message": f"answer {behaviour}", "code": f"code_{behaviour}"}})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if behaviour == "silent":
            self.close_connection = True
            return time.sleep(3)
        options = body.get("stream_options", {})
        sent = 0

        def usage():
            return {"prompt_tokens": 2 * len(words(body).split()) + 5, "completion_tokens": sent,
                    "prompt_tokens_details": {"cached_tokens": 4}}

        def event(choices, with_usage):
            # Some servers write "error": null into every event.
            self.chunk({"choices": choices, "error": None, **({"usage": usage()} if with_usage else {})})

        each = options.get("continuous_usage_stats", False)
        event([{"delta": {"role": "assistant", "content": ""}}], each)
        if measured:
            time.sleep(script.first)
        while sent < body["max_tokens"] and behaviour != "no token":
            if sent > 0 and measured:
                time.sleep(script.gap)
            if behaviour == "error event" and sent > 0:
                self.chunk({"error": {"message": "lost", "code": "lost_rank"}})
                break
            if behaviour == "bad event" and sent > 0:
                self.chunk("no JSON")
                break
            if behaviour == "broken" and sent > 0:
                self.close_connection = True  # without the last chunk
                return None
            sent = min(sent + script.per_event, body["max_tokens"])
            text = f"w{sent} "
            event([{"delta": {"content": text}} if "messages" in body else {"text": text}], each)
        if options.get("include_usage"):
            event([], True)
        self.chunk("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, event):
        data = f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass  # a client that has gone


class ScriptedLlm:
    """A context manager with the server of a script."""

    def __init__(self, script):
        self.server = Server(("127.0.0.1", 0), type("Scripted", (Handler,), {"script": script}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
