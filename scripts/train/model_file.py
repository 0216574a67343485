"""The model file: what core/kernels/forecaster reads (docs/models.md), and how windows are scaled and filled up.

A safetensors file whose __metadata__.maru is a JSON object:
  format 1, kind "lstm", "gru" or "nlinear", name, version,
  lookback    at most so many points count, from the series' end
  min_points  fewer points are refused
  horizon     steps ahead that one call gives; more are had by feeding the median back
  quantiles   [0.1, 0.5, 0.9]
  scaling     "last" (subtract the window's last value) or "standard" (subtract its mean); both then divide by the
              window's deviation (of N, not N - 1), which counts as 1 when below 1e-8 * (1 + |mean|)
  inputs, hidden, layers, bidirectional, projection   of a recurrent net
  period      of the training's main data; trained, scores: where the weights come from, what they reach

Tensors: rnn.* in PyTorch's names and layout, head.weight [horizon * quantiles][outputs] and head.bias over the last
step's output, horizon-major; or, nlinear, head.weight [horizon][lookback], head.bias [horizon] and
residual.quantiles [horizon][quantiles], added to the point forecast in the scaled window. A shorter window is filled
up in front with its first value (nlinear; the deviation is that of the points there are).
"""

import json
import struct

import numpy as np

TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I8": np.int8, "I64": np.int64}


def write(path, metadata, tensors):
    """tensors: {name: array}; written as float32, in the order of their names."""
    header = {"__metadata__": {"format": "pt", "maru": json.dumps(metadata, sort_keys=True, separators=(",", ":"))}}
    blocks, offset = [], 0
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name], dtype="<f4")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds what is no finite number")
        header[name] = {
            "dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]
        }
        blocks.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)  # the data start on a cache line
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blocks))


def read(path):
    """(metadata, {name: array}); bf16 and int8 come back as float32."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    metadata = json.loads(header.pop("__metadata__")["maru"])
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + size + at for at in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            array = (np.frombuffer(data[start:end], "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            array = np.frombuffer(data[start:end], TYPES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    for name in [name for name in tensors if name.endswith(".scale")]:
        whole = name[: -len(".scale")]
        tensors[whole] = tensors[whole].astype(np.float32) * tensors.pop(name).reshape(-1, 1)
    return metadata, tensors


def scale(windows, scaling):
    """(offset, divisor), each [n][1], of windows [n][points]."""
    mean = windows.mean(1, keepdims=True)
    deviation = windows.std(1, keepdims=True)
    divisor = np.where(deviation < 1e-8 * (1 + np.abs(mean)), 1.0, deviation)
    return (windows[:, -1:] if scaling == "last" else mean), divisor


def fill(windows, points):
    """Windows [n][fewer points] filled up in front with their first value, as nlinear takes them."""
    short = points - windows.shape[1]
    return np.concatenate([np.repeat(windows[:, :1], short, axis=1), windows], axis=1) if short > 0 else windows
