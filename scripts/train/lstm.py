"""The LSTM: raw points one a step, window scaled by its own last value and deviation, a head for 192 steps x quantiles.

Trained on windows of random series and length with the pinball loss at 0.1, 0.5 and 0.9, in z-scored units (a window's
loss times its deviation), and, against the noise of what is forecast, with the squared distance of the median from the
closed-form NLinear's forecast where that one has its 336 points (a teacher: Hinton et al., "Distilling the Knowledge in
a Neural Network", 2015). The weights kept are those with the least mean squared error on the validation months; each part of the training begins
with those of the part before.
"""

import os
from dataclasses import dataclass

import numpy as np
import torch

import model_file
import scores
from data import ETT_TRAIN, ETT_VALID

LOOKBACK, HORIZON, QUANTILES, MIN_POINTS = 336, 192, (0.1, 0.5, 0.9), 8
HIDDEN, LAYERS, SCALING = 64, 2, "last"
MIDDLE = QUANTILES.index(0.5)
WHOLE = 0.75  # of the batches have the longest window, the others a shorter one


@dataclass
class Part:
    """Of the training; begins with the best weights of the one before."""

    steps: int
    rate: float
    hold: float  # the share of the steps before the rate begins to fall
    stages: tuple  # (share of the steps, points, windows of a batch)


# Short windows and small batches first: they teach the day in a tenth of the time.
PARTS = (
    Part(3500, 6e-3, 0.3, ((0.7, 96, 32), (0.3, 168, 48))),
    Part(400, 2e-3, 0.0, ((1.0, LOOKBACK, 48),)),
)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(1, HIDDEN, LAYERS)  # time first: quicker
        self.head = torch.nn.Linear(HIDDEN, HORIZON * len(QUANTILES))
        with torch.no_grad():
            for layer in range(LAYERS):
                for gate in torch.split(getattr(self.rnn, f"weight_hh_l{layer}"), HIDDEN):
                    torch.nn.init.orthogonal_(gate)
                if layer == 0:
                    self.rnn.weight_ih_l0.uniform_(-0.5, 0.5)
                else:
                    for gate in torch.split(getattr(self.rnn, f"weight_ih_l{layer}"), HIDDEN):
                        torch.nn.init.xavier_uniform_(gate)
                getattr(self.rnn, f"bias_ih_l{layer}")[HIDDEN : 2 * HIDDEN] += 1  # remember, at first
            self.head.weight.mul_(0.1)  # the first forecast is near the last value
            self.head.bias.zero_()

    def forward(self, x):
        """x [time][n], scaled -> [n][horizon][quantiles], scaled."""
        out, _ = self.rnn(x[:, :, None])
        return self.head(out[-1]).view(x.shape[1], HORIZON, len(QUANTILES))


class Windows:
    """Draws batches from the parts for training of groups of series."""

    def __init__(self, groups, teacher, seed):
        self.groups, self.teacher = groups, teacher  # [(share, values [series][points])]; [336][192], for groups[0]
        self.random = np.random.default_rng(seed)

    def draw(self, longest, batch):
        """(x [n][points], y [n][horizon], NaN past the end, the teacher's y or None), z-scored."""
        r = self.random
        shares = np.array([share for share, _ in self.groups])
        which = r.choice(len(self.groups), p=shares / shares.sum())
        values = self.groups[which][1]
        longest = min(longest, values.shape[1] // 2)
        points = longest if r.random() < WHOLE else int(r.integers(MIN_POINTS, longest + 1))
        row = r.integers(len(values), size=(batch, 1))
        most = values.shape[1] - min(HORIZON, values.shape[1] // 4)  # targets reach past the end a little
        taught = self.teacher is not None and which == 0
        seen = max(points, self.teacher.shape[0] if taught else 0)
        now = r.integers(seen, most + 1, size=(batch, 1))  # the first step that is forecast
        x = values[row, now + np.arange(-points, 0)]
        ahead = now + np.arange(HORIZON)
        y = np.where(ahead < values.shape[1], values[row, np.minimum(ahead, values.shape[1] - 1)], np.nan)
        if not taught:
            return x, y, None
        past = values[row, now + np.arange(-seen, 0)]
        return x, y, (past - past[:, -1:]) @ self.teacher + past[:, -1:]


def loss_of(net, batch, teach):
    x, y, taught = batch
    offset, divisor = model_file.scale(x, SCALING)
    guess = net(torch.tensor(((x - offset) / divisor).T, dtype=torch.float32))
    guess = guess * torch.tensor(divisor, dtype=torch.float32)[:, :, None]
    target = torch.tensor(y - offset, dtype=torch.float32)
    known = ~torch.isnan(target)
    error = torch.where(known, target, torch.zeros(()))[..., None] - guess
    q = torch.tensor(QUANTILES)
    pinball = (torch.maximum(q * error, (q - 1) * error) * known[..., None]).sum() / known.sum()
    if taught is None or not teach:
        return pinball
    wish = torch.tensor(taught - offset, dtype=torch.float32)
    return pinball + teach * ((guess[..., MIDDLE] - wish) ** 2).mean()


def forecaster(net):
    """A function as forecast.py has them, for scores during training."""

    def forecast(windows, horizon):
        offset, divisor = model_file.scale(windows, SCALING)
        scaled = (windows - offset) / divisor
        found = []
        with torch.no_grad():
            for part in np.array_split(scaled, max(1, len(scaled) // 512)):
                found.append(net(torch.tensor(part.T, dtype=torch.float32))[:, :horizon, MIDDLE].numpy())
        return np.concatenate(found) * divisor + offset

    return forecast


def stage_of(part, step):
    """(points, windows) of a batch."""
    for share, points, batch in part.stages:
        if step <= share * part.steps:
            return points, batch
        step -= share * part.steps
    return part.stages[-1][1:]


def rate_of(part, step):
    """What the rate of learning is multiplied by: warm up, hold, then half a cosine to 0."""
    hold = part.hold * part.steps
    fall = max(0.0, (step - hold) / (part.steps - hold))
    return min(1.0, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * min(1.0, fall))) + 1e-3


def run_part(net, part, windows, series, log):
    """Leaves net with the weights of the least error on the validation months of series (ETTh1)."""
    adam = torch.optim.Adam(net.parameters(), lr=part.rate)
    course = torch.optim.lr_scheduler.LambdaLR(adam, lambda n: rate_of(part, n))
    best, kept, running = np.inf, None, []
    every = min(140, max(10, part.steps // 10))
    longest = part.stages[-1][1]
    for step in range(1, part.steps + 1):
        points, batch = stage_of(part, step)
        loss = loss_of(net, windows.draw(points, batch), teach=2.0 if step < 0.8 * part.steps else 1.0)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        course.step()
        running.append(loss.item())
        if step % every and step != part.steps:
            continue
        valid = scores.benchmark(
            forecaster(net), series, longest, ETT_TRAIN, ETT_VALID, horizons=(24, 96, 192), stride=12
        )
        mean = float(np.mean([s["mse"] for s in valid.values()]))
        if mean < best:
            best, kept = mean, {k: v.detach().clone() for k, v in net.state_dict().items()}
        log(f"lstm: step {step} of {part.steps}, loss {np.mean(running):.4f}, validation mse "
            + " ".join(f"{h}: {s['mse']:.4f}" for h, s in valid.items()) + (" kept" if mean == best else ""))
        running = []
    net.load_state_dict(kept)


def fit(series, groups, teacher, seed, first, folder, log):
    """{tensor: array}. folder keeps a checkpoint after each part; begins with part `first` (from 1) by the one before."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    net = Net()
    for number, part in enumerate(PARTS, 1):
        checkpoint = os.path.join(folder, f"lstm-{number}.pt")
        if number < first:
            net.load_state_dict(torch.load(checkpoint))
            continue
        log(f"lstm: part {number}, {part.steps} steps")
        run_part(net, part, Windows(groups, teacher, seed + number - 1), series, log)
        torch.save(net.state_dict(), checkpoint)
    return {k: v.numpy() for k, v in net.state_dict().items()}


METADATA = {
    "format": 1, "kind": "lstm", "name": "lstm_timeseries", "version": "1", "lookback": LOOKBACK,
    "min_points": MIN_POINTS, "horizon": HORIZON, "quantiles": list(QUANTILES), "scaling": SCALING, "inputs": 1,
    "hidden": HIDDEN, "layers": LAYERS, "bidirectional": False, "projection": 0, "period": 24,
}
