"""The LSTM: raw points one a step, window scaled by its own last value and deviation, a head for 192 steps x quantiles.

Trained on windows of random series and length with the pinball loss at 0.1, 0.5 and 0.9, in z-scored units (a window's
loss times its deviation), and, against the noise of what is forecast, with the squared distance of the median from the
closed-form NLinear's forecast where that one has its 336 points (a teacher: Hinton et al., "Distilling the Knowledge in
a Neural Network", 2015). The weights kept are those with the least mean squared error on the validation months.
"""

import numpy as np
import torch

import model_file
import scores
from data import ETT_TRAIN, ETT_VALID

LOOKBACK, HORIZON, QUANTILES, MIN_POINTS = 168, 192, (0.1, 0.5, 0.9), 8
HIDDEN, LAYERS, BATCH, SCALING = 64, 2, 256, "standard"
MIDDLE = QUANTILES.index(0.5)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(1, HIDDEN, LAYERS)  # time first: quicker
        self.head = torch.nn.Linear(HIDDEN, HORIZON * len(QUANTILES))
        with torch.no_grad():
            # Forget gates that remember from 1 to LOOKBACK steps (Tallec & Ollivier, "Can recurrent neural networks warp
            # time?", 2018), and a first forecast near the last value.
            for layer in range(LAYERS):
                getattr(self.rnn, f"bias_hh_l{layer}").zero_()
                bias = getattr(self.rnn, f"bias_ih_l{layer}")
                bias.zero_()
                memory = torch.log(1 + torch.rand(HIDDEN) * (LOOKBACK - 2))
                bias[:HIDDEN] = -memory
                bias[HIDDEN : 2 * HIDDEN] = memory
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def forward(self, x, at):
        """x [time][n], scaled -> what follows each step of at: [n][len(at)][horizon][quantiles], scaled."""
        out, _ = self.rnn(x[:, :, None])
        return self.head(out[at].transpose(0, 1)).view(x.shape[1], len(at), HORIZON, len(QUANTILES))


class Windows:
    """Draws batches from the parts for training of groups of series."""

    def __init__(self, groups, teacher, seed):
        self.groups, self.teacher = groups, teacher  # [(share, values [series][points])]; [336][192], for groups[0]
        self.random = np.random.default_rng(seed)

    def draw(self, places):
        """(x [n][points], at [places], y [n][places][horizon], taught likewise or None), z-scored: what follows step
        at[i] of x is y[:, i], NaN past the end; the last of at is the window's last step."""
        r = self.random
        shares = np.array([share for share, _ in self.groups])
        which = r.choice(len(self.groups), p=shares / shares.sum())
        values = self.groups[which][1]
        longest = min(LOOKBACK, values.shape[1] // 2)
        points = longest if r.random() < 0.7 else int(r.integers(MIN_POINTS, longest + 1))
        first = min(24, points - 1)
        at = np.append(np.sort(r.integers(first, points, places - 1)), points - 1)

        row = r.integers(len(values), size=(BATCH, 1))
        most = values.shape[1] - min(HORIZON, values.shape[1] // 4)  # targets reach past the end a little
        taught = self.teacher is not None and which == 0
        behind = self.teacher.shape[0] - 1 if taught else 0
        end = r.integers(max(points, behind + points), most + 1, size=(BATCH, 1)) - 1
        x = values[row, end - points + 1 + np.arange(points)]
        now = (end - points + 1 + at)[:, :, None]
        ahead = now + 1 + np.arange(HORIZON)
        inside = ahead < values.shape[1]
        y = np.where(inside, values[row[:, :, None], np.minimum(ahead, values.shape[1] - 1)], np.nan)
        if not taught:
            return x, at, y, None
        past = values[row[:, :, None], now - behind + np.arange(behind + 1)]
        return x, at, y, (past - past[:, :, -1:]) @ self.teacher + past[:, :, -1:]


def loss_of(net, batch, teach):
    x, at, y, taught = batch
    offset, divisor = model_file.scale(x, SCALING)
    guess = net(torch.tensor(((x - offset) / divisor).T, dtype=torch.float32), at)
    guess = guess * torch.tensor(divisor, dtype=torch.float32)[:, :, None, None]
    target = torch.tensor(y - offset[:, :, None], dtype=torch.float32)
    known = ~torch.isnan(target)
    error = torch.where(known, target, torch.zeros(()))[..., None] - guess
    q = torch.tensor(QUANTILES)
    pinball = (torch.maximum(q * error, (q - 1) * error) * known[..., None]).sum() / known.sum()
    if taught is None or not teach:
        return pinball
    wish = torch.tensor(taught - offset[:, :, None], dtype=torch.float32)
    return pinball + teach * ((guess[..., MIDDLE] - wish) ** 2).mean()


def forecaster(net):
    """A function as forecast.py has them, for scores during training."""

    def forecast(windows, horizon):
        offset, divisor = model_file.scale(windows, SCALING)
        scaled = (windows - offset) / divisor
        found = []
        with torch.no_grad():
            for part in np.array_split(scaled, max(1, len(scaled) // 512)):
                found.append(net(torch.tensor(part.T, dtype=torch.float32), [-1])[:, 0, :horizon, MIDDLE].numpy())
        return np.concatenate(found) * divisor + offset

    return forecast


def fit(series, groups, teacher, steps, seed, log, checkpoint):
    """{tensor: array} with the least error on the validation months of series (ETTh1)."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    net = Net()
    windows = Windows(groups, teacher, seed)
    rate, warm = 4e-3, 50
    adam = torch.optim.Adam(net.parameters(), lr=rate)
    course = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda n: min(1, (n + 1) / warm) * (0.5 + 0.5 * np.cos(np.pi * min(1, n / steps))) + 1e-3
    )
    best, kept, running = np.inf, None, []
    every = max(25, steps // 20)
    for step in range(1, steps + 1):
        late = step > steps * 0.75
        loss = loss_of(net, windows.draw(places=1 if late else 16), teach=0.5 if step < steps * 0.9 else 0.1)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        course.step()
        running.append(loss.item())
        if step % every and step != steps:
            continue
        valid = scores.benchmark(
            forecaster(net), series, LOOKBACK, ETT_TRAIN, ETT_VALID, horizons=(24, 96, 192), stride=12
        )
        mean = float(np.mean([s["mse"] for s in valid.values()]))
        if mean < best:
            best = mean
            kept = {k: v.detach().clone().numpy() for k, v in net.state_dict().items()}
            torch.save(net.state_dict(), checkpoint)
        log(f"lstm: step {step} of {steps}, loss {np.mean(running):.4f}, validation mse "
            + " ".join(f"{h}: {s['mse']:.4f}" for h, s in valid.items()) + (" kept" if mean == best else ""))
        running = []
    return kept


METADATA = {
    "format": 1, "kind": "lstm", "name": "lstm_timeseries", "version": "1", "lookback": LOOKBACK,
    "min_points": MIN_POINTS, "horizon": HORIZON, "quantiles": list(QUANTILES), "scaling": SCALING, "inputs": 1,
    "hidden": HIDDEN, "layers": LAYERS, "bidirectional": False, "projection": 0, "period": 24,
}
