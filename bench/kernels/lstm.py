#!/usr/bin/env python3
"""lstm.py LIBRARY [--json] [--reps N]: LSTMs of core/kernels beside PyTorch and ONNX Runtime: 100 steps of one input, the last step's
states out; hidden 64 in two layers, 128, 256 and 512 in one; batches of 1, 32 and 256; one thread.

Each round times every contestant once, in turn, and the least of the rounds counts, for other work on the machine only adds.
Ours and PyTorch are timed by the thread's CPU time, ONNX Runtime, which runs beside in node, by the clock.  The peak is that of
multiply-adds in registers, measured in the same rounds (the largest counts).  What is missing (python3-torch; npm and onnxruntime-node,
which is installed into build/bench/onnx) is left out and said.  Where scripts/train/setup has unpacked OpenBLAS into build/train,
PyTorch multiplies with that instead of Debian's reference BLAS.
"""
import ctypes, glob, json, os, subprocess, sys, time, warnings

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ONNX = os.path.join(ROOT, "build/bench/onnx")
BLAS = glob.glob(os.path.join(ROOT, "build/train/openblas/usr/lib/*/openblas-pthread"))
if BLAS and BLAS[0] not in os.environ.get("LD_LIBRARY_PATH", ""):  # read when a program starts
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, [BLAS[0], os.environ.get("LD_LIBRARY_PATH")]))
    os.execv(sys.executable, [sys.executable, *sys.argv])
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
NETS, BATCHES, STEPS = ((64, 2), (128, 1), (256, 1), (512, 1)), (1, 32, 256), 100
CACHE = {"L1": 48 << 10, "L2": 1 << 20}
missing = []
try:
    import torch
except ImportError:
    torch = None
    missing.append("python3-torch")


def floats(count, scale, seed):
    """As random as it has to be, and the same everywhere."""
    state, out = seed, (ctypes.c_float * count)()
    for i in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = ((state >> 8) / (1 << 23) - 1) * scale
    return out


def operations(hidden, layers, batch):
    return 2 * STEPS * batch * sum(4 * hidden * ((hidden if layer else 1) + hidden) for layer in range(layers))


class Library:
    def __init__(self):
        subprocess.run([os.path.join(ROOT, "scripts/build"), "release", "lstm_library"], check=True, stdout=subprocess.DEVNULL)
        self.c = ctypes.CDLL(os.path.join(ROOT, "build/release/bench/lstm_library.so"))
        self.c.lstm_new.restype = ctypes.c_void_p
        self.c.lstm_new.argtypes = [ctypes.c_int] * 4 + [ctypes.c_void_p]
        self.c.lstm_run.restype = self.c.fma_peak.restype = ctypes.c_double
        self.c.lstm_run.argtypes = [ctypes.c_void_p] * 3
        self.c.lstm_free.argtypes = [ctypes.c_void_p]
        self.c.lstm_isa.restype = ctypes.c_char_p


def weights_of(hidden, layers):
    by, seed, list_ = hidden ** -0.5, hidden, []
    for layer in range(layers):
        for count in (4 * hidden * (hidden if layer else 1), 4 * hidden * hidden, 4 * hidden, 4 * hidden):
            seed += 1
            list_.append(floats(count, by, seed))
    return list_


def torch_net(hidden, layers, weights):
    net = torch.nn.LSTM(1, hidden, layers, batch_first=True)
    with torch.no_grad():
        for i, (name, to) in enumerate(net.named_parameters()):
            to.copy_(torch.frombuffer(weights[i], dtype=torch.float32).reshape(to.shape))
    return net.eval()


class Onnx:
    """ONNX Runtime in node, on models that PyTorch exports."""

    def __init__(self):
        os.makedirs(ONNX, exist_ok=True)
        package = os.path.join(ONNX, "package.json")
        if not os.path.exists(package):
            with open(package, "w") as file:
                file.write('{"private":true}')
        if not os.path.exists(os.path.join(ONNX, "node_modules/onnxruntime-node")):
            subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "onnxruntime-node@1.30"], cwd=ONNX, check=True,
                           stdout=subprocess.DEVNULL, env={**os.environ, "ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"})
        self.node = subprocess.Popen(["node", os.path.join(HERE, "lstm_onnx.mjs"), ONNX], text=True, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE)
        self.version = json.loads(self.node.stdout.readline())["version"]

    def export(self, name, net, batch):
        class Last(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, x):
                return self.net(x)[0][:, -1]

        path = os.path.join(ONNX, name + ".onnx")
        torch.onnx.export(Last(), torch.zeros(batch, STEPS, 1), path, opset_version=14, input_names=["x"], output_names=["y"])

    def run(self, name, batch, times):
        self.node.stdin.write(f"{name} {batch} {times}\n")
        self.node.stdin.flush()
        answer = json.loads(self.node.stdout.readline())
        return answer["ms"], answer["y"]


def inputs(batch):
    return (ctypes.c_float * (batch * STEPS))(*[(i * 37 % 101) / 50 - 1 for i in range(batch * STEPS)])


def bound(hidden, layers, batch):
    """What holds it: the weights' way from a cache when they serve few rows, else the units that multiply."""
    block = 16 * 4 * 4 * (hidden * (2 if layers > 1 else 1) + 1)
    whole = 16 * hidden * (hidden + 1 if layers == 1 else 2 * hidden)
    if batch == 1:
        return "L1 and L2 bandwidth" if whole < CACHE["L2"] // 2 else "L2 bandwidth" if whole < CACHE["L2"] else "L3 bandwidth"
    if block > CACHE["L1"]:
        return "FMA, L2 bandwidth"
    return "FMA, tanh and sigma"


def measure(library, onnx, hidden, layers, batch, reps):
    weights, x = weights_of(hidden, layers), inputs(batch)
    last = (ctypes.c_float * (batch * hidden))()
    pointers = (ctypes.c_void_p * len(weights))(*[ctypes.addressof(w) for w in weights])
    ours = library.c.lstm_new(hidden, layers, batch, STEPS, pointers)
    net = torch_net(hidden, layers, weights) if torch else None
    name, tensor, best, peak, off = f"h{hidden}x{layers}b{batch}", None, {}, 0, 0
    if net:
        tensor = torch.frombuffer(x, dtype=torch.float32).reshape(batch, STEPS, 1)
        if onnx:
            onnx.export(name, net, batch)
    quick = operations(hidden, layers, batch) / 1e8 < 20
    for turn in range(reps):
        peak = max(peak, library.c.fma_peak())
        ms = min(library.c.lstm_run(ours, x, last) for _ in range(20 if quick else 1)) * 1e3
        best["maru"] = min(best.get("maru", ms), ms)
        if net and (turn < 2 or best["PyTorch"] < 500):  # what takes long is taken twice
            with torch.inference_mode():
                began = time.thread_time()
                out = net(tensor)[0][:, -1]
                ms = (time.thread_time() - began) * 1e3
            best["PyTorch"] = min(best.get("PyTorch", ms), ms)
            want = out.flatten().tolist()
            off = max(abs(a - b) for a, b in zip(want, last)) / max(map(abs, want))
        if onnx and net:
            ms, y = onnx.run(name, batch, 20 if quick else 1)
            best["ONNX Runtime"] = min(best.get("ONNX Runtime", ms), ms)
            off = max(off, max(abs(a - b) for a, b in zip(y, last)))
    library.c.lstm_free(ours)
    return {"hidden": hidden, "layers": layers, "batch": batch, "ms": best, "peak": peak, "off": off}


def print_row(r):
    gflops = operations(r["hidden"], r["layers"], r["batch"]) / r["ms"]["maru"] / 1e6
    share = gflops / r["peak"] if r["peak"] else 0
    show = lambda who: f"{r['ms'][who]:.3f}" if who in r["ms"] else "-"
    times = f"{r['ms']['ONNX Runtime'] / r['ms']['maru']:.2f}" if "ONNX Runtime" in r["ms"] else "-"
    print(f"{r['hidden']:>6} x{r['layers']} {r['batch']:>5} {r['ms']['maru']:>9.3f} {gflops:>8.1f} {share:>6.0%} {show('PyTorch'):>11} "
          f"{show('ONNX Runtime'):>9} {times:>6} {r['off']:>8.1e}  {bound(r['hidden'], r['layers'], r['batch'])}", flush=True)


def main():
    arguments = sys.argv[2:]
    reps = int(arguments[arguments.index("--reps") + 1]) if "--reps" in arguments else 15
    library, onnx = Library(), None
    if torch:
        torch.set_num_threads(1)
        try:
            onnx = Onnx()
        except (OSError, subprocess.CalledProcessError, ValueError) as why:
            missing.append(f"onnxruntime-node ({why})")
    isa, plain = library.c.lstm_isa().decode(), "--json" not in arguments
    if plain:
        print(f"LSTM, {STEPS} steps, one thread, {isa}; PyTorch with {'OpenBLAS' if BLAS else 'the reference BLAS'}; "
              f"missing: {', '.join(missing) or 'none'}")
        print(f"{'net':>9} {'batch':>5} {'maru ms':>9} {'GFLOP/s':>8} {'of peak':>7} {'PyTorch ms':>11} {'ORT ms':>9} {'x ORT':>6} {'off':>8}  bound")
    rows = []
    for hidden, layers in NETS:
        for batch in BATCHES:
            rows.append(measure(library, onnx, hidden, layers, batch, reps))
            if plain:
                print_row(rows[-1])
    if not plain:
        print(json.dumps({"isa": isa, "openblas": bool(BLAS), "missing": missing, "rows": rows}))


main()
