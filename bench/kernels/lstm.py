#!/usr/bin/env python3
"""lstm.py LIBRARY [--json] [--reps N]: LSTMs of core/kernels beside PyTorch and ONNX Runtime: 100 steps of one input, the last step's
states out; hidden 64 in two layers, 128, 256 and 512 in one; batches of 1, 32 and 256; one thread.  Then a GRU and both directions.

Each round times every contestant once, in turn, and the least of the rounds counts, for other work on the machine only adds.
Ours and PyTorch are timed by the thread's CPU time, ONNX Runtime, which runs beside in node, by the clock.  The peak is that of
multiply-adds in registers, measured in the same rounds (the largest counts).  What bounds a shape is measured, too: its multiplications
at that peak, its weights read from where they lie (one row reads all of them at each step, of more rows six share what the first cache
then holds or not), its tanh and sigma by themselves.  A processor does parts of all three at once, so the longest of them is the least
time; it is printed with its share of ours.  The same weights as bfloat16 and int8 (core/kernels/recurrent_low.h says what is rounded)
are timed in the same rounds: milliseconds, how many times as fast as float32, how far off, of the largest.  What is missing (python3-torch; npm and onnxruntime-node,
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
KEPT = ("float32", "bf16", "int8")  # ORDER recurrent_kept
LSTM, GRU, STEPS = "LSTM", "GRU", 100
NETS = ((LSTM, 64, 2, 1), (LSTM, 128, 1, 1), (LSTM, 256, 1, 1), (LSTM, 512, 1, 1))  # cell, hidden, layers, directions
OTHERS = ((GRU, 64, 2, 1), (GRU, 256, 1, 1), (LSTM, 128, 1, 2))
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


def inputs_of(net, layer):
    return net[1] * net[3] if layer else 1


def operations(net, batch):
    cell, hidden, layers, sides = net
    return 2 * STEPS * batch * sides * (3 if cell == GRU else 4) * hidden * sum(inputs_of(net, i) + hidden for i in range(layers))


class Library:
    def __init__(self):
        subprocess.run([os.path.join(ROOT, "scripts/build"), "release", "lstm_library"], check=True, stdout=subprocess.DEVNULL)
        self.c = ctypes.CDLL(os.path.join(ROOT, "build/release/bench/lstm_library.so"))
        self.c.lstm_new.restype = ctypes.c_void_p
        self.c.lstm_new.argtypes = [ctypes.c_int] * 6 + [ctypes.c_void_p, ctypes.c_int]
        for function in (self.c.lstm_run, self.c.lstm_bytes, self.c.fma_peak, self.c.read_seconds, self.c.cell_seconds):
            function.restype = ctypes.c_double
        self.c.lstm_bytes.argtypes = [ctypes.c_void_p]
        self.c.read_seconds.argtypes = [ctypes.c_size_t]
        self.c.lstm_run.argtypes = [ctypes.c_void_p] * 3
        self.c.lstm_free.argtypes = [ctypes.c_void_p]
        self.c.lstm_isa.restype = self.c.lstm_instructions.restype = ctypes.c_char_p
        self.c.lstm_instructions.argtypes = [ctypes.c_void_p]


def weights_of(net):
    cell, hidden, layers, sides = net
    by, seed, list_, gates = hidden ** -0.5, hidden, [], (3 if cell == GRU else 4) * hidden
    for i in range(layers * sides):
        for count in (gates * inputs_of(net, i // sides), gates * hidden, gates, gates):
            seed += 1
            list_.append(floats(count, by, seed))
    return list_


def torch_net(net, weights):
    cell, hidden, layers, sides = net
    net = getattr(torch.nn, cell)(1, hidden, layers, batch_first=True, bidirectional=sides == 2)
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


def bounds(library, net, batch, row_bytes, peak):
    """The least milliseconds by what does the work: [(name, ms)]."""
    cell, hidden, layers, sides = net
    tall, block = 1 if batch == 1 else -(-batch // 6), 16 * 4 * 4 * (inputs_of(net, layers - 1) + hidden)
    near = row_bytes if batch == 1 else min(block, row_bytes)  # what is read again before anything else is
    level = "L1" if near < CACHE["L1"] else "L2" if near < CACHE["L2"] else "L3"
    least = lambda measured, *of: min(measured(*of) for _ in range(5))
    read = least(library.c.read_seconds, int(near)) / near * row_bytes * tall * STEPS
    multiply = operations(net, batch) / peak / 1e9 if peak else 0
    functions = least(library.c.cell_seconds, cell == GRU) * hidden * layers * sides * batch * STEPS
    return [(f"{level} bandwidth", read * 1e3), ("FMA", multiply * 1e3), ("tanh and sigma", functions * 1e3)]


def bound(r):
    name, least = max(r["bounds"], key=lambda b: b[1])
    return f"{name} {least / r['ms']['maru']:.0%}  ({', '.join(f'{what} {ms:.3f}' for what, ms in r['bounds'])})"


def measure(library, onnx, shape, batch, reps):
    cell, hidden, layers, sides = shape
    weights, x = weights_of(shape), inputs(batch)
    lasts = [(ctypes.c_float * (batch * hidden * sides))() for _ in KEPT]
    last = lasts[0]
    pointers = (ctypes.c_void_p * len(weights))(*[ctypes.addressof(w) for w in weights])
    ours = [library.c.lstm_new(cell == GRU, hidden, layers, sides, batch, STEPS, pointers, kept) for kept in range(len(KEPT))]
    net = torch_net(shape, weights) if torch else None
    name = f"{'gru' if cell == GRU else 'both' if sides == 2 else ''}h{hidden}x{layers}b{batch}"
    tensor, best, peak, off = None, {}, 0, 0
    if net:
        tensor = torch.frombuffer(x, dtype=torch.float32).reshape(batch, STEPS, 1)
        if onnx:
            onnx.export(name, net, batch)
    quick = operations(shape, batch) / 1e8 < 20
    for turn in range(reps):
        peak = max(peak, library.c.fma_peak())
        for kept, one, to in zip(("maru",) + KEPT[1:], ours, lasts):
            ms = min(library.c.lstm_run(one, x, to) for _ in range(20 if quick else 1)) * 1e3
            best[kept] = min(best.get(kept, ms), ms)
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
    row_bytes, most = library.c.lstm_bytes(ours[0]), max(map(abs, last))
    small = {kept: {"with": library.c.lstm_instructions(one).decode(), "off": max(abs(a - b) for a, b in zip(to, last)) / most}
             for kept, one, to in zip(KEPT[1:], ours[1:], lasts[1:])}
    for one in ours:
        library.c.lstm_free(one)
    return {"cell": cell, "hidden": hidden, "layers": layers, "directions": sides, "batch": batch, "ms": best, "peak": peak, "off": off,
            "small": small, "bounds": bounds(library, shape, batch, row_bytes, peak)}


def print_row(r):
    gflops = operations((r["cell"], r["hidden"], r["layers"], r["directions"]), r["batch"]) / r["ms"]["maru"] / 1e6
    share = gflops / r["peak"] if r["peak"] else 0
    show = lambda who: f"{r['ms'][who]:.3f}" if who in r["ms"] else "-"
    times = f"{r['ms']['ONNX Runtime'] / r['ms']['maru']:.2f}" if "ONNX Runtime" in r["ms"] else "-"
    kind = "GRU" if r["cell"] == GRU else "both" if r["directions"] == 2 else ""
    small = "".join(f"{r['ms'][kept]:>9.3f} {r['ms']['maru'] / r['ms'][kept]:>5.2f} {r['small'][kept]['off']:>7.0e}" for kept in KEPT[1:])
    print(f"{kind:>4} {r['hidden']:>4} x{r['layers']} {r['batch']:>5} {r['ms']['maru']:>9.3f} {gflops:>8.1f} {share:>6.0%} "
          f"{show('PyTorch'):>11} {show('ONNX Runtime'):>9} {times:>6} {r['off']:>8.1e}{small}  {bound(r)}", flush=True)


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
        print(f"{'net':>12} {'batch':>5} {'maru ms':>9} {'GFLOP/s':>8} {'of peak':>7} {'PyTorch ms':>11} {'ORT ms':>9} {'x ORT':>6} {'off':>8}"
              + "".join(f"{kept + ' ms':>9} {'x f32':>5} {'off':>7}" for kept in KEPT[1:]) + "  bound, its share of the time (ms by each)")
    rows = []
    for nets, batches in ((NETS, (1, 32, 256)), (OTHERS, (1, 32))):
        for net, batch in ((net, batch) for net in nets for batch in batches):
            rows.append(measure(library, onnx, net, batch, reps))
            if plain:
                print_row(rows[-1])
    if not plain:
        print(json.dumps({"isa": isa, "openblas": bool(BLAS), "missing": missing, "rows": rows}))


main()
