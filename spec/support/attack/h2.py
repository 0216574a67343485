"""HTTP/2 by hand: frames as bytes, over TLS with ALPN, one thread, never blocking on the other side."""
import select
import socket
import ssl
import struct
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def number(value, bits, first=0):
    """An HPACK integer behind the bits of `first`."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return number(len(value), 7) + value


def field(name, value, index=False):
    return (b"\x40" if index else b"\x00") + text(name) + text(value)


def request(path, method="GET", extra=b""):
    """A header block: pseudo headers, then `extra` fields."""
    verb = {"GET": b"\x82", "POST": b"\x83"}.get(method) or b"\x02" + text(method)
    return verb + b"\x87" + b"\x04" + text(path) + b"\x01" + text("attack") + extra


class Peer:
    """One connection; what came from the server is in `resets`, `statuses`, `bodies`, `goaway`, `closed`."""

    def __init__(self, address, settings=b"", receive_buffer=None):
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(20)
        raw.connect(address)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        self.sock = context.wrap_socket(raw)
        assert self.sock.selected_alpn_protocol() == "h2", "no HTTP/2 by ALPN"
        self.sock.setblocking(False)
        self.input, self.closed, self.goaway = bytearray(), False, None
        self.resets, self.statuses, self.bodies, self.ended = {}, {}, {}, set()
        self.acks, self.frames, self.received = 0, 0, 0
        self.granted = 0  # bytes of body that the connection may take, by WINDOW_UPDATE
        self.credit = True  # answers DATA with WINDOW_UPDATE
        self.stream, self.out = -1, bytearray()
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def next_stream(self):
        self.stream += 2
        return self.stream

    def take(self):
        while len(self.input) >= 9:
            size = int.from_bytes(self.input[:3], "big")
            if len(self.input) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self.input[3:9])
            payload = bytes(self.input[9:9 + size])
            del self.input[:9 + size]
            self.handle(kind, flags, stream, payload)

    def handle(self, kind, flags, stream, payload):
        self.frames += 1
        if kind == GOAWAY:
            last, code = struct.unpack(">II", payload[:8])
            self.goaway = {"last": last, "code": code, "text": payload[8:].decode("latin1")}
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload, "big")
        elif kind == HEADERS:
            self.statuses[stream] = status_of(payload)
        elif kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, b"") + payload
            if payload and self.credit:
                step = struct.pack(">I", len(payload))
                self.out += frame(WINDOW_UPDATE, 0, 0, step) + frame(WINDOW_UPDATE, 0, stream, step)
        elif kind == WINDOW_UPDATE and stream == 0:
            self.granted += int.from_bytes(payload, "big")
        elif kind in (SETTINGS, PING) and flags & ACK:
            self.acks += 1
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)

    def read(self):
        while not self.closed:
            try:
                piece = self.sock.recv(1 << 16)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                piece = b""
            if not piece:
                self.closed = True
            self.received += len(piece)
            self.input += piece
            self.take()

    def send(self, data, seconds=20, read=True):
        """Sends all of it unless the server closes or takes nothing for so long; @return bytes sent."""
        self.out += data
        total, until = len(self.out), time.monotonic() + seconds
        while self.out and not self.closed and time.monotonic() < until:
            if read:
                self.read()
            try:
                n = self.sock.send(self.out[:1 << 16])
                del self.out[:n]
                until = time.monotonic() + seconds
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                select.select([self.sock] if read else [], [self.sock], [], 0.2)
            except OSError:
                self.read()
                self.closed = True
        return total - len(self.out)

    def wait(self, check, seconds=5):
        """Reads until check() holds or the connection ends; @return whether it holds."""
        until = time.monotonic() + seconds
        while not check() and not self.closed and time.monotonic() < until:
            self.read()
            if self.out:
                self.send(b"", 1)
            if not check() and not self.closed:
                select.select([self.sock], [], [], 0.02)
        return check()

    def get(self, path, seconds=20):
        """@return status of a whole answer, or 0"""
        stream = self.next_stream()
        self.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, request(path)))
        if not self.wait(lambda: stream in self.ended or stream in self.resets, seconds):
            return 0
        self.bodies.pop(stream, None)
        return self.statuses.get(stream, 0)

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


STATIC = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


def status_of(block):
    """The server writes the status first, from the static table or as a literal."""
    while block and block[0] >> 5 == 1:
        block = block[1:]
    if block and block[0] & 0x80:
        return STATIC.get(block[0] & 0x7F, 0)
    if len(block) > 4 and block[1] == 3:
        return int(block[2:5])
    return -1
