#!/usr/bin/env python3
"""reload.py ROOT [--json] [--reloads N] [--pace SECONDS] [--soak N] [--seconds S] [maru] [nginx-lua]

One plugin (nginx: one Lua module, by SIGHUP) is replaced N times while wrk (HTTP/1.1), h2load (HTTP/2 over TLS),
100 WebSockets and, where there are any, durable jobs go on.  Before, during and after are measured in the same run.
ROOT is build/bench, where bench/prepare has put nginx; $MARU names the binary.
"""
import argparse, asyncio, base64, http.client, json, os, re, shutil, signal, socket, ssl, statistics, subprocess
import sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
SOCKETS = 100


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fill(path, **words):
    text = open(path).read()
    for word, value in words.items():
        text = text.replace(word, str(value))
    return text


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


def children(pid):
    try:
        return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    except OSError:
        return []


def rss_mb(pids):
    total = 0
    for pid in pids:
        try:
            total += int(open(f"/proc/{pid}/statm").read().split()[1]) * 4096
        except OSError:
            pass
    return total / 1e6


def fds(pids):
    total = 0
    for pid in pids:
        try:
            total += len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            pass
    return total


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("maru", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


class Maru:
    name, has_jobs = "maru", True

    def __init__(self, root, dir):
        self.dir = dir
        self.write(0)
        write(f"{dir}/plugins/shop/migrations/0001_runs.sql", open(f"{HERE}/maru/0001_runs.sql").read())
        settings = {"state.dir": f"{dir}/state", "http.listen": "127.0.0.1:0", "https.listen": "127.0.0.1:0",
                    "plugins.path": f"{dir}/plugins", "plugins.watch": "false", "log.level": "warn",
                    "log.file": f"{dir}/log", "development": "false"}
        words = [os.environ["MARU"], "serve"]
        for key, value in settings.items():
            words += ["--set", f"{key}={value}"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE)
        ready = json.loads(self.process.stdout.readline())
        self.h1 = int(ready["http"].rsplit(":", 1)[1])
        self.h2 = int(ready["https"].rsplit(":", 1)[1])
        self.admin = None
        self.swaps = []

    def write(self, version):
        write(f"{self.dir}/plugins/shop/plugin.lua", fill(f"{HERE}/maru/plugin.lua", VERSION=version))

    def pids(self):
        return children(self.process.pid)

    def reload(self, version):
        """Returns the seconds until every lane has switched."""
        self.write(version)
        began = time.perf_counter()
        if not self.admin:
            self.admin = UnixConnection(f"{self.dir}/state/admin.sock")
        self.admin.request("POST", "/admin/v1/plugins/shop/reload")
        answer = self.admin.getresponse()
        body = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"reload {version}: {answer.status} {body}")
        if "swap_ms" in body:
            self.swaps.append(body["swap_ms"] / 1e3)
        return time.perf_counter() - began

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Nginx:
    name, has_jobs = "nginx-lua", False

    def __init__(self, root, dir):
        self.dir, self.h1, self.h2, self.swaps = dir, free_port(), free_port(), []
        self.write(0)
        write(f"{dir}/nginx.conf", fill(f"{HERE}/nginx-lua/nginx.conf", ROOT=root, DIR=dir, H1=self.h1, H2=self.h2))
        env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/nginx/usr/lib/x86_64-linux-gnu")
        self.process = subprocess.Popen([f"{root}/nginx/usr/sbin/nginx", "-c", f"{dir}/nginx.conf"], env=env)
        while not self.answers():
            time.sleep(0.05)

    def answers(self):
        try:
            return self.version() is not None
        except OSError:
            return False

    def version(self):
        c = http.client.HTTPConnection("127.0.0.1", self.h1, timeout=10)
        c.request("GET", "/v")
        v = json.loads(c.getresponse().read())["v"]
        c.close()
        return v

    def write(self, version):
        write(f"{self.dir}/shop.lua", fill(f"{HERE}/nginx-lua/shop.lua", VERSION=version))

    def pids(self):
        return [self.process.pid] + children(self.process.pid)

    def reload(self, version):
        """Returns the seconds until 20 new connections in a row are answered by the new code."""
        self.write(version)
        began = time.perf_counter()
        self.process.send_signal(signal.SIGHUP)
        seen = 0
        while seen < 20:
            try:
                seen = seen + 1 if self.version() == version else 0
            except OSError:
                seen = 0
            if time.perf_counter() - began > 30:
                raise SystemExit("nginx did not take the new code within 30 s")
        return time.perf_counter() - began

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Load:
    """wrk and h2load until stop(); h2load in stretches of three seconds, as it prints only at its end."""

    def __init__(self, server, dir):
        self.server, self.dir, self.over, self.h2_times = server, dir, False, []
        self.h2_done = self.h2_failed = 0
        self.wrk = subprocess.Popen(["wrk", "-t1", "-c32", "-d3600", "--latency", f"http://127.0.0.1:{server.h1}/v"],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.thread = threading.Thread(target=self.run_h2)
        self.thread.start()

    def run_h2(self):
        log = f"{self.dir}/h2.log"
        while not self.over:
            if os.path.exists(log):
                os.remove(log)
            text = subprocess.run(["h2load", "-t1", "-c8", "-m8", "-D3", f"--log-file={log}",
                                   f"https://127.0.0.1:{self.server.h2}/v"], capture_output=True, text=True).stdout
            done = re.search(r"(\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
            codes = re.search(r"status codes: (\d+) 2xx", text)
            if not done:
                raise SystemExit("h2load: " + text)
            self.h2_done += int(done[1])
            self.h2_failed += int(done[2]) + int(done[3]) + int(done[4]) + max(0, int(done[1]) - int(codes[1]) - int(done[2]))
            with open(log) as f:
                for i, line in enumerate(f):
                    if i % 10 == 0:
                        self.h2_times.append(int(line.split()[2]))

    def stop(self):
        self.over = True
        self.wrk.send_signal(signal.SIGINT)
        text = self.wrk.communicate()[0]
        self.thread.join()
        units = {"us": 1e-3, "ms": 1, "s": 1e3}
        p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        non2xx = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        return {"h1_p99_ms": float(p99[1]) * units[p99[2]] if p99 else 0.0,
                "h2_p99_ms": percentile(self.h2_times, 0.99) / 1e3,
                "requests": int(re.search(r"(\d+) requests in", text)[1]) + self.h2_done,
                "h1_rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
                "failed": (int(non2xx[1]) if non2xx else 0) + (sum(map(int, errors.groups())) if errors else 0)
                + self.h2_failed}


class Sockets:
    """SOCKETS WebSockets in a thread of their own; each sends a line a second and waits for its answer."""

    def __init__(self, server):
        self.server, self.open, self.dropped, self.messages, self.versions = server, 0, 0, 0, {}
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.closing = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        if not self.ready.wait(30):
            raise SystemExit(f"{self.server.name}: {self.open} of {SOCKETS} sockets opened")

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.gather(*(self.one(i) for i in range(SOCKETS))))

    async def one(self, i):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.h1)
            key = base64.b64encode(os.urandom(16)).decode()
            writer.write((f"GET /ws HTTP/1.1\r\nhost: 127.0.0.1:{self.server.h1}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                          f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n").encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise SystemExit("no WebSocket: " + head.decode())
            self.open += 1
            if self.open == SOCKETS:
                self.ready.set()
            while not self.closing:
                mask, text = os.urandom(4), f"line {i}".encode()
                writer.write(bytes([129, 128 + len(text)]) + mask + bytes(b ^ mask[k % 4] for k, b in enumerate(text)))
                first, size = await reader.readexactly(2)
                answer = (await reader.readexactly(size)).decode("utf-8", "replace")
                if first != 129 or not answer.startswith(f"line {i} "):
                    raise OSError(f"frame {first}: {answer}")
                self.messages += 1
                self.versions[i] = int(answer.rsplit(" ", 1)[1])
                await asyncio.sleep(1)
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as e:
            self.dropped += 1
            print(f"  socket {i}: {e!r}", file=sys.stderr)

    def stop(self):
        self.closing = True
        self.thread.join()
        return self.dropped


class Jobs:
    """Pushes one durable job after another, fifty a second, and remembers what was acknowledged."""

    def __init__(self, server):
        self.server, self.pushed, self.failed, self.over = server, 0, 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        c = http.client.HTTPConnection("127.0.0.1", self.server.h1, timeout=30)
        while not self.over:
            try:
                c.request("POST", "/push", json.dumps({"n": self.pushed}), {"content-type": "application/json"})
                answer = c.getresponse()
                answer.read()
                if answer.status == 202:
                    self.pushed += 1
                else:
                    self.failed += 1
            except OSError:
                self.failed += 1
                c.close()
            time.sleep(0.02)

    def stop(self):
        """Returns lost and doubled jobs, once the queue is empty."""
        self.over = True
        self.thread.join()
        for _ in range(100):
            c = http.client.HTTPConnection("127.0.0.1", self.server.h1, timeout=30)
            c.request("GET", "/runs")
            runs = json.loads(c.getresponse().read())
            if runs["jobs"] >= self.pushed:
                break
            time.sleep(0.1)
        return self.pushed - runs["jobs"], runs["runs"] - runs["jobs"]


def settled(server):
    """RSS and descriptors once old generations (old workers) are gone or will stay."""
    last = None
    for _ in range(40):
        time.sleep(1)
        now = (round(rss_mb(server.pids())), fds(server.pids()))
        if now == last:
            break
        last = now
    return rss_mb(server.pids()), fds(server.pids())


def reloads(server, count, pace, version):
    times = []
    for n in range(1, count + 1):
        began = time.perf_counter()
        times.append(server.reload(version + n))
        time.sleep(max(0.0, pace - (time.perf_counter() - began)))
    return times


def measure(kind, root, args):
    dir = tempfile.mkdtemp(prefix="maru-bench-reload.")
    server = kind(root, dir)
    out = {"peer": kind.name}
    try:
        sockets = Sockets(server)
        jobs = Jobs(server) if kind.has_jobs else None
        reloads(server, 200, 0, 0)  # what is allocated once is allocated now: the ring of log lines, malloc's caches
        load = Load(server, dir)
        time.sleep(args.seconds)
        before = load.stop()
        out["rss_before_mb"], out["fds_before"] = settled(server)
        server.swaps.clear()
        load = Load(server, dir)
        time.sleep(1)
        times = reloads(server, args.reloads, args.pace, 1000)
        during = load.stop()
        workers = len(server.pids())
        out["rss_after_mb"], out["fds_after"] = settled(server)
        out["sockets_on_old_code"] = sum(1 for v in sockets.versions.values() if v != 1000 + args.reloads)
        out["socket_messages"] = sockets.messages
        out["dropped_sockets"] = sockets.stop()
        if jobs:
            out["lost_jobs"], out["doubled_jobs"] = jobs.stop()
            out["jobs"], out["failed_pushes"] = jobs.pushed, jobs.failed
        out.update({"reloads": args.reloads, "processes_after": workers,
                    "requests": during["requests"], "failed_requests": before["failed"] + during["failed"],
                    "reload_median_ms": statistics.median(times) * 1e3, "reload_p99_ms": percentile(times, 0.99) * 1e3})
        if server.swaps:
            out["swap_median_ms"] = statistics.median(server.swaps) * 1e3
            out["swap_p99_ms"] = percentile(server.swaps, 0.99) * 1e3
        for key in ("h1_p99_ms", "h2_p99_ms", "h1_rate"):
            out[key + "_before"], out[key + "_during"] = before[key], during[key]
        if args.soak:
            rss = settled(server)[0]
            times = reloads(server, args.soak, 0, 100000)
            after = settled(server)[0]
            out.update({"soak_reloads": args.soak, "soak_rss_before_mb": rss, "soak_rss_after_mb": after,
                        "soak_median_ms": statistics.median(times) * 1e3, "soak_p99_ms": percentile(times, 0.99) * 1e3})
    finally:
        server.stop()
        shutil.rmtree(dir)
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("root")
    p.add_argument("peers", nargs="*", default=["maru", "nginx-lua"])
    p.add_argument("--json", action="store_true")
    p.add_argument("--reloads", type=int, default=1000)
    p.add_argument("--pace", type=float, default=0)
    p.add_argument("--soak", type=int, default=0)
    p.add_argument("--seconds", type=float, default=10)
    args = p.parse_intermixed_args()
    results = {}
    for kind in (Maru, Nginx):
        if kind.name in args.peers:
            results[kind.name] = measure(kind, args.root, args)
    ours, peer = results.get("maru"), results.get("nginx-lua")
    for name in dict.fromkeys(k for r in results.values() for k in r if k != "peer"):
        mine, theirs = (r.get(name) if r else None for r in (ours, peer))
        if args.json:
            print(json.dumps({"group": "reload", "name": name, "value": mine, "unit": name.rsplit("_", 1)[-1] if name.endswith(("ms", "mb")) else "",
                              "peer": "nginx-lua", "peer_value": theirs,
                              "ratio": theirs / mine if mine and theirs and not name.startswith(("requests", "h1_rate")) else None, "runs": 1}))
        else:
            show = lambda v: "-" if v is None else f"{v:.2f}" if isinstance(v, float) else str(v)
            print(f"{name:24} {show(mine):>14} {show(theirs):>14}")


main()
