#!/usr/bin/env python3
"""moving.py LIBRARY [--json] [--reps N] [COUNT] [STATISTIC...]: every moving statistic of core/kernels beside numpy, pandas and
bottleneck, one thread, one process.

Each round times every contestant of a statistic once, in turn, by the CPU time of the thread; the least of the rounds counts,
for other work on the machine only adds.  A contestant that would take long gets the first part of the array (at least 20,000
values).  All read the same array; numpy's, pandas' and bottleneck's results take memory that was freed before, without a page
fault (scripts/bench sets malloc so), ours lie in an array that is there.  GB/s counts each value read once and each result
written once.
"""
import ctypes, json, sys, time
import numpy as np

missing = []
try:
    import pandas as pd
except ImportError:
    missing.append("python3-pandas")
    pd = None
try:
    import bottleneck as bn
except ImportError:
    missing.append("python3-bottleneck")
    bn = None

ALPHA, QUANTILE, WINDOWS, PERIOD = 0.1, 0.9, (20, 512), 24
MEDIAN_WINDOWS = (5, 8, 13, 20, 32, 50, 64, 100, 200, 512)  # its methods change with the window
SMOOTHING = (0.3, 0.05, 0.1)  # alpha, beta, gamma; as kernels_library.c has them
LEAST, SECONDS = 20_000, 0.25  # a contestant's shortest array; how long one round of it may take
view = np.lib.stride_tricks.sliding_window_view


class Ours:
    def __init__(self, path):
        self.c = ctypes.CDLL(path)
        self.c.kernels_statistics.restype = ctypes.c_char_p
        self.c.kernels_isa_in_use.restype = ctypes.c_char_p
        self.c.kernels_triad.restype = ctypes.c_double
        self.c.kernels_triad.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_size_t]
        for name in ("statistic_f32", "statistic_f64"):
            getattr(self.c, name).argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_ssize_t,
                                              ctypes.c_ssize_t, ctypes.c_size_t, ctypes.c_double, ctypes.c_void_p]
        self.names = self.c.kernels_statistics().decode().split()
        self.out = {}

    def room(self, x):
        out = self.out.get(x.dtype.char)
        if out is None or out.size < x.size:
            out = self.out[x.dtype.char] = np.zeros(x.size, x.dtype)
        return out[:x.size]

    def __call__(self, name, x, window):
        """x: one series, or a table with a series in each row (C order) or each column (Fortran order)."""
        out = self.room(x)
        n, series, after, stride = x.size, 1, 0, 1
        if x.ndim == 2:
            series, n = x.shape
            after, stride = (n, 1) if x.flags.c_contiguous else (1, series)
        run = self.c.statistic_f32 if x.dtype == np.float32 else self.c.statistic_f64
        run(self.names.index(name), x.ctypes.data, n, series, after, stride, window, ALPHA, out.ctypes.data)
        return out if x.ndim == 1 else out.reshape(x.shape, order="C" if x.flags.c_contiguous else "F")


def cumsum_mean(x, w, scale=True):
    s = np.cumsum(x, dtype=np.float64)
    s[w:] = s[w:] - s[:-w]
    return s[w - 1:] / w if scale else s[w - 1:]


def numpy_mad(x, w):
    v = view(x, w)
    return np.median(np.abs(v - np.median(v, axis=1)[:, None]), axis=1)


def holt_winters_loop(x, m):
    """One step after another, for want of a peer: additive seasons, what was forecast for each value."""
    alpha, beta, gamma = SMOOTHING
    x = x.astype(np.float64)
    first, second = x[:m].mean(), x[m:2 * m].mean()
    trend = (second - first) / m
    line = first + trend * (np.arange(2 * m) - (m - 1) / 2)
    season = list(((x[:m] - line[:m]) + (x[m:2 * m] - line[m:])) / 2)
    level, out = line[-1], []
    for t, y in enumerate(x[2 * m:].tolist()):
        s = season[t % m]
        out.append(level + trend + s)
        before = level
        level = alpha * (y - s) + (1 - alpha) * (level + trend)
        trend = beta * (level - before) + (1 - beta) * trend
        season[t % m] = gamma * (y - level) + (1 - gamma) * s
    return np.array(out)


def peers_of(name):
    """{peer: function of (x, window)}; a result stands at the end of its window, short ones lack the first window - 1."""
    r = lambda x, w: pd.Series(x, copy=False).rolling(w)
    b = lambda f, **kw: (lambda x, w: f(x, w, **kw))
    weights = lambda x, w: (np.arange(w, 0, -1) * (2 / (w * (w + 1)))).astype(x.dtype)
    ewm = lambda adjust: (lambda x, w: pd.Series(x, copy=False).ewm(alpha=ALPHA, adjust=adjust).mean())
    if name == "holt_winters":
        return {"Python": holt_winters_loop}
    table = {
        "simple": (cumsum_mean, lambda x, w: r(x, w).mean(), "move_mean", {}),
        "sum": (lambda x, w: cumsum_mean(x, w, False), lambda x, w: r(x, w).sum(), "move_sum", {}),
        "mean": (cumsum_mean, lambda x, w: r(x, w).mean(), "move_mean", {}),
        "variance": (lambda x, w: view(x, w).var(axis=1, ddof=1), lambda x, w: r(x, w).var(), "move_var", {"ddof": 1}),
        "deviation": (lambda x, w: view(x, w).std(axis=1, ddof=1), lambda x, w: r(x, w).std(), "move_std", {"ddof": 1}),
        "zscore": (None, lambda x, w: (x - r(x, w).mean()) / r(x, w).std(), None, {}),
        "weighted": (lambda x, w: np.convolve(x, weights(x, w), "valid"), None, None, {}),
        "min": (lambda x, w: view(x, w).min(axis=1), lambda x, w: r(x, w).min(), "move_min", {}),
        "max": (lambda x, w: view(x, w).max(axis=1), lambda x, w: r(x, w).max(), "move_max", {}),
        "median": (lambda x, w: np.median(view(x, w), axis=1), lambda x, w: r(x, w).median(), "move_median", {}),
        "quantile": (lambda x, w: np.quantile(view(x, w), QUANTILE, axis=1), lambda x, w: r(x, w).quantile(QUANTILE), None, {}),
        "mad": (numpy_mad, None, None, {}),
        "exponential": (None, ewm(False), None, {}),
        "exponential_adjusted": (None, ewm(True), None, {}),
        "cumulative": (lambda x, w: np.cumsum(x, dtype=np.float64) / np.arange(1, x.size + 1),
                       lambda x, w: pd.Series(x, copy=False).expanding().mean(), None, {}),
    }
    by_numpy, by_pandas, by_bottleneck, options = table[name]
    peers = {}
    if by_numpy:
        peers["numpy"] = by_numpy
    if by_pandas and pd:
        peers["pandas"] = by_pandas
    if by_bottleneck and bn:
        peers["bottleneck"] = b(getattr(bn, by_bottleneck), **options)
    if name == "zscore" and bn:
        peers["bottleneck"] = lambda x, w: (x - bn.move_mean(x, w)) / bn.move_std(x, w, ddof=1)
    return peers


def timed(work):
    start = time.thread_time()
    work()
    return time.thread_time() - start


def part_for(run, x):
    """As much of x as `run` takes in one round's time."""
    n = min(LEAST, x.size)
    run(x[:n])
    took = timed(lambda: run(x[:n]))
    return x[:max(n, min(x.size, int(n * SECONDS / max(took, 1e-9))))]


def least_ns(runs, x, reps):
    """{name: ns for one value}: each round runs all of them in turn."""
    parts = {name: part_for(run, x) for name, run in runs.items()}
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(reps):
        for name, run in runs.items():
            least[name] = min(least[name], timed(lambda: run(parts[name])) / parts[name].size * 1e9)
    return least


def agree(ours, peers, x, w):
    """The largest difference from the first peer that works in float64, as a part of the largest result."""
    for name in ("pandas", "numpy", "Python"):
        if name in peers:
            want = np.asarray(peers[name](x.astype(np.float64), w))
            got = ours(x)[-want.size:].astype(np.float64)
            known = np.isfinite(want) & np.isfinite(got)
            assert np.isfinite(got).sum() >= np.isfinite(want).sum() - want.size // 1000
            return float(np.max(np.abs(got - want)[known]) / np.max(np.abs(want[known])))
    return 0.0


class Report:
    def __init__(self, as_json, reps, triad):
        self.as_json, self.reps, self.triad = as_json, reps, triad

    def line(self, name, value, unit, peer, peer_value, ratio):
        if self.as_json:
            print(json.dumps({"group": "kernels", "name": name, "value": round(value, 4), "unit": unit, "peer": peer,
                              "peer_value": round(peer_value, 4), "ratio": round(ratio, 3), "runs": self.reps}), flush=True)

    def row(self, name, times, width):
        """times: ns for each contestant, ours under ''; width: bytes of a value."""
        ours, peers = times[""], {k: v for k, v in times.items() if k}
        rate = 2 * width / ours
        self.line(name, rate, "GB/s", "triad", self.triad, rate / self.triad)
        for peer, ns in peers.items():
            self.line(name, ours, "ns/element", peer, ns, ns / ours)
        if not self.as_json:
            beside = "  ".join(f"{peer} {ns:.2f} (x {ns / ours:.1f})" for peer, ns in peers.items())
            print(f"{name:55} {ours:8.3f} ns {rate:7.2f} GB/s ({100 * rate / self.triad:3.0f} % of triad)  {beside}", flush=True)


def triad(ours, reps):
    """GB/s of a = b + 3 c, on 256 MiB."""
    n = 256 * 2**20 // 24
    a, b, c = (np.full(n, v) for v in (0.0, 1.0, 2.0))
    return max(24 * n / timed(lambda: ours.c.kernels_triad(a.ctypes.data, b.ctypes.data, c.ctypes.data, n)) / 1e9
               for _ in range(max(3, reps)))


def values(n, dtype):
    return (np.random.default_rng(7).standard_normal(n).cumsum() / 100 + 20 + np.random.default_rng(8).random(n)).astype(dtype)


def one_series(report, ours, names, count):
    for dtype in (np.float32, np.float64):
        x = values(count, dtype)
        for name in names:
            spans = {"holt_winters": (PERIOD,), "cumulative": (0,), "median": MEDIAN_WINDOWS}
            for w in spans.get(name, (0,) if name.startswith("expo") else WINDOWS):
                peers = peers_of(name)
                mine = lambda part: ours(name, part, w)
                off = agree(mine, peers, x[:LEAST], w)
                if off > (2e-3 if dtype == np.float32 else 1e-9):
                    print(f"moving.py: {name}, {np.dtype(dtype)}, window {w}: differs by {off:.1e}", file=sys.stderr)
                    sys.exit(1)
                runs = {"": mine, **{peer: (lambda part, f=f: f(part, w)) for peer, f in peers.items()}}
                span = f", {'period' if w == PERIOD else 'window'} {w}" if w else ""
                report.row(f"{name}, {np.dtype(dtype)}{span}", least_ns(runs, x, report.reps), x.itemsize)


CHANNELS, SAMPLES, SHORT, PART = 10_000, 288, 20, 1_000  # PART: channels for peers that take long


def table_peers(name, axis):
    """{peer: function of a table whose series lie along the axis}; numpy's lack the first results."""
    def cumsum(t, scale):
        s = np.cumsum(t, axis=axis, dtype=np.float64)
        head = lambda a, b: s[a:b] if axis == 0 else s[:, a:b]
        s[(slice(SHORT, None),) if axis == 0 else (slice(None), slice(SHORT, None))] = head(SHORT, None) - head(None, -SHORT)
        return head(SHORT - 1, None) / scale
    r = lambda t: pd.DataFrame(t, copy=False).rolling(SHORT, axis=axis)
    by_numpy = {"sum": lambda t: cumsum(t, 1), "mean": lambda t: cumsum(t, SHORT),
                "deviation": lambda t: view(t, SHORT, axis=axis).std(axis=-1, ddof=1)}
    by_pandas = {"sum": lambda t: r(t).sum(), "mean": lambda t: r(t).mean(), "deviation": lambda t: r(t).std()}
    by_bottleneck = {"sum": ("move_sum", {}), "mean": ("move_mean", {}), "deviation": ("move_std", {"ddof": 1}),
                     "median": ("move_median", {}), "max": ("move_max", {})}
    peers = {"numpy": by_numpy[name]} if name in by_numpy else {}
    if pd and name in by_pandas:
        peers["pandas"] = by_pandas[name]
    if bn and name in by_bottleneck:
        move, options = by_bottleneck[name]
        peers["bottleneck"] = lambda t: getattr(bn, move)(t, SHORT, axis=axis, **options)
    return peers


def table_differs(got, peers, part, axis):
    """The largest difference from the first peer that works in float64, as a part of the largest result."""
    name = next((p for p in ("pandas", "numpy", "bottleneck") if p in peers), None)
    if not name:
        return 0.0
    want = np.asarray(peers[name](part.astype(np.float64)))
    got = (got[-want.shape[0]:] if axis == 0 else got[:, -want.shape[1]:]).astype(np.float64)
    assert np.array_equal(np.isfinite(got), np.isfinite(want))
    known = np.isfinite(want)
    return float(np.max(np.abs(got - want)[known]) / np.max(np.abs(want[known])))


def one_table(report, ours, name, dtype, axis):
    rows = values(CHANNELS * SAMPLES, dtype).reshape(CHANNELS, SAMPLES)
    table = rows if axis == 1 else np.ascontiguousarray(rows.T)
    part = np.ascontiguousarray(rows[:PART] if axis == 1 else table[:, :PART])
    series_first = lambda t: t if axis == 1 else t.T
    peers = table_peers(name, axis)
    off = table_differs(series_first(ours(name, series_first(part), SHORT)), peers, part, axis)
    title = f"{name}, {np.dtype(dtype)}, window {SHORT}, {CHANNELS:,} x {SAMPLES} in {'rows' if axis == 1 else 'columns'}"
    if off > (2e-3 if dtype == np.float32 else 1e-9):
        print(f"moving.py: {title}: differs by {off:.1e}", file=sys.stderr)
        sys.exit(1)
    runs = {"": (lambda t: ours(name, series_first(t), SHORT), table)}
    runs.update({peer: (f, table if peer == "bottleneck" else part) for peer, f in peers.items()})
    times = dict.fromkeys(runs, float("inf"))
    for _ in range(report.reps):
        for peer, (run, t) in runs.items():
            times[peer] = min(times[peer], timed(lambda: run(t)) / t.size * 1e9)
    report.row(title, times, table.itemsize)


def many_series(report, ours, names):
    """10,000 channels of 288 samples: a row each, and a column each."""
    for name in names:
        if not table_peers(name, 1):
            continue
        for dtype in (np.float32, np.float64):
            for axis in (1, 0):
                one_table(report, ours, name, dtype, axis)


def instructions(report, ours, count):
    """The simple moving average with each set of instructions that the processor has."""
    x = values(count, np.float32)
    widest = 0
    for isa in range(4):
        if ours.c.kernels_isa(isa):
            widest = isa
            times = least_ns({"": lambda part: ours("simple", part, 20)}, x, report.reps)
            report.row(f"simple, float32, {ours.c.kernels_isa_in_use().decode()}", {**times, "target": 0.27}, 4)
    ours.c.kernels_isa(widest)


def main():
    words = sys.argv[2:]
    as_json = "--json" in words
    reps = int(words[words.index("--reps") + 1]) if "--reps" in words else 9
    numbers = [int(w) for i, w in enumerate(words) if w.isdigit() and words[i - 1] != "--reps"]
    count = max(LEAST, numbers[0] if numbers else 10_000_000)
    ours = Ours(sys.argv[1])
    names = [w for w in words if w in ours.names] or ours.names
    for package in missing:
        print(f"moving.py: without {package}, which is not installed", file=sys.stderr)
    report = Report(as_json, reps, triad(ours, reps))
    if not as_json:
        print(f"{ours.c.kernels_isa_in_use().decode()}, one thread, {count:,} values, least of {reps}; "
              f"triad {report.triad:.1f} GB/s")
    one_series(report, ours, names, count)
    many_series(report, ours, names)
    if "simple" in names:
        instructions(report, ours, count)


if __name__ == "__main__":
    main()
