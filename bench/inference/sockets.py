"""sockets.py PORT PATH COUNT SECONDS: holds so many WebSockets and reads what is sent to all of them.

Prints one line of JSON: sockets held, messages and bytes read, updates seen, and how long after an update's first
socket the others had it (ms)."""
import json
import re
import resource
import select
import socket
import sys
import time

HANDSHAKE = ("GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


TIMESTAMP = re.compile(rb'"timestamp":"([^"]*)"')


class Reader:
    """One socket: the head of the answer, then frames that a server sends (no mask, no fragments)."""

    def __init__(self, stream):
        self.stream, self.buffer, self.open = stream, b"", False

    def messages(self):
        self.buffer += self.stream.recv(1 << 18)
        if not self.open:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise SystemExit(head.decode())
            self.open, self.buffer = True, rest
        while len(self.buffer) >= 2:
            size, at = self.buffer[1] & 127, 2
            if size == 126:
                size, at = int.from_bytes(self.buffer[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(self.buffer[2:10], "big"), 10
            if len(self.buffer) < at + size:
                return
            text, self.buffer = self.buffer[at:at + size], self.buffer[at + size:]
            yield text


def main(port, path, count, seconds):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    poll, readers = select.epoll(), {}
    for i in range(count):
        # One address of this machine has 28,000 ports to call from: ten of them are plenty.
        stream = socket.create_connection(("127.0.0.1", port), 60, ("127.0.0.%d" % (2 + i % 10), 0))
        stream.sendall(HANDSHAKE.format(path).encode())
        stream.setblocking(False)
        readers[stream.fileno()] = Reader(stream)
        poll.register(stream.fileno(), select.EPOLLIN)
    first, late, size, read = {}, [], 0, 0
    begun = time.time()
    while time.time() - begun < seconds:
        for fd, _ in poll.poll(0.2):
            for text in readers[fd].messages():
                now, which = time.time(), TIMESTAMP.search(text).group(1)
                late.append(now - first.setdefault(which, now))
                size += len(text)
                read += 1
    late.sort()
    print(json.dumps({"sockets": sum(r.open for r in readers.values()), "messages": read, "bytes": size, "updates": len(first),
                      "late_p50_ms": 1e3 * late[len(late) // 2] if late else None,
                      "late_p99_ms": 1e3 * late[len(late) * 99 // 100] if late else None,
                      "seconds": time.time() - begun}))


main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
