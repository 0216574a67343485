#!/usr/bin/python3
"""pytorch_make.py COUNT FILE [LARGEST]: what PyTorch's own LSTM and GRU give for COUNT shapes by chance, with random
weights, as a safetensors file that pytorch_test.c reads. Needs Debian's python3-torch and python3-numpy.

The recorded ones: pytorch_make.py 14 spec/unit/kernels/pytorch.safetensors 9
All 200:           pytorch_make.py 200 /tmp/cases && MARU_PYTORCH=/tmp/cases build/release/unit/kernels/pytorch_test
"""

import json
import random
import struct
import sys

import torch

torch.manual_seed(1)
random.seed(1)
torch.set_num_threads(1)


def shape(number, largest):
    cell = "gru" if number % 3 == 2 else "lstm"
    hidden = random.randint(1, largest)
    return {
        "cell": cell, "inputs": random.randint(1, 3 if number % 2 else max(3, largest // 2)), "hidden": hidden,
        "layers": random.randint(1, 3), "bidirectional": number % 4 == 1,
        "projection": random.randint(1, hidden - 1) if cell == "lstm" and hidden > 1 and number % 4 == 0 else 0,
        "bias": number % 7 != 6, "batch": random.randint(1, 4 if number % 2 else max(3, largest // 4)),
        "time": random.randint(1, max(6, largest // 4)), "ragged": number % 5 in (1, 3), "begun": number % 2 == 0,
    }


def run(s):
    """{name: tensor} of one case: weights, x, the states before and after, the outputs, the lengths."""
    sides, states = 2 if s["bidirectional"] else 1, s["projection"] or s["hidden"]
    options = {"proj_size": s["projection"]} if s["projection"] else {}
    kind = torch.nn.GRU if s["cell"] == "gru" else torch.nn.LSTM
    net = kind(s["inputs"], s["hidden"], s["layers"], bias=s["bias"], batch_first=True,
               bidirectional=s["bidirectional"], **options)
    x = torch.randn(s["batch"], s["time"], s["inputs"])
    lengths = [random.randint(1, s["time"]) if s["ragged"] else s["time"] for _ in range(s["batch"])]
    begun = 1.0 if s["begun"] else 0.0
    h = torch.randn(s["layers"] * sides, s["batch"], states) * begun
    c = torch.randn(s["layers"] * sides, s["batch"], s["hidden"]) * begun
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        out, after = net(packed, h if s["cell"] == "gru" else (h, c))
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=s["time"])
    found = {name: value.detach() for name, value in net.named_parameters()}
    found.update(x=x, h=h, c=c, out=out, lengths=torch.tensor(lengths, dtype=torch.float32),
                 h_n=after if s["cell"] == "gru" else after[0])
    if s["cell"] == "lstm":
        found["c_n"] = after[1]
    return found


def write(path, cases, tensors):
    header = {"__metadata__": {"torch": torch.__version__, "cases": json.dumps(cases, separators=(",", ":"))}}
    blocks, at = [], 0
    for name, tensor in tensors.items():
        data = tensor.contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(data)]}
        blocks.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blocks))


def main(count, path, largest=70):
    cases, tensors = [], {}
    for number in range(int(count)):
        case = shape(number, int(largest))
        cases.append(case)
        for name, tensor in run(case).items():
            tensors[f"{number}.{name}"] = tensor
    write(path, cases, tensors)


main(*sys.argv[1:])
