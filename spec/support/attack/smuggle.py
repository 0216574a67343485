"""Requests over HTTP/1.1 that two readers could read in two ways. Each is sent on a connection of its own with
"GET /hit/smuggled" where a second request would begin for a lenient reader."""
import socket
import time

INNER = b"GET /hit/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def post(headers, body, path=b"/echo"):
    return b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n" + body


def chunked(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


def get(headers, first=b"GET /ok HTTP/1.1\r\n"):
    return first + b"Host: a\r\n" + headers + b"\r\n"


# name: (bytes, what must come of it): "refused" = a 4xx or 501, then the end of the connection, and no
# /hit/smuggled; a number = that first status, and /hit/smuggled only if it stands behind the comma as "+".
FORMS = {
    "CL and TE": (post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "TE and CL": (post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "two CL that differ": (post(b"Content-Length: 0\r\nContent-Length: 40\r\n", INNER), "refused"),
    "two CL alike": (post(b"Content-Length: 0\r\nContent-Length: 0\r\n", INNER), "refused"),
    "CL list": (post(b"Content-Length: 0, 0\r\n", INNER), "refused"),
    "CL plus": (post(b"Content-Length: +0\r\n", INNER), "refused"),
    "CL minus": (post(b"Content-Length: -1\r\n", INNER), "refused"),
    "CL hex": (post(b"Content-Length: 0x0\r\n", INNER), "refused"),
    "CL empty": (post(b"Content-Length: \r\n", INNER), "refused"),
    "CL with space inside": (post(b"Content-Length: 0 0\r\n", INNER), "refused"),
    "CL over 2^63": (post(b"Content-Length: 18446744073709551616\r\n", INNER), "refused"),
    "TE xchunked": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "TE chunked twice": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + INNER),
                         "refused"),
    "TE identity, chunked": (post(b"Transfer-Encoding: identity, chunked\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "TE gzip": (post(b"Transfer-Encoding: gzip\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "TE chunked, identity": (post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "TE quoted": (post(b"Transfer-Encoding: \"chunked\"\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "TE with vertical tab": (post(b"Transfer-Encoding:\x0bchunked\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "TE space before colon": (post(b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + INNER),
                              "refused"),
    "TE in HTTP/1.0": (b"POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
                       "refused"),
    "TE on a folded line": (post(b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + INNER),
                            "refused"),
    "TE behind CR": (post(b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "TE behind LF": (post(b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + INNER), "refused"),
    "NUL in a value": (get(b"X: a\0b\r\n") + INNER, "refused"),
    "NUL in a name": (get(b"X\0: a\r\n") + INNER, "refused"),
    "header without colon": (get(b"nonsense\r\n") + INNER, "refused"),
    "header without name": (get(b": x\r\n") + INNER, "refused"),
    "first header folded": (b"GET /ok HTTP/1.1\r\n Host: a\r\n\r\n" + INNER, "refused"),
    "bare LF lines": (b"GET /ok HTTP/1.1\nHost: a\n\n" + INNER, "refused"),
    "bare CR lines": (b"GET /ok HTTP/1.1\rHost: a\r\r" + INNER, "refused"),
    "two hosts": (get(b"Host: b\r\n") + INNER, "refused"),
    "no host": (b"GET /ok HTTP/1.1\r\n\r\n" + INNER, "refused"),
    "host with path": (b"GET /ok HTTP/1.1\r\nHost: a/b\r\n\r\n" + INNER, "refused"),
    "host with space": (b"GET /ok HTTP/1.1\r\nHost: a b\r\n\r\n" + INNER, "refused"),
    "host list": (b"GET /ok HTTP/1.1\r\nHost: a, b\r\n\r\n" + INNER, "refused"),
    "host with user": (b"GET /ok HTTP/1.1\r\nHost: a@b\r\n\r\n" + INNER, "refused"),
    "absolute target and another host": (b"GET http://b/ok HTTP/1.1\r\nHost: a\r\n\r\n" + INNER, "refused"),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + INNER, "refused"),
    "two spaces": (b"GET  /ok HTTP/1.1\r\nHost: a\r\n\r\n" + INNER, "refused"),
    "tab for space": (b"GET\t/ok HTTP/1.1\r\nHost: a\r\n\r\n" + INNER, "refused"),
    "no version": (b"GET /ok\r\nHost: a\r\n\r\n" + INNER, "refused"),
    "version 1.2 digits": (b"GET /ok HTTP/1.01\r\nHost: a\r\n\r\n" + INNER, "refused"),
    "version 2.0": (b"GET /ok HTTP/2.0\r\nHost: a\r\n\r\n" + INNER, "refused"),
    "version 0.9": (b"GET /ok HTTP/0.9\r\nHost: a\r\n\r\n" + INNER, "refused"),
    "h2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER, "refused"),
    "empty line first": (b"\r\n" + get(b"") + INNER, "refused"),
    "chunk size negative": (chunked(b"-1\r\n\r\n" + INNER), "refused"),
    "chunk size plus": (chunked(b"+0\r\n\r\n" + INNER), "refused"),
    "chunk size 0x": (chunked(b"0x0\r\n\r\n" + INNER), "refused"),
    "chunk size overflow": (chunked(b"10000000000000000\r\n\r\n" + INNER), "refused"),
    "chunk size wraps to 0": (chunked(b"100000000000000000000\r\n\r\n" + INNER), "refused"),
    "chunk size 2^63": (chunked(b"8000000000000000\r\n\r\n" + INNER), "refused"),
    "chunk size then garbage": (chunked(b"0zz\r\n\r\n" + INNER), "refused"),
    "chunk size then space": (chunked(b"0 \r\n\r\n" + INNER), "refused"),
    "chunk size empty": (chunked(b"\r\n\r\n" + INNER), "refused"),
    "chunk size line with LF": (chunked(b"0\n\r\n" + INNER), "refused"),
    "chunk extension with LF": (chunked(b"1;a\nx\r\n0\r\n\r\n" + INNER), "refused"),
    "chunk extension with CR": (chunked(b"1;a\rb\r\nx\r\n0\r\n\r\n" + INNER), "refused"),
    "chunk extension with NUL": (chunked(b"1;a\0\r\nx\r\n0\r\n\r\n" + INNER), "refused"),
    "chunk extension of 64 KiB": (chunked(b"1;" + b"a" * 65536 + b"\r\nx\r\n0\r\n\r\n" + INNER), "refused"),
    "chunk data longer than said": (chunked(b"1\r\nxy\r\n0\r\n\r\n" + INNER), "refused"),
    "chunk ends in LF": (chunked(b"1\r\nx\n0\r\n\r\n" + INNER), "refused"),
    "chunk ends in CR CR LF": (chunked(b"1\r\nx\r\r\n0\r\n\r\n" + INNER), "refused"),
    "last chunk ends in LF": (chunked(b"0\r\n\n" + INNER), "refused"),
    "trailer with a bare LF": (chunked(b"0\r\nX: y\n\r\n" + INNER), "refused"),
    "trailer without colon": (chunked(b"0\r\nnonsense\r\n\r\n" + INNER), "refused"),
    "trailers without end": (chunked(b"0\r\n" + b"X: y\r\n" * 20000), "refused"),
    "expect, then a lenient chunk": (post(b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
                                          b"0zz\r\n\r\n" + INNER), "refused"),
    "expect something else": (post(b"Expect: 200-maybe\r\nContent-Length: 0\r\n", INNER), "refused"),
    # Unambiguous: the first is answered, and what stands behind it is a request of its own.
    "one CL": (post(b"Content-Length: 2\r\n", b"ab" + INNER), "200+"),
    "chunks": (chunked(b"2\r\nab\r\n0\r\n\r\n" + INNER), "200+"),
    "chunk extension": (chunked(b"2;a=b;c=\"d e\"\r\nab\r\n0\r\n\r\n" + INNER), "200+"),
    "chunk size with zeros": (chunked(b"0002\r\nab\r\n000\r\n\r\n" + INNER), "200+"),
    "trailers": (chunked(b"2\r\nab\r\n0\r\nX: y\r\nZ: \r\n\r\n" + INNER), "200+"),
    "body of a GET": (b"GET /ok HTTP/1.1\r\nHost: a\r\nContent-Length: " + str(len(INNER)).encode() + b"\r\n\r\n" + INNER,
                      "200"),
    "expect": (post(b"Expect: 100-continue\r\nContent-Length: 2\r\n", b"ab" + INNER), "200+"),
    # Pipelined behind a good request, each is looked at as if it came first.
    "behind a good one: CL and TE": (get(b"") + post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                                                     b"0\r\n\r\n" + INNER), "200 refused"),
    "behind a good one: two CL": (get(b"") + post(b"Content-Length: 0\r\nContent-Length: 40\r\n", INNER), "200 refused"),
    "behind a good one: bare LF": (get(b"") + b"GET /ok HTTP/1.1\nHost: a\n\n" + INNER, "200 refused"),
    "behind a good one: no host": (get(b"") + b"GET /ok HTTP/1.1\r\n\r\n" + INNER, "200 refused"),
    "behind a good one: lenient chunk": (get(b"") + chunked(b"0zz\r\n\r\n" + INNER), "200 refused"),
    "behind a chunked one: TE twice": (chunked(b"1\r\nx\r\n0\r\n\r\n") + post(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n" + INNER), "200 refused"),
    "behind a body: folded": (post(b"Content-Length: 1\r\n", b"x") + get(b" folded\r\n") + INNER, "200 refused"),
}


def heads(data):
    """Statuses of the answers in `data`, but 100."""
    found = [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]
    return [status for status in found if status != 100]


def exchange(address, data, pause=0.0, answers=1):
    """Sends in one piece, or byte by byte with a pause; the answers wanted are waited for, then a moment for more.
    @return (bytes that came, whether the server closed)"""
    sock = socket.create_connection(address, timeout=5)
    came, closed = b"", False
    try:
        if pause:
            for at in range(len(data)):
                sock.send(data[at:at + 1])
                time.sleep(pause)
        else:
            sock.sendall(data)
    except OSError:
        closed = True
    sock.settimeout(0.3)
    till = time.monotonic() + 5
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionError:
            piece = b""
        except socket.timeout:
            if len(heads(came)) >= answers or time.monotonic() > till:
                break
            continue
        if not piece:
            closed = True
            break
        came += piece
    sock.close()
    return came, closed


def wanted(want):
    """@return how many answers are to come"""
    return want.startswith("200") + (want.endswith("refused") or want.endswith("+"))


def judge(statuses, closed, want):
    """@return what is wrong, or None"""
    good = [200] if want.startswith("200") else []
    if want.endswith("refused"):
        refused = statuses[len(good):]
        if statuses[:len(good)] != good or len(refused) != 1 or not (400 <= refused[0] < 500 or refused[0] in (501, 505)):
            return "answered %s" % statuses
        return None if closed else "the connection stays open"
    good += [200] if want.endswith("+") else []
    return None if statuses == good else "answered %s" % statuses


def run(address, hits):
    """@return {form: {"statuses", "closed", "ran", "wrong"}}; hits() counts runs of /hit."""
    results = {}
    for slow in (False, True):
        for name, (data, want) in FORMS.items():
            if slow and len(data) > 1000:
                continue
            before = hits()
            came, closed = exchange(address, data, 0.0003 if slow else 0, wanted(want))
            statuses, ran = heads(came), hits() - before
            wrong = judge(statuses, closed, want)
            if ran != (1 if want.endswith("+") else 0):
                wrong = "a second request ran" if ran else "the second request did not run"
            results[name + (", byte by byte" if slow else "")] = {
                "statuses": statuses, "closed": closed, "ran": ran, "wrong": wrong}
    return results
