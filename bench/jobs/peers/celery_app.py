"""The Celery peer: an application with one task that records when it started.  $BENCH_BROKER is its Redis."""
import os
import struct
import time

from celery import Celery

app = Celery("celery_app", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_ignore_result=True, broker_connection_retry=True, worker_hijack_root_logger=False)
_log = None


@app.task
def noop(pushed):
    global _log
    started = time.time()
    if _log is None:
        _log = os.open(os.environ["BENCH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_log, struct.pack("dd", pushed, started))
