#!/usr/bin/env python3
"""attacks.py DIR [--json] [NAME…]: maru under each attack of spec/support/attack, with an honest client beside it.

Each attack goes on for three seconds at least, on new connections as the old ones are closed. Columns: how often it
was begun; what was sent the last time and how that ended; handlers that ran; the honest client's p50 and p99 before
and meanwhile (milliseconds; HTTP/1.1 and HTTP/2 over TLS in turn) and its failed answers; memory before, most and
after (MiB); CPU seconds of the server. Server, attacker and honest client share the machine's cores."""
import json
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = ROOT + "/spec/support/attack"
LIMITS = ["http.header_timeout=2s", "http.body_timeout=2s", "http.send_timeout=5s"]


def start(folder):
    os.makedirs(folder + "/plugins/target")
    shutil.copy(TOOL + "/target.lua", folder + "/plugins/target/plugin.lua")
    sets = LIMITS + ["state.dir=%s/state" % folder, "http.listen=127.0.0.1:0", "https.listen=127.0.0.1:0",
                     "plugins.path=%s/plugins" % folder, "log.file=%s/log" % folder]
    command = [ROOT + "/build/release/maru", "serve"]
    for text in sets:
        command += ["--set", text]
    maru = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    return maru, json.loads(maru.stdout.readline())


def ending(result):
    if result.get("goaway"):
        return "GOAWAY %d" % result["goaway"]["code"]
    if "ended" in result:
        last = result.get("last_s")
        return "%d of %d ended%s" % (result["ended"], result["connections"], " by %.1f s" % last if last else "")
    if "each" in result:
        return "%d held, %d bytes each" % (result["connections"], result["each"])
    if "wrong" in result:
        return "%d wrong" % len(result["wrong"])
    return "closed" if result.get("closed") else "open"


def row(report):
    result, before, honest = report["result"], report["honest_before"], report["honest"]
    mib = ["%d" % (report[key] >> 20) for key in ("rss_before", "rss_peak", "rss_after")]
    return [report["attack"], str(report["times"]), str(result.get("sent", result.get("connections", ""))), ending(result), str(report["ran"]),
            "%s → %s" % (before["p50"], honest["p50"]), "%s → %s" % (before["p99"], honest["p99"]), str(honest["failed"]),
            "/".join(mib), "%.2f" % report["cpu_s"], "%.1f" % report["seconds"]]


def print_rows(rows):
    head = ["attack", "times", "sent", "end", "ran", "p50 ms", "p99 ms", "failed", "MiB", "CPU s", "s"]
    widths = [max(len(r[i]) for r in rows + [head]) for i in range(len(head))]
    for line in [head] + rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def print_json(report):
    for name in ("p50", "p99"):
        print(json.dumps({"group": "attacks", "name": "%s honest %s" % (report["attack"], name),
                          "value": report["honest"][name], "unit": "ms", "before": report["honest_before"][name],
                          "failed": report["honest"]["failed"], "ran": report["ran"]}), flush=True)


def main():
    folder, rest = sys.argv[1], sys.argv[2:]
    as_json = "--json" in rest
    maru, ready = start(folder)
    command = [sys.executable, TOOL + "/attack.py", "--http", ready["http"].split("//")[1], "--https",
               ready["https"].split("//")[1], "--pid", str(ready["server_pid"]), "--before", "3", "--after", "0", "--repeat", "3"]
    rows = []
    try:
        attacks = subprocess.Popen(command + [a for a in rest if a != "--json"], stdout=subprocess.PIPE, text=True)
        for line in attacks.stdout:
            report = json.loads(line)
            rows.append(row(report))
            if as_json:
                print_json(report)
            else:
                print("  ".join(rows[-1]), file=sys.stderr, flush=True)
            time.sleep(0.5)
    finally:
        maru.terminate()
        maru.wait()
    if not as_json:
        print_rows(rows)


main()
