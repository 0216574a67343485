"""How forecasts are scored: the ETT benchmark's protocol, and walks of one step."""

import numpy as np

from data import ETT_TEST, ETT_VALID

HORIZONS = (24, 48, 96, 168, 192, 336, 720)
PARTS = ((24, 48, 96, 168, 192), (336,), (720,))  # horizons that one run of a forecaster answers


def windows_of(values, points, horizon, start, end):
    """(inputs [n][points], targets [n][horizon]) of every target that lies in start..end."""
    both = np.lib.stride_tricks.sliding_window_view(values[start - points : end], points + horizon)
    return both[:, :points], both[:, points:]


def benchmark(forecast, series, points, start=ETT_VALID, end=ETT_TEST, horizons=HORIZONS, stride=1):
    """{horizon: {"mse", "mae"}} over all channels, every window whose target lies in start..end, in z-scored units."""
    return mean_of(by_channel(forecast, series, points, start, end, horizons, stride))


def mean_of(channels):
    """The mean of by_channel's."""
    first = next(iter(channels.values()))
    return {
        h: {what: round(float(np.mean([one[h][what] for one in channels.values()])), 4) for what in ("mse", "mae")}
        for h in first
    }


def by_channel(forecast, series, points, start=ETT_VALID, end=ETT_TEST, horizons=HORIZONS, stride=1):
    """{channel: {horizon: {"mse", "mae"}}}."""
    found = {one.name: {} for one in series}
    for part in PARTS:
        wanted = [h for h in part if h in horizons]
        if not wanted:
            continue
        for one in series:
            inputs, _ = windows_of(one.values, points, wanted[0], start, end)
            guess = forecast(inputs[::stride], wanted[-1])
            for h in wanted:
                _, targets = windows_of(one.values, points, h, start, end)
                targets = targets[::stride]
                error = guess[: len(targets), :h] - targets
                found[one.name][h] = {"mse": float((error**2).mean()), "mae": float(np.abs(error).mean())}
    return found


def walk(forecast, one, horizon, points=None):
    """Errors [origins][horizon], in the series' own units, of a forecast made at every point of the test end that still
    has `horizon` points before it ends, from the last `points` points before it (all there are)."""
    windows, errors = {}, []
    for at in range(one.train, len(one.raw) - horizon + 1):
        known = one.values[0 if points is None else max(0, at - points) : at]
        windows.setdefault(len(known), []).append((known, one.values[at : at + horizon]))
    for pairs in windows.values():
        known, truth = (np.array(column) for column in zip(*pairs))
        errors.append(forecast(known, horizon) - truth)
    return np.concatenate(errors) * one.deviation


def rmse(errors):
    return float(np.sqrt((np.concatenate(errors) ** 2).mean()))
