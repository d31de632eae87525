#!/usr/bin/env python3
"""Records trajectories of PyTorch optimizers, in the format that golden/README.md describes (kind "optimizer").

    python3 scripts/record-golden.py SPEC.json OUT.json [--seed N]

Needs PyTorch and nothing else (Debian: apt-get install python3-torch). SPEC.json is a list of cases:

    [
      { "name": "adam/plain", "type": "Adam", "args": { "lr": 0.01 } },
      {
        "name": "lion/two_groups",
        "type": "lion_pytorch:Lion",
        "args": { "lr": 0.001 },
        "options": [{}, { "lr": 0.002, "weight_decay": 0.1 }],
        "steps": 12,
        "gradientScale": 0.001,
        "none": { "3": ["w1"], "4": ["w1", "b2"] },
        "zero": { "6": ["b1"] },
        "set": { "5": [{ "group": 0, "lr": 0.01 }] },
        "checkpoint": { "beforeStep": 8, "freshArgs": { "lr": 0.5 } }
      }
    ]

type            a class of torch.optim, or "module:Class"
args            its keyword arguments; what is left out is at its default
options         what the two parameter groups (w1, b1 and w2, b2) override; default: nothing
steps           how many; default 20
gradientScale   gradients are drawn from a normal distribution with this deviation; default 1
none, zero      by step: parameters without a gradient, and with one of zeros
set             by step: what is assigned to a group before it
checkpoint      before that step the state is saved, and a new optimizer made with freshArgs loads it

Initial values and gradients follow from the seed and the name alone, so that a case is the same whatever else is in the file. A case
that PyTorch itself cannot compute in float32 to a good part of what is allowed is refused: take another seed.
"""

import argparse
import copy
import importlib
import json
import math
import random

import numpy
import torch

SHAPES = {"w1": (3, 2), "b1": (3,), "w2": (2, 2), "b2": (1,)}
GROUPS = [["w1", "b1"], ["w2", "b2"]]


def number(value):
    """A float32 as the shortest decimal that rounds back to it."""
    value = numpy.float32(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    short = float(str(value))
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def numbers(tensor):
    return [number(value) for value in tensor.detach().reshape(-1).tolist()]


def plain(value):
    """A value of a state dict as JSON."""
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).replace("torch.", "")
        return {"tensor": numbers(value), "shape": list(value.shape), "dtype": kind}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def optimizer_class(name):
    module, _, attribute = name.rpartition(":")
    return getattr(importlib.import_module(module or "torch.optim"), attribute or name)


def draw(spec, seed):
    """Initial values, and the gradients of every step."""
    source = random.Random(f"{seed} {spec['name']}")

    def normal(name, deviation):
        size = math.prod(SHAPES[name])
        return [number(source.gauss(0, deviation)) for _ in range(size)]

    init = {name: normal(name, 1) for name in SHAPES}
    steps = []
    for step in range(spec.get("steps", 20)):
        gradients = {name: normal(name, spec.get("gradientScale", 1)) for name in SHAPES}
        for name in spec.get("zero", {}).get(str(step), []):
            gradients[name] = [0] * len(gradients[name])
        for name in spec.get("none", {}).get(str(step), []):
            gradients[name] = None
        steps.append(gradients)
    return init, steps


def run(spec, init, gradients, dtype):
    """Every step's parameters, the final state dict, and the one of the checkpoint."""

    def tensor(name, data):
        # Through float32 first, so that both precisions start from the same numbers.
        return torch.tensor([float(value) for value in data], dtype=torch.float32).to(dtype).reshape(SHAPES[name])

    parameters = {name: torch.nn.Parameter(tensor(name, data)) for name, data in init.items()}
    options = spec.get("options", [{}, {}])
    make = optimizer_class(spec["type"])
    checkpoint = spec.get("checkpoint")
    saved = None

    def groups(extra):
        return [{"params": [parameters[name] for name in names], **more} for names, more in zip(GROUPS, extra)]

    optimizer = make(groups(options), **copy.deepcopy(spec.get("args", {})))
    trajectory = []
    for step, given in enumerate(gradients):
        if checkpoint and checkpoint["beforeStep"] == step:
            saved = copy.deepcopy(optimizer.state_dict())
            optimizer = make(groups([{}, {}]), **copy.deepcopy(checkpoint["freshArgs"]))
            optimizer.load_state_dict(copy.deepcopy(saved))
        for change in spec.get("set", {}).get(str(step), []):
            target = optimizer.param_groups[change["group"]]
            target.update({key: value for key, value in change.items() if key != "group"})
        for name, parameter in parameters.items():
            parameter.grad = None if given[name] is None else tensor(name, given[name])
        optimizer.step()
        trajectory.append({name: parameter.detach().clone() for name, parameter in parameters.items()})
    return trajectory, optimizer.state_dict(), saved


def refuse_ill_conditioned(name, final, exact):
    """State is compared relative to itself and to its largest element, so it may not be what is left of larger numbers."""
    for index, state in final["state"].items():
        for key, value in state.items():
            precise = exact["state"][index][key]
            if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.isfinite().all():
                continue
            allowed = 1e-5 * precise.abs() + 1e-6 * precise.abs().max()
            if ((value.double() - precise).abs() > 0.3 * allowed).any():
                raise SystemExit(f"{name}: {key} of parameter {index} is ill-conditioned in float32. Take another seed")


def record(spec, seed):
    init, gradients = draw(spec, seed)
    trajectory, final, saved = run(spec, init, gradients, torch.float32)
    exact, exact_final, _ = run(spec, init, gradients, torch.float64)
    refuse_ill_conditioned(spec["name"], final, exact_final)
    differences = [
        (after[name].double() - precise[name]).abs().max().item()
        for after, precise in zip(trajectory, exact)
        for name in SHAPES
    ]
    steps = []
    for step, (given, after) in enumerate(zip(gradients, trajectory)):
        changes = spec.get("set", {}).get(str(step))
        steps.append(
            {
                **({"set": changes} if changes else {}),
                "grads": given,
                "after": {name: numbers(value) for name, value in after.items()},
            }
        )
    case = {
        "name": spec["name"],
        "kind": "optimizer",
        "optimizer": {"type": spec["type"].rpartition(":")[2], "args": spec.get("args", {})},
        "groups": [
            {"params": names, "options": more} for names, more in zip(GROUPS, spec.get("options", [{}, {}]))
        ],
        "init": {name: {"shape": list(SHAPES[name]), "data": data} for name, data in init.items()},
        "steps": steps,
        "finalStateDict": plain(final),
        "maxAbsDiffVsFloat64": max(differences),
        "maxAbsParam": max(value.abs().max().item() for after in trajectory for value in after.values()),
    }
    if saved is not None:
        case["checkpoint"] = {**spec["checkpoint"], "stateDict": plain(saved)}
    if "note" in spec:
        case["note"] = spec["note"]
    return case


def main():
    parser = argparse.ArgumentParser(description="Records trajectories of PyTorch optimizers.")
    parser.add_argument("spec", help="a list of cases, JSON")
    parser.add_argument("out", help="the golden file to write")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with open(arguments.spec) as file:
        specs = json.load(file)
    meta = {"format": 1, "torch": torch.__version__, "seed": arguments.seed}
    cases = [json.dumps(record(spec, arguments.seed), separators=(",", ":"), allow_nan=False) for spec in specs]
    with open(arguments.out, "w") as file:
        file.write(f'{{ "meta": {json.dumps(meta)},\n  "cases": [\n' + ",\n".join(cases) + "\n] }\n")
    print(f"{len(cases)} cases written to {arguments.out}")


if __name__ == "__main__":
    main()
