#!/usr/bin/env python3
"""Records what PyTorch's schedulers do, for test/torch.test.ts.

    python3 scripts/record-schedulers.py > test/torch-schedulers.json

Needs PyTorch and nothing else (Debian: apt-get install python3-torch). Each case has one parameter group with a learning rate of 0.3 and a
momentum of 0.9; row k is the learning rate after k calls of step(), or, where `of` is "momentum", the momentum. `measures` are what
ReduceLROnPlateau is told. SequentialLR has its schedulers as pairs of a name and arguments.
"""

import json
import random

import torch
from torch.optim import lr_scheduler

LR = 0.3
MOMENTUM = 0.9
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
    ("CyclicLR", {"base_lr": 0.06, "max_lr": 0.3, "step_size_up": 4}),
    ("CyclicLR", {"base_lr": 0.06, "max_lr": 0.3, "step_size_up": 3, "step_size_down": 5, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.03, "max_lr": 0.3, "step_size_up": 2, "step_size_down": 4, "mode": "exp_range", "gamma": 0.93}),
    ("SequentialLR", {"schedulers": [("LinearLR", {"start_factor": 0.2, "total_iters": 5}), ("CosineAnnealingLR", {"T_max": 12, "eta_min": 0.02})], "milestones": [5]}),
    # The first has come down to a quarter when the second begins anew, at 0.3 again.
    ("SequentialLR", {"schedulers": [("StepLR", {"step_size": 3, "gamma": 0.5}), ("ExponentialLR", {"gamma": 0.8})], "milestones": [8]}),
    ("SequentialLR", {"schedulers": [("LinearLR", {"start_factor": 0.25, "total_iters": 4}), ("ConstantLR", {"factor": 1.0, "total_iters": 1}), ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 6})], "milestones": [4, 11]}),
]
# OneCycleLR's other half.
MOMENTUM_CASES = [
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 21}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 21, "pct_start": 0.4, "anneal_strategy": "linear", "base_momentum": 0.7, "max_momentum": 0.9}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 21, "three_phase": True}),
]


def make(optimizer, name, args):
    if name == "SequentialLR":
        parts = [make(optimizer, *part) for part in args["schedulers"]]
        return lr_scheduler.SequentialLR(optimizer, parts, args["milestones"])
    more = {"cycle_momentum": False} if name == "CyclicLR" else {}
    return getattr(lr_scheduler, name)(optimizer, **args, **more)


def record(index, name, args, of="lr"):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR, momentum=MOMENTUM)
    scheduler = make(optimizer, name, args)
    source = random.Random(index)
    measures = [round(source.uniform(0, 2), 2) for _ in range(40)]
    steps = measures if name == "ReduceLROnPlateau" else [None] * 20
    rows = [optimizer.param_groups[0][of]]
    for measure in steps:
        optimizer.step()
        scheduler.step(*([] if measure is None else [measure]))
        rows.append(optimizer.param_groups[0][of])
    told = {"measures": measures} if name == "ReduceLROnPlateau" else {}
    which = {} if of == "lr" else {"of": of}
    return {"type": name, "args": args, **which, **told, "rows": rows}


cases = [record(index, name, args) for index, (name, args) in enumerate(CASES)]
cases += [record(index, name, args, "momentum") for index, (name, args) in enumerate(MOMENTUM_CASES)]
print('{ "torch": %s, "lr": %s, "momentum": %s, "cases": [' % (json.dumps(torch.__version__), LR, MOMENTUM))
print(",\n".join(json.dumps(case) for case in cases))
print("] }")
