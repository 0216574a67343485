"""Runs code with the client's names at hand and prints the JSON of what it sets as `answer`.

ask.py CODE runs one; ask.py - reads one line of JSON (the code) after the other and answers each by one line.
"""
import datetime
import json
import sys
import time
import traceback

from celery import chain, chord, group, signature
from celery.result import AsyncResult

from tapp import app


def send(name, args=None, kwargs=None, **options):
    return app.send_task(name, args=args, kwargs=kwargs, **options)


def sig(name, *args, **kwargs):
    options = kwargs.pop("options", {})
    return signature(name, args=args, kwargs=kwargs, options=options, app=app)


def outcome(result, timeout=20):
    """Waits for a result: its value, or the text of what it raised."""
    try:
        return result.get(timeout=timeout, interval=0.02)
    except Exception as error:  # noqa: what it is is what is asked
        return "%s: %s" % (type(error).__name__, error)


def of(task_id):
    return AsyncResult(task_id, app=app)


def later(seconds):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)


def until(what, seconds=60):
    """Calls it until it gives something true; that, or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.02)


def ask_all(method, *nodes, **arguments):
    """Remote control: what each of these nodes answers; returns as soon as all have."""
    replies = app.control.broadcast(method, arguments=arguments, destination=list(nodes), reply=True,
                                    limit=len(nodes), timeout=10)
    return {node: answer for reply in replies for node, answer in reply.items()}


def keys(value):
    """The names in it, as deep as it goes."""
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return None


def missing(ours, theirs, at=""):
    """What a real worker's answer has and this one has not."""
    out = []
    for name, inner in theirs.items():
        if name not in ours:
            out.append(at + name)
        elif isinstance(inner, dict) and isinstance(ours[name], dict):
            out += missing(ours[name], inner, at + name + ".")
    return out


names = dict(globals())


def run(code):
    scope = dict(names)
    exec(compile(code, "ask", "exec"), scope)
    return scope.get("answer")


if sys.argv[1] != "-":
    print(json.dumps(run(sys.argv[1])))
else:
    for line in sys.stdin:
        try:
            reply = {"answer": run(json.loads(line))}
        except Exception:  # noqa: the spec shows it
            reply = {"error": traceback.format_exc()}
        print(json.dumps(reply), flush=True)
