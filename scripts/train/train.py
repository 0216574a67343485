"""train [nlinear] [lstm] [--data DIR] [--out DIR] [--seed N] [--part N] [--quick]: makes the models that maru ships.

Writes OUT/nlinear_timeseries.safetensors (seconds) and OUT/lstm_timeseries.safetensors (minutes), and what happened to
scripts/train/NAME.log, or OUT/NAME.log where OUT is another folder than maru's own. The same seed gives the same bytes
on the same machine. Checkpoints of the LSTM's parts lie in build/train. Scores are put into the files by
scripts/train/backtest --write.
"""

import argparse
import os
import sys
import time

import numpy as np
import torch

import data
import forecast
import lstm
import model_file
import nlinear
import scores

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "plugins/inference/models")
NOT_SEEN = "ETTh1 after its 12th month (30 days each); the test ends of the others"


def arguments():
    default = os.path.join(ROOT, "../shared/data")
    parser = argparse.ArgumentParser(prog="scripts/train/train")
    parser.add_argument("models", nargs="*", metavar="nlinear|lstm", help="default: both")
    parser.add_argument("--data", default=default if os.path.isdir(default) else None, required=not os.path.isdir(default))
    parser.add_argument("--out", default=MODELS)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--part", type=int, default=1, help="of the LSTM's training to begin with, from build/train")
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the LSTM's steps: shows that all works")
    asked = parser.parse_args()
    if set(asked.models) - {"nlinear", "lstm"}:
        parser.error("models are nlinear and lstm")
    asked.models = asked.models or ["nlinear", "lstm"]
    return asked


def train_nlinear(asked, series, log):
    tensors = nlinear.fit(series, log)
    trained = {"data": "ETTh1, 7 channels, months 1 to 12", "method": f"ridge, lambda {nlinear.LAMBDA:g}"}
    return nlinear.METADATA, tensors, trained, nlinear.LOOKBACK


def train_lstm(asked, series, log):
    others = data.classic(asked.data) + data.ndvi(asked.data)
    named = {}
    for one in others:
        named.setdefault(one.group, []).append(one.values[: one.train])
    groups = [(0.85, np.stack([one.values[: one.train] for one in series]))]
    groups += [(0.15 / len(named), np.stack(group)) for group in named.values()]
    teacher = nlinear.fit(series, log)["head.weight"].T
    folder = os.path.join(ROOT, "build/train/quick" if asked.quick else "build/train")
    os.makedirs(folder, exist_ok=True)
    if asked.quick:
        for part in lstm.PARTS:
            part.steps //= 50
    tensors = lstm.fit(series, groups, teacher, asked.seed, asked.part, folder, log)
    trained = {
        "data": "ETTh1, 7 channels, months 1 to 12 (85 %); airline, sunspots, temperatures, NDVI without test ends (15 %)",
        "method": f"{sum(p.steps for p in lstm.PARTS)} steps of 32 to 48 windows, Adam, pinball loss, teacher nlinear",
        "seed": asked.seed,
    }
    return lstm.METADATA, tensors, trained, lstm.LOOKBACK


def main():
    asked = arguments()
    os.makedirs(asked.out, exist_ok=True)
    series = data.ett(asked.data)
    for name in asked.models:
        lines = []

        def log(line):
            lines.append(line)
            print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)

        log(f"{name}: PyTorch {torch.__version__}, NumPy {np.__version__}, seed {asked.seed}")
        metadata, tensors, trained, points = globals()["train_" + name](asked, series, log)
        trained = {**trained, "script": "scripts/train/train", "torch": torch.__version__, "numpy": np.__version__,
                   "not_seen": NOT_SEEN}
        path = os.path.join(asked.out, metadata["name"] + ".safetensors")
        model_file.write(path, {**metadata, "trained": trained}, tensors)
        valid = scores.benchmark(
            forecast.Model(path), series, points, data.ETT_TRAIN, data.ETT_VALID, horizons=(24, 96, 192), stride=12
        )
        log(f"{name}: validation mse " + " ".join(f"{h}: {s['mse']:.4f}" for h, s in valid.items()))
        log(f"{name}: {os.path.getsize(path)} bytes")
        beside = os.path.dirname(os.path.abspath(__file__)) if os.path.samefile(asked.out, MODELS) else asked.out
        with open(os.path.join(beside, f"{name}.log"), "w") as file:
            file.write("\n".join(lines) + "\n")


main()
