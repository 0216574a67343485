"""The seed's operation server: takes a series, gives it to Celery, tells what became of it."""
import os
from typing import Any, Dict
from uuid import uuid4

import psycopg2.pool
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, conlist, constr

from worker import infer

app = FastAPI()
pool = psycopg2.pool.ThreadedConnectionPool(1, 40, os.environ["SEED_DATABASE"])


class Submit(BaseModel):
    model_name: constr(min_length=1, max_length=128)
    data: conlist(float, min_items=1, max_items=10000)
    metadata: Dict[str, Any] = {}


@app.post("/api/v1/inference/submit", status_code=202)
def submit(body: Submit):
    task = str(uuid4())
    infer.apply_async((task, body.model_name, body.data), task_id=task, queue="inference")
    return {"id": task, "status": "queued"}


@app.get("/api/v1/inference/{task}")
def result(task: str):
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("select result from inference_results where id = %s", (task,))
            row = cursor.fetchone()
    finally:
        pool.putconn(connection)
    if row is None:
        raise HTTPException(404)
    return {"id": task, "status": "completed", "result": row[0]}
