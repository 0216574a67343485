#!/usr/bin/env python3
"""beside.py [--json] MARU PEERS: one table of the same work done by maru and by its peers in one run.

MARU holds the lines of jobs_bench --json, PEERS those of peers.py.  Each figure of maru that a peer has too stands beside
it; ratio > 1 = maru better.  A peer's jobs leave its broker, maru's its own process: neither sends over a network.
"""
import json, sys

# maru's line, the peers' key, unit, whether more is better, what peers it is compared with.
DURABLE = ["beanstalkd fsync", "BullMQ fsync", "BullMQ", "graphile tuned", "Celery"]
LINES = [
    ("push, one after another", "single", "jobs/s", True, DURABLE),
    ("push one by one, 100 under way", "concurrent", "jobs/s", True, ["BullMQ fsync", "BullMQ"]),
    ("push in bulk, 1,000 at once", "bulk", "jobs/s", True, DURABLE[:4] + ["beanstalkd memory"]),
    ("run to done, no-op Lua", "run", "jobs/s", True, DURABLE + ["beanstalkd memory"]),
    ("CPU of a run", "cpu_us", "us/job", False, DURABLE + ["beanstalkd memory"]),
    ("push to start, idle, p50", "idle_p50_ms", "ms", False, DURABLE + ["beanstalkd memory"]),
    ("push to start, idle, p99", "idle_p99_ms", "ms", False, DURABLE + ["beanstalkd memory"]),
]


def read(path):
    return [json.loads(line) for line in open(path) if line.startswith("{")]


def compared(maru, peers):
    for name, key, unit, more, names in LINES:
        for peer in names:
            ours, theirs = maru.get(name), peers.get(peer, {}).get(key)
            if ours and theirs:
                yield {"group": "jobs", "name": name, "value": ours, "unit": unit, "peer": peer, "peer_value": theirs,
                       "ratio": ours / theirs if more else theirs / ours, "runs": 1}


def main():
    as_json = "--json" in sys.argv
    maru, peers = [a for a in sys.argv[1:] if a != "--json"]
    ours = {line["name"]: line["value"] for line in read(maru)}
    theirs = {line["peer"]: line for line in read(peers)}
    for row in compared(ours, theirs):
        if as_json:
            print(json.dumps(row))
        else:
            print(f"{row['name']:34} {row['value']:12.2f} {row['unit']:8}  {row['peer']:20} {row['peer_value']:12.2f}   x {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
