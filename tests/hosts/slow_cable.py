"""A cable that delays what one host sends. What others send to the host arrives at once."""

import collections
import ctypes
import fcntl
import os
import select
import socket
import struct
import threading
import time

from rack import CLONE_NEWNET, run

SIOCETHTOOL = 0x8946
SET_TX_CHECKSUM, SET_TSO, SET_GSO = 0x17, 0x1F, 0x24  # ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO
ETH_P_ALL = 3
LONGEST_FRAME = 65536


class in_namespace:
    """The calling thread uses the network of a namespace of `ip netns` in the `with` block."""

    def __init__(self, name):
        self.name = name

    @staticmethod
    def _set(file):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def __enter__(self):
        self.own = open("/proc/thread-self/ns/net")
        with open(f"/run/netns/{self.name}") as namespace:
            self._set(namespace)

    def __exit__(self, *_):
        with self.own:
            self._set(self.own)


def send_whole_frames(namespace, device):
    """The device then sends frames of the link's length with their checksums, as a wire has them."""
    with in_namespace(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in (SET_TX_CHECKSUM, SET_TSO, SET_GSO):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(control, SIOCETHTOOL, request)


def frames_of(device):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    port.bind((device, 0))
    port.setblocking(False)
    return port


class SlowCable:
    """Between the port of `host` and the bridge of the rack's switch, until the end of the `with` block: forwards frames, those
    from the host `seconds` later."""

    def __init__(self, rack, host, seconds):
        self.rack, self.host, self.seconds = rack, host, seconds
        self.forwarded = collections.Counter()

    def __enter__(self):
        switch = self.rack.switch
        for each in self.rack.hosts:
            send_whole_frames(each.name, "cable")
        run("ip", "-n", switch, "link", "add", "far", "up", "type", "veth", "peer", "name", "near")
        run("ip", "-n", switch, "link", "set", "near", "up")
        with in_namespace(switch):
            self.port, self.near = frames_of(self.host.port), frames_of("near")
        self.wake, self.woken = os.pipe()[::-1]
        self.thread = threading.Thread(target=self._forward, daemon=True)
        self.thread.start()
        run("ip", "-n", switch, "link", "set", self.host.port, "nomaster")
        run("ip", "-n", switch, "link", "set", "far", "master", "bridge")
        return self

    def __exit__(self, *_):
        run("ip", "-n", self.rack.switch, "link", "set", self.host.port, "master", "bridge")
        os.write(self.wake, b".")
        self.thread.join()
        run("ip", "-n", self.rack.switch, "link", "delete", "far")
        for file in (self.port, self.near):
            file.close()
        os.close(self.wake)
        os.close(self.woken)

    def _forward(self):
        waiting = collections.deque()  # when to send, frame
        while True:
            rest = max(0, waiting[0][0] - time.monotonic()) if waiting else None
            readable, _, _ = select.select([self.port, self.near, self.woken], [], [], rest)
            if self.woken in readable:
                return
            for source in readable:
                for frame in self._arrived(source):
                    if source is self.port:
                        waiting.append((time.monotonic() + self.seconds, frame))
                    else:
                        self._send(self.port, frame)
            while waiting and waiting[0][0] <= time.monotonic():
                self._send(self.near, waiting.popleft()[1])

    @staticmethod
    def _arrived(source):
        try:
            while True:
                frame, address = source.recvfrom(LONGEST_FRAME)
                if address[2] != socket.PACKET_OUTGOING:
                    yield frame
        except BlockingIOError:
            return

    def _send(self, target, frame):
        try:
            target.send(frame)
            self.forwarded["delayed" if target is self.near else "at once"] += 1
        except OSError:
            self.forwarded["dropped"] += 1  # as a full switch does; TCP sends it again
