"""A client that behaves: one request after another over HTTP/1.1 and HTTP/2, until its input ends.

Prints one JSON object: {"requests": [[seconds on the monotonic clock, milliseconds, status], ...]}."""
import http.client
import json
import select
import sys
import time

from h2 import Peer


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def ask(plain, path):
    plain.request("GET", path)
    answer = plain.getresponse()
    answer.read()
    return answer.status


def main(plain_at, tls_at, path):
    plain, peer, requests = None, None, []
    over = False
    while not over:  # once more after the end of the input, so that it has seen what was done before
        over = bool(select.select([sys.stdin], [], [], 0.004)[0])
        for over_h2 in (False, True):
            began = time.monotonic()
            try:
                if over_h2:
                    peer = peer if peer and not peer.closed else Peer(address(tls_at))
                    status = peer.get(path)
                else:
                    plain = plain or http.client.HTTPConnection(*address(plain_at), timeout=20)
                    status = ask(plain, path)
            except (OSError, http.client.HTTPException) as error:
                print(error, file=sys.stderr)
                plain, status = None, 0
            requests.append([began, (time.monotonic() - began) * 1000, status])
    json.dump({"requests": requests}, sys.stdout)


main(*sys.argv[1:])
