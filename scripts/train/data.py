"""The series that models are trained and scored on, with the ends that no training sees.

DIR holds ett/ETTh1.csv, classic_ts/*.csv and ndvi/*.csv. A Series' values are z-scored with the mean and the
deviation of its part for training; a forecast's error is therefore in units of that deviation.
"""

import csv
import os
from dataclasses import dataclass

import numpy as np

MONTH = 30 * 24  # hours: how the ETT benchmark counts 12, 4 and 4 months
ETT_TRAIN, ETT_VALID, ETT_TEST = 12 * MONTH, 16 * MONTH, 20 * MONTH

# The last so many points are for the test; the period is the season of the naive forecast.
CLASSIC = {
    "airline": ("classic_ts/airline-passengers.csv", 48, 12),
    "sunspots": ("classic_ts/monthly-sunspots.csv", 576, 132),
    "temperatures": ("classic_ts/daily-min-temperatures.csv", 730, 365),
}
NDVI_TEST, NDVI_PERIOD = 46, 23


@dataclass
class Series:
    group: str
    name: str
    raw: np.ndarray  # float64
    train: int  # points before this one are for training
    period: int

    @property
    def mean(self):
        return self.raw[: self.train].mean()

    @property
    def deviation(self):
        return self.raw[: self.train].std()

    @property
    def values(self):
        return (self.raw - self.mean) / self.deviation


def _columns(path, first):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    numbers = np.array([[float(cell) for cell in row[first:]] for row in rows[1:] if row])
    return rows[0][first:], numbers


def ett(folder):
    """Seven hourly channels; 12 months train, 4 validate, 4 test."""
    names, table = _columns(os.path.join(folder, "ett/ETTh1.csv"), 1)
    return [Series("ETTh1", name, table[:, i], ETT_TRAIN, 24) for i, name in enumerate(names)]


def classic(folder):
    """Airline passengers, sunspots, minimum temperatures."""
    found = []
    for name, (path, test, period) in CLASSIC.items():
        _, table = _columns(os.path.join(folder, path), 1)
        found.append(Series(name, name, table[:, 0], len(table) - test, period))
    return found


def ndvi(folder):
    """25 pixels of a raster, one value every 16 days."""
    names, table = _columns(os.path.join(folder, "ndvi/somalia_raster_5x5_ndvi.csv"), 1)
    return [Series("ndvi", name, table[:, i], len(table) - NDVI_TEST, NDVI_PERIOD) for i, name in enumerate(names)]
