"""Forecasts by a model file, as the contract of model_file.py says; and the simple forecasts beside which it stands.

A forecaster is a function (windows [n][points], horizon) -> medians [n][horizon].
"""

import numpy as np
import torch

import model_file


def lstm_of(metadata, tensors):
    """PyTorch's LSTM with the file's weights."""
    net = torch.nn.LSTM(
        metadata["inputs"], metadata["hidden"], metadata["layers"], batch_first=True,
        bidirectional=metadata["bidirectional"], proj_size=metadata["projection"],
    )
    net.load_state_dict({k[4:]: torch.tensor(v) for k, v in tensors.items() if k.startswith("rnn.")})
    return net


class Model:
    """A model file, run by PyTorch (recurrent) or NumPy (nlinear)."""

    def __init__(self, path):
        self.metadata, self.tensors = model_file.read(path)
        self.name, self.path = self.metadata["name"], path
        if self.metadata["kind"] == "lstm":
            self.net = lstm_of(self.metadata, self.tensors)
        elif self.metadata["kind"] != "nlinear":
            raise ValueError(f"{path}: no reference for a {self.metadata['kind']}")

    def _scaled(self, x):
        """x [n][points] in the scaled window -> [n][horizon][quantiles]."""
        m, t = self.metadata, self.tensors
        if m["kind"] == "nlinear":
            point = model_file.fill(x, m["lookback"]) @ t["head.weight"].astype(np.float64).T + t["head.bias"]
            return point[:, :, None] + t["residual.quantiles"]
        found = []
        with torch.no_grad():
            for part in np.array_split(x, max(1, len(x) // 512)):
                out, _ = self.net(torch.tensor(part[:, :, None], dtype=torch.float32))
                found.append(out[:, -1].numpy())
        out = np.concatenate(found) @ t["head.weight"].T + t["head.bias"]
        return out.reshape(len(x), m["horizon"], len(m["quantiles"]))

    def quantiles(self, windows, horizon):
        """[n][horizon][quantiles], in the windows' own units. Quantiles are put in order from the median outwards. Past
        the model's horizon the median is fed back, and distances from it are the roots of the sums of the squares of
        the model's and those reached before (as of independent errors)."""
        m = self.metadata
        if windows.shape[1] < m["min_points"]:
            raise ValueError(f"{self.name} needs {m['min_points']} points")
        middle, known, found, have, reached = m["quantiles"].index(0.5), windows, [], 0, 0.0
        side = np.sign(np.arange(len(m["quantiles"])) - middle)
        while have < horizon:
            x = known[:, -m["lookback"] :]
            offset, divisor = model_file.scale(x, m["scaling"])
            scaled = self._scaled((x - offset) / divisor)
            median = scaled[:, :, middle : middle + 1]
            away = scaled - median
            for q in range(middle - 1, -1, -1):
                away[:, :, q] = np.minimum(away[:, :, q], away[:, :, q + 1])
            for q in range(middle + 1, len(side)):
                away[:, :, q] = np.maximum(away[:, :, q], away[:, :, q - 1])
            away = away * divisor[:, :, None]
            if have:
                away = side * np.sqrt(away**2 + reached)
            reached = away[:, -1:] ** 2
            median = median * divisor[:, :, None] + offset[:, :, None]
            found.append(median + away)
            have += median.shape[1]
            known = np.concatenate([x, median[:, :, 0]], axis=1)
        return np.concatenate(found, axis=1)[:, :horizon]

    def __call__(self, windows, horizon):
        return self.quantiles(windows, horizon)[:, :, self.metadata["quantiles"].index(0.5)]


def last_value(windows, horizon):
    return np.repeat(windows[:, -1:], horizon, axis=1)


def seasonal_naive(period):
    def forecast(windows, horizon):
        season = windows[:, -period:]
        return np.tile(season, -(-horizon // period))[:, :horizon]

    return forecast


def moving_average(points):
    def forecast(windows, horizon):
        return np.repeat(windows[:, -points:].mean(1, keepdims=True), horizon, axis=1)

    return forecast


def seasonal_mean(period):
    """Of the same place in all seasons there are."""

    def forecast(windows, horizon):
        steps = [windows[:, (windows.shape[1] + h) % period :: period].mean(1) for h in range(min(horizon, period))]
        return np.tile(np.stack(steps, axis=1), -(-horizon // period))[:, :horizon]

    return forecast
