"""Moves the state of PyTorch optimizers to and from @mm/optim-checkpoint. Needs PyTorch and NumPy, and no package for safetensors.

    names = [name for name, _ in model.named_parameters()]            # in the order in which the optimizer got them
    export_state("adam.safetensors", optimizer.state_dict(), names)    # then, in TypeScript: decodeTorchState(file, optim)
    optimizer.load_state_dict(import_state("back.safetensors", optimizer.state_dict(), names))    # from encodeTorchState(state)

The `optimizer` entry of an MMEngine checkpoint goes the same way. Of an OptimWrapperDict, `names` are by wrapper:

    state = torch.load("epoch_1.pth", map_location="cpu")["optimizer"]
    names = {part: [name for name, _ in getattr(model, part).named_parameters()] for part in state}
    export_state("gan.safetensors", state, names)

In the file a slot is a tensor `NAME:SLOT`, in a dict `WRAPPER:NAME:SLOT`, and all else is JSON under "torch-optimizer" in the metadata.
"""

import copy
import json
import struct

import numpy
import torch


def export_state(path, state, names):
    """Writes a state dict. `names` are those of the parameters, in the order of the optimizer; of a dict of states, by wrapper."""
    tensors, described = {}, {}
    for wrapper, part, order in parts_of(state, names):
        for index, slots in part["state"].items():
            for slot, value in slots.items():
                if value is not None:  # SGD without momentum keeps a None
                    tensors[key_of(wrapper, order[index], slot)] = array(value)
        groups = [{**group, "params": [order[index] for index in group["params"]]} for group in part["param_groups"]]
        more = {key: part[key] for key in ("base_param_settings", "loss_scaler") if part.get(key)}
        described[wrapper] = {"param_groups": groups, **more}
    text = json.dumps(described.get(None, described), default=lambda value: value.tolist())
    write(path, tensors, {"torch-optimizer": text})


def import_state(path, state, names):
    """The state dict that a file holds. `state` is that of the optimizer which will load it, for the options that only PyTorch has."""
    tensors, metadata = read(path)
    described = json.loads(metadata["torch-optimizer"])
    state = copy.deepcopy(state)
    for wrapper, part, order in parts_of(state, names):
        saved = described if wrapper is None else described[wrapper]
        here = [[order[index] for index in group["params"]] for group in part["param_groups"]]
        there = [group["params"] for group in saved["param_groups"]]
        if here != there:
            raise ValueError(f"groups of parameters differ: {there} in the file, {here} here")
        part["state"] = {}
        for index, name in enumerate(order):
            start = key_of(wrapper, name, "")
            slots = {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}
            if slots:
                part["state"][index] = slots
        for group, options in zip(part["param_groups"], saved["param_groups"]):
            group.update(options_of(options))
        for key in ("base_param_settings", "loss_scaler"):
            if part.get(key) and key in saved:
                part[key].update(options_of(saved[key]))
    return state


def parts_of(state, names):
    """The states in it: (name of the wrapper or None, state, names of its parameters)."""
    if "param_groups" in state:
        return [(None, state, names)]
    return [(wrapper, state[wrapper], names[wrapper]) for wrapper in state]


def options_of(group):
    options = {key: value for key, value in group.items() if key != "params"}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def key_of(wrapper, name, slot):
    return ":".join(escape(part) for part in (wrapper, name, slot) if part is not None)


def escape(name):
    return name.replace("%", "%25").replace(":", "%3A")


def array(value):
    """float32, but for numbers of Python, which are float64."""
    if isinstance(value, torch.Tensor):
        return value.detach().float().cpu().numpy()
    return numpy.array(value, dtype=numpy.float64)


def write(path, tensors, metadata):
    """A safetensors file: the length of the header, the header in JSON, the tensors one after the other."""
    header, end = {"__metadata__": metadata}, 0
    for key, value in tensors.items():
        begin, end = end, end + value.nbytes
        dtype = {"float32": "F32", "float64": "F64"}[str(value.dtype)]
        header[key] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            file.write(numpy.ascontiguousarray(value).tobytes())


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    dtypes = {"F32": numpy.float32, "F64": numpy.float64}
    tensors = {}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        value = numpy.frombuffer(data[begin:end], dtypes[entry["dtype"]]).reshape(entry["shape"])
        tensors[key] = torch.tensor(value)
    return tensors, metadata
