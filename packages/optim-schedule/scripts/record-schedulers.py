#!/usr/bin/env python3
"""Records what PyTorch's schedulers do, for test/torch.test.ts.

    python3 scripts/record-schedulers.py > test/torch-schedulers.json

Needs PyTorch and nothing else (Debian: apt-get install python3-torch). Each case has one parameter group with a learning rate of 0.3;
row k is the learning rate after k calls of step(). `measures` are what ReduceLROnPlateau is told.
"""

import json
import random

import torch
from torch.optim import lr_scheduler

LR = 0.3
CASES = [
    ("ConstantLR", {"factor": 0.2, "total_iters": 4}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 9}),
    ("StepLR", {"step_size": 4, "gamma": 0.3}),
    ("MultiStepLR", {"milestones": [3, 8, 8, 15], "gamma": 0.4}),
    ("ExponentialLR", {"gamma": 0.85}),
    ("PolynomialLR", {"total_iters": 13, "power": 1.7}),
    ("CosineAnnealingLR", {"T_max": 8, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 21}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 21, "pct_start": 0.4, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 21, "three_phase": True, "div_factor": 10, "final_div_factor": 50}),
    ("ReduceLROnPlateau", {"factor": 0.5, "patience": 2}),
    ("ReduceLROnPlateau", {"mode": "max", "factor": 0.3, "patience": 0, "cooldown": 3, "min_lr": 0.004}),
    ("ReduceLROnPlateau", {"factor": 0.7, "patience": 1, "threshold": 0.2, "threshold_mode": "abs"}),
]


def record(index, name, args):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler = getattr(lr_scheduler, name)(optimizer, **args)
    source = random.Random(index)
    measures = [round(source.uniform(0, 2), 2) for _ in range(40)]
    steps = measures if name == "ReduceLROnPlateau" else [None] * 20
    rows = [optimizer.param_groups[0]["lr"]]
    for measure in steps:
        optimizer.step()
        scheduler.step(*([] if measure is None else [measure]))
        rows.append(optimizer.param_groups[0]["lr"])
    told = {"measures": measures} if name == "ReduceLROnPlateau" else {}
    return {"type": name, "args": args, **told, "rows": rows}


cases = [record(index, name, args) for index, (name, args) in enumerate(CASES)]
print('{ "torch": %s, "lr": %s, "cases": [' % (json.dumps(torch.__version__), LR))
print(",\n".join(json.dumps(case) for case in cases))
print("] }")
