"""NLinear in closed form: ridge regression from the last 336 points, less the last one, to the next 192.

A series with fewer points is filled up in front with its first value, so the map is fitted to shortened windows as well,
with a small weight: of 0, 0.01, 0.02, 0.05 and 0.1 that one has the least squared error over whole windows of the
validation months, and it takes from 13 (72 points) to 6 % (168 points) off the error over short ones.

One map for all channels (channel-independent). No bias: the map is linear in the window, so dividing the window by its
deviation, as the model file has it, changes nothing. Zeng et al., "Are Transformers Effective for Time Series
Forecasting?" (2022) have the model; the closed form needs no training loop.
"""

import numpy as np

import model_file

LOOKBACK, HORIZON, LAMBDA, QUANTILES = 336, 192, 1000.0, (0.1, 0.5, 0.9)
SHORT, SHORT_WEIGHT = (48, 72, 96, 120, 144, 168, 216, 264), 0.02
MIN_POINTS = 72  # with fewer, the same hour of the day before is the better forecast


def fit(series, log):
    """{tensor: array}."""
    gram, cross = np.zeros((LOOKBACK, LOOKBACK)), np.zeros((LOOKBACK, HORIZON))
    every = []
    for one in series:
        both = np.lib.stride_tricks.sliding_window_view(one.values[: one.train], LOOKBACK + HORIZON)
        both = both - both[:, LOOKBACK - 1 : LOOKBACK]
        every.append(both)
        for points, share in [(LOOKBACK, 1.0)] + [(points, SHORT_WEIGHT) for points in SHORT]:
            x = model_file.fill(both[:, LOOKBACK - points : LOOKBACK], LOOKBACK)
            gram += share * x.T @ x
            cross += share * x.T @ both[:, LOOKBACK:]
    weight = np.linalg.solve(gram + LAMBDA * np.eye(LOOKBACK), cross)

    # The spread, in units of the window's deviation. A residual about the point forecast whose median is not 0 would
    # move the point forecast, so the middle one stays 0.
    residuals = []
    for both in every:
        x = both[:, :LOOKBACK]
        _, divisor = model_file.scale(x, "last")
        residuals.append((both[:, LOOKBACK:] - x @ weight) / divisor)
    spread = np.quantile(np.concatenate(residuals), QUANTILES, axis=0).T
    spread[:, QUANTILES.index(0.5)] = 0
    log(f"nlinear: {sum(len(b) for b in every)} windows of {len(series)} channels, lambda {LAMBDA:g}, short ones with {SHORT_WEIGHT:g}, "
        f"largest weight {np.abs(weight).max():.3f}")
    return {"head.weight": weight.T, "head.bias": np.zeros(HORIZON), "residual.quantiles": spread}


METADATA = {
    "format": 1, "kind": "nlinear", "name": "nlinear_timeseries", "version": "1", "lookback": LOOKBACK,
    "min_points": MIN_POINTS, "horizon": HORIZON, "quantiles": list(QUANTILES), "scaling": "last", "inputs": 1,
    "period": 24,
}
