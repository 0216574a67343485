"""backtest [--data DIR] [--models DIR] [--product MARU] [--write]: what the shipped models are worth, as tables.

Prints the tables, or with --write puts them between the marks of docs/models.md and docs/models.ko.md, and scores into the model files. With --product the
binary MARU (build/release/maru) makes the forecasts of ETTh1 by its own kernels, inside `maru test`; the others are
PyTorch's and NumPy's, and a table says how far the two are apart.
"""

import argparse
import os

import numpy as np
import torch

import data
import forecast
import model_file
import product
import scores

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = ("lstm_timeseries", "nlinear_timeseries")

# Mean squared error / mean absolute error as published; None: not given. DLinear to Informer: LTSF-Benchmark.md of
# cure-lab/LTSF-Linear (OT only: the same file's table of one channel). LSTMa: table 2 of the Informer paper.
PUBLISHED = {
    "DLinear": {96: ".374", 192: ".408", 336: ".429", 720: ".440"},
    "NLinear": {96: ".375", 192: ".405", 336: ".439", 720: ".472"},
    "FEDformer-f": {96: ".376", 192: ".420", 336: ".459", 720: ".506"},
    "Autoformer": {96: ".449", 192: ".500", 336: ".521", 720: ".514"},
    "Informer": {96: ".865", 192: "1.008", 336: "1.107", 720: "1.181"},
    "LSTMa ¹": {24: ".650 / .624", 48: ".702 / .675", 168: "1.212 / .867", 336: "1.424 / .994", 720: "1.960 / 1.322"},
}
PUBLISHED_OT = {
    "DLinear": {96: ".053", 192: ".069", 336: ".081", 720: ".080"},
    "Linear": {96: ".189", 192: ".078", 336: ".091", 720: ".172"},
    "ARIMA": {96: ".058", 192: ".073", 336: ".086", 720: ".103"},
    "Informer": {96: ".193", 192: ".217", 336: ".202", 720: ".183"},
    "LSTMa ¹": {24: ".114", 48: ".193", 168: ".236", 336: ".590", 720: ".683"},
}


# What GET /api/v1/models says of a model. Figures are filled in; the words are to be read again when the tables change.
NOTES = {
    "lstm_timeseries": {
        "en": "ETTh1, 96 steps ahead: mean squared error {ours}; nlinear_timeseries {other}, the seasonal naive (the same hour yesterday) {naive}, "
        "the last value {last}. One step ahead better than the last value on airline passengers, temperatures and NDVI, not "
        "on sunspots. Where a season repeats itself (airline passengers a year ahead) last year's value is better.",
        "ko": "ETTh1 96걸음 앞의 평균 제곱 오차 {ours}. nlinear_timeseries는 {other}, 계절 나이브(어제 같은 시각)는 {naive}, 마지막 값은 {last}입니다. "
        "한 걸음 앞에서는 항공 승객, 기온, NDVI에서 마지막 값보다 낫고 흑점에서는 못합니다. 계절이 그대로 되풀이되면(항공 승객 1년 앞) "
        "작년 값이 더 낫습니다.",
    },
    "nlinear_timeseries": {
        "en": "ETTh1, 96 steps ahead: mean squared error {ours}; lstm_timeseries {other}, the seasonal naive (the same hour yesterday) {naive}, "
        "the last value {last}. One linear map of daily and weekly rhythms of hours, fitted to ETTh1 alone: with other rhythms "
        "(airline passengers a year ahead) it can be worse than the last value.",
        "ko": "ETTh1 96걸음 앞의 평균 제곱 오차 {ours}. lstm_timeseries는 {other}, 계절 나이브(어제 같은 시각)는 {naive}, 마지막 값은 {last}입니다. "
        "ETTh1만으로 맞춘, 시간 단위의 하루와 한 주 리듬의 선형 사상 하나입니다. 리듬이 다르면(항공 승객 1년 앞) 마지막 값보다 못할 수 "
        "있습니다.",
    },
}


def arguments():
    default = os.path.join(ROOT, "../shared/data")
    parser = argparse.ArgumentParser(prog="scripts/train/backtest")
    parser.add_argument("--data", default=default if os.path.isdir(default) else None, required=not os.path.isdir(default))
    parser.add_argument("--models", default=os.path.join(ROOT, "plugins/inference/models"))
    parser.add_argument("--product", metavar="MARU")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def number(value, digits=3):
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def rows_of(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def ett_tables(models, series):
    simple = {
        "last value": (forecast.last_value, 1),
        "same hour yesterday": (forecast.seasonal_naive(24), 24),
        "moving average, 24 hours": (forecast.moving_average(24), 24),
        "moving average, 168 hours": (forecast.moving_average(168), 168),
    }
    ours = {f"**{m.name}**": (m, m.metadata["lookback"]) for m in models}
    channels = {
        name: scores.by_channel(one, series, points) for name, (one, points) in {**ours, **simple}.items()
    }
    found = {name: scores.mean_of(by) for name, by in channels.items()}
    found_ot = {name: by["OT"] for name, by in channels.items()}

    def table(found, published, cell):
        head = ["", *map(str, scores.HORIZONS)]
        rows = [[name, *(cell(by[h]) for h in scores.HORIZONS)] for name, by in found.items()]
        rows += [[f"{name} (published)", *(by.get(h, "") for h in scores.HORIZONS)] for name, by in published.items()]
        return rows_of(head, rows)

    return found, {
        "etth1": table(found, PUBLISHED, lambda s: f"{number(s['mse'])} / {number(s['mae'])}"),
        "ot": table(found_ot, PUBLISHED_OT, lambda s: number(s["mse"])),
    }


def short_table(models, series):
    """ETTh1, 96 ahead, from shorter series."""
    lengths = (24, 48, 72, 100, 168, 336)
    rows = []
    naive = forecast.seasonal_naive(24)
    for name, one, least in [(f"**{m.name}**", m, m.metadata["min_points"]) for m in models] + [
        ("same hour yesterday", naive, 24)
    ]:
        cells = []
        for n in lengths:
            best = scores.benchmark(one, series, n, horizons=(96,), stride=8)[96] if n >= least else None
            cells.append(number(best["mse"]) if best else "refused")
        rows.append([name, *cells])
    return rows_of(["points known", *map(str, lengths)], rows)


def walk_tables(models, classic, ndvi):
    """One step, and a season, over the test ends: root of the mean squared error, in the data's own units."""
    groups = {one.name: [one] for one in classic}
    groups["ndvi"] = ndvi
    tables = {}
    for name, ahead in (("step", dict.fromkeys(groups, 1)),
                        ("season", {"airline": 12, "sunspots": 12, "temperatures": 30, "ndvi": 23})):
        rows = {}
        for group, series in groups.items():
            period = series[0].period
            used = {f"**{m.name}**": (m, m.metadata["lookback"]) for m in models}
            used["last value"] = (forecast.last_value, 1)
            used["one season ago"] = (forecast.seasonal_naive(period), None)
            used["mean of all seasons before"] = (forecast.seasonal_mean(period), None)
            used["moving average of 3"] = (forecast.moving_average(3), 3)
            used["moving average of 12"] = (forecast.moving_average(12), 12)
            for label, (one, points) in used.items():
                error = scores.rmse([scores.walk(one, s, ahead[group], points) for s in series])
                rows.setdefault(label, []).append(number(error, 4 if group == "ndvi" else 2))
        head = ["", *(f"{group}, {ahead[group]} ahead" for group in groups)]
        tables[name] = rows_of(head, [[label, *cells] for label, cells in rows.items()])
    return tables


def band_table(models, series):
    """How often the truth of the test months is below the quantiles 0.1 and 0.9."""
    rows = []
    for model in models:
        for h in (24, 96, 336):
            below = np.zeros(2)
            for one in series:
                x, y = scores.windows_of(one.values, model.metadata["lookback"], h, data.ETT_VALID, data.ETT_TEST)
                guess = model.quantiles(x[::8], h)
                below += [(y[::8] < guess[:, :, q]).mean() / len(series) for q in (0, 2)]
            rows.append([f"**{model.name}**", str(h), *(f"{b * 100:.1f} %" for b in below),
                         f"{(below[1] - below[0]) * 100:.1f} %"])
    return rows_of(["", "ahead", "below q 0.1 (10 %)", "below q 0.9 (90 %)", "inside (80 %)"], rows)


def product_table(models, maru, series, classic, ndvi):
    rows = []
    for model in models:
        points = model.metadata["lookback"]
        x, y = [], []
        for one in series:
            a, b = scores.windows_of(one.values, points, 96, data.ETT_VALID, data.ETT_TEST)
            x.append(a[::8])
            y.append(b[::8])
        x, y = np.concatenate(x), np.concatenate(y)
        cases = [("ETTh1, 96 ahead", x, y)]
        cases.append(("ETTh1, 336 ahead (fed back)", x[::8], None))
        for one in [*classic, ndvi[0]]:
            known = one.raw[: one.train][-min(points, 90):]
            cases.append((f"{one.name}, {len(known)} points, 24 ahead", known[None], None))
        for label, x, y in cases:
            horizon = 96 if y is not None else int(label.split(", ")[-1].split()[0])
            x = x.astype(np.float32).astype(np.float64)
            ours = model.quantiles(x, horizon)
            theirs = product.forecast(maru, model.path, x, horizon)
            apart = np.abs(ours - theirs).max() / np.abs(ours).max()
            mse = [f"{((g[:, :, 1] - y) ** 2).mean():.5f}" if y is not None else "" for g in (ours, theirs)]
            rows.append([f"**{model.name}**", label, str(len(x)), *mse, f"{apart:.1e}"])
    return rows_of(["", "windows of", "how many", "mse, reference", "mse, maru", "largest difference ²"], rows)


def put_scores(models, found, others):
    for model in models:
        by = {name.strip("*"): one for name, one in found.items()}
        second = next(m.name for m in models if m is not model)
        figures = {
            "ours": by[model.name], "other": by[second], "naive": by["same hour yesterday"], "last": by["last value"]
        }
        words = {key: number(one[96]["mse"]) for key, one in figures.items()}
        scored = {"ETTh1": by[model.name]}
        for group in dict.fromkeys(one.group for one in others):
            error = np.concatenate([
                scores.walk(model, one, 1, model.metadata["lookback"]) / one.deviation
                for one in others if one.group == group
            ])
            scored[group] = {
                1: {"mse": round(float((error**2).mean()), 4), "mae": round(float(np.abs(error).mean()), 4)}
            }
        metadata = {k: v for k, v in model.metadata.items() if k not in ("scores", "note")}
        metadata["scores"] = scored
        metadata["note"] = {language: text.format(**words) for language, text in NOTES[model.name].items()}
        model_file.write(model.path, metadata, model.tensors)


def put(path, tables):
    with open(path) as file:
        text = file.read()
    for name, table in tables.items():
        begin, end = f"<!-- table {name} -->\n", f"<!-- end {name} -->"
        if begin in text:
            before, rest = text.split(begin, 1)
            text = before + begin + table + "\n" + end + rest.split(end, 1)[1]
    with open(path, "w") as file:
        file.write(text)


def main():
    asked = arguments()
    torch.set_num_threads(1)
    series, classic, ndvi = data.ett(asked.data), data.classic(asked.data), data.ndvi(asked.data)
    models = [forecast.Model(os.path.join(asked.models, name + ".safetensors")) for name in MODELS]
    run = [product.Product(asked.product, model) for model in models] if asked.product else models
    found, tables = ett_tables(run, series)
    tables |= {"short": short_table(run, series),
               **walk_tables(models, classic, ndvi), "bands": band_table(run, series)}
    if asked.product:
        tables["product"] = product_table(models, asked.product, series, classic, ndvi)
    for name, table in tables.items():
        print(f"\n{name}\n{table}")
    if asked.write:
        for page in ("docs/models.md", "docs/models.ko.md"):
            put(os.path.join(ROOT, page), tables)
        put_scores(models, found, classic + ndvi)


main()
