"""The Python side: an application and its worker, for spec/server/celery_spec.lua.

Tasks named lua.* are maru's; those named py.* run here.
"""
import os
import time

from celery import Celery

url = os.environ["BROKER"]
app = Celery("tapp", broker=url, backend=url)
app.conf.update(
    task_acks_late=True,
    task_track_started=True,
    task_send_sent_event=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": int(os.environ.get("VISIBILITY", "3600"))},
    task_routes={"lua.*": {"queue": "lua"}},
)


@app.task(name="py.add")
def add(x, y):
    return x + y


@app.task(name="py.sum")
def total(numbers):
    return sum(numbers)


@app.task(name="py.slow")
def slow(path, seconds):
    with open(path, "a") as file:
        file.write("%d\n" % os.getpid())
    time.sleep(seconds)
    return "slept"


@app.task(name="py.asked", bind=True)
def asked(self):
    """How it was sent."""
    request = self.request
    return {"retries": request.retries, "priority": request.delivery_info["priority"], "limits": request.timelimit,
            "queue": request.delivery_info["routing_key"], "expires": request.expires, "id": request.id}


@app.task(name="py.blame")
def blame(task_id):
    app.backend.client.set("blamed:" + task_id, "1")


@app.task(name="py.fail")
def fail(text):
    raise ValueError(text)
