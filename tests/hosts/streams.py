"""Streams that follow each other for as long as a test lasts. Each has a known right result."""

import os
import random
import threading
import time
import urllib.error

from test_recovery import Stream, body

REQUESTS = [body(index, max_tokens=10 + 11 * (index % 13)) for index in range(39)]


class Reading(Stream):
    """A stream that the calling thread reads."""

    def start(self):
        self.run()

    def result(self):
        return self.text, self.logprobs, self.usage and self.usage["completion_tokens"], self.error, self.ends


class Load:
    """Streams that follow each other in `lanes` threads. `undisturbed` has the right result of each request."""

    def __init__(self, server, undisturbed, lanes):
        self.server, self.undisturbed = server, undisturbed
        self.done, self.refused, self.wrong = 0, 0, []
        self.ended, self.paused, self.lock = threading.Event(), threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self._lane, args=(lane,), daemon=True) for lane in range(lanes)]
        for thread in self.threads:
            thread.start()

    def _lane(self, lane):
        chance = random.Random(lane)
        while not self.ended.is_set():
            if self.paused.is_set():
                time.sleep(0.02)
                continue
            index = chance.randrange(len(REQUESTS))
            try:
                result = Reading(self.server, REQUESTS[index]).result()
            except urllib.error.HTTPError as error:
                result = error.code
            except OSError as error:
                result = repr(error)
            with self.lock:
                if result == 503:  # the cluster recovers, and says so before a stream begins
                    self.refused += 1
                else:
                    self.done += 1
                    if result != self.undisturbed[index]:
                        self.wrong.append((index, result))
            if not isinstance(result, tuple):
                time.sleep(0.1)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def undisturbed_results(server):
    return [Reading(server, request).result() for request in REQUESTS]


def open_files(pids):
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
