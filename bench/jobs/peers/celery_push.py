"""celery_push.py single|latency COUNT [GAP_MS]: one phase of the bench on Celery."""
import json
import sys
import time

from celery_app import noop

phase, count = sys.argv[1], int(sys.argv[2])
noop.apply_async((0.0,), queue="warm")  # opens the connection
begin = time.time()
for _ in range(count):
    noop.delay(time.time())
    if phase == "latency":
        time.sleep(float(sys.argv[3]) / 1000)
print(json.dumps({"count": count, "seconds": time.time() - begin}))
