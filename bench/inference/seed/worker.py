"""The seed's analysis worker: an LSTM of 64 x 2 or a moving average, result to PostgreSQL, Redis and Kafka."""
import json
import os
import time

from celery import Celery
from celery.signals import worker_process_init

RESULTS = os.environ.get("SEED_RESULTS") or None
app = Celery("worker", broker=os.environ["SEED_REDIS"], backend=RESULTS)
app.conf.update(task_ignore_result=not RESULTS, worker_hijack_root_logger=False, worker_prefetch_multiplier=8)
here = {}


@worker_process_init.connect
def begin(**_):
    """Each worker process has its own model and connections."""
    import psycopg2
    import redis
    import torch
    torch.manual_seed(1)
    torch.set_num_threads(1)
    here.update(torch=torch, lstm=torch.nn.LSTM(1, 64, 2, batch_first=True).eval(),
                head=torch.nn.Linear(64, 24).eval(), database=psycopg2.connect(os.environ["SEED_DATABASE"]),
                cache=redis.Redis.from_url(os.environ["SEED_REDIS"]), kafka=None)
    if os.environ.get("SEED_KAFKA"):
        from confluent_kafka import Producer
        here["kafka"] = Producer({"bootstrap.servers": os.environ["SEED_KAFKA"]})


def forecast(data):
    torch = here["torch"]
    with torch.no_grad():
        x = torch.tensor(data, dtype=torch.float32).view(1, -1, 1)
        out, _ = here["lstm"]((x - x.mean()) / (x.std() + 1e-8))
        return (here["head"](out[:, -1]) * x.std() + x.mean())[0].tolist()


def moving_average(data, window=12):
    import numpy
    return numpy.convolve(data, numpy.ones(window) / window, "valid").tolist()


@app.task(name="infer")
def infer(task, model, data):
    begun = time.time()
    values = moving_average(data) if model == "moving_average" else forecast(data)
    text = json.dumps({"model_name": model, "forecast": values})
    with here["database"], here["database"].cursor() as cursor:
        cursor.execute("insert into inference_results(id, model_name, result, begun, finished) "
                       "values (%s, %s, %s, %s, %s)", (task, model, text, begun, time.time()))
    here["cache"].set("inference:" + task, text, ex=3600)
    if here["kafka"]:
        here["kafka"].produce("inference_results", text)
        here["kafka"].poll(0)
    return {"task_id": task, "status": "completed", "forecast": values} if RESULTS else None
