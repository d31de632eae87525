"""What PyTorch does on its side of a round trip: python3 round_trip.py SPEC.json.

SPEC has "cases" with initial values, gradients of every step and files to write to; see torch.test.ts, which writes it. Prints JSON.
"""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "python"))
from optim_state import array, export_state, import_state, read


def floats(tensor):
    """float32 as float64, which JSON keeps to the bit."""
    return tensor.detach().reshape(-1).double().tolist()


def plain(state):
    """The slots by parameter, in order."""
    return [
        {slot: array(value).reshape(-1).tolist() for slot, value in slots.items() if value is not None}
        for _, slots in sorted(state["state"].items())
    ]


def build(case):
    parameters = {
        name: torch.nn.Parameter(torch.tensor(data, dtype=torch.float32).reshape(case["shapes"][name]))
        for name, data in case["initial"].items()
    }
    groups = [{"params": [parameters[name] for name in group["params"]], **group["options"]} for group in case["groups"]]
    return parameters, getattr(torch.optim, case["type"])(groups, **case["args"])


def train(case, parameters, optimizer, begin, end):
    for gradients in case["gradients"][begin:end]:
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(gradients[name], dtype=torch.float32).reshape(parameter.shape)
        optimizer.step()
    return {name: floats(parameter) for name, parameter in parameters.items()}


def there(case):
    """Trains, exports in the middle, trains on."""
    parameters, optimizer = build(case)
    middle = train(case, parameters, optimizer, 0, 3)
    export_state(case["there"], optimizer.state_dict(), list(parameters))
    state = plain(optimizer.state_dict())
    return {"middle": middle, "state": state, "end": train(case, parameters, optimizer, 3, 6)}


def back(case):
    """Takes over what was trained elsewhere, and trains on."""
    parameters, optimizer = build(case)
    for name, data in case["values"].items():
        parameters[name].data.copy_(torch.tensor(data, dtype=torch.float32).reshape(parameters[name].shape))
    optimizer.load_state_dict(import_state(case["back"], optimizer.state_dict(), list(parameters)))
    state = optimizer.state_dict()
    result = {"state": plain(state), "options": [{**group, "params": None} for group in state["param_groups"]]}
    return {**result, "end": train(case, parameters, optimizer, 6, 9)}


def mmengine(case):
    """An OptimWrapperDict's state as MMEngine saves it: states by name, with what its wrappers add."""
    parameters, adam = build(case["generator"])
    train(case["generator"], parameters, adam, 0, 3)
    parameters, sgd = build(case["discriminator"])
    train(case["discriminator"], parameters, sgd, 0, 3)
    settings = {"params": torch.tensor([0.0]), "lr": 0.7, "momentum": 0.5, "dampening": 0, "weight_decay": 0, "nesterov": False}
    scaler = {"scale": 1024.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 6}
    state = {
        "generator": adam.state_dict(),
        "discriminator": {**sgd.state_dict(), "base_param_settings": settings, "loss_scaler": scaler},
    }
    names = {name: list(case[name]["initial"]) for name in state}
    if "there" in case:
        export_state(case["there"], state, names)
        return {name: plain(part) for name, part in state.items()}
    taken = import_state(case["back"], state, names)
    assert torch.equal(taken["discriminator"]["base_param_settings"].pop("params"), torch.tensor([0.0]))
    more = {key: taken["discriminator"][key] for key in ("base_param_settings", "loss_scaler")}
    adam.load_state_dict(taken["generator"])
    return {**{name: plain(part) for name, part in taken.items()}, "more": more, "lr": adam.param_groups[0]["lr"]}


def documented(case):
    """The lines that the documentation shows."""
    page = (Path(__file__).parents[4] / "docs" / "checkpoints.md").read_text()
    lines = {}
    exec(page.split("```py\n")[1].split("```")[0], lines)
    parameters, optimizer = build(case)
    train(case, parameters, optimizer, 0, 3)
    names = [name.replace("%", "").replace(":", "") for name in parameters]
    lines["export_state"](case["short"], optimizer.state_dict(), names)
    export_state(case["long"], optimizer.state_dict(), names)
    return names


def checkpoint(case):
    """All tensors of a checkpoint, and its metadata."""
    tensors, metadata = read(case["file"])
    shapes = {key: list(value.shape) for key, value in tensors.items()}
    return {"tensors": {key: floats(value) for key, value in tensors.items()}, "shapes": shapes, "metadata": metadata}


if __name__ == "__main__":
    torch.set_num_threads(1)
    kinds = {"there": there, "back": back, "mmengine": mmengine, "documented": documented, "checkpoint": checkpoint}
    spec = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps([kinds[case["kind"]](case) for case in spec], default=lambda value: value.tolist()))
