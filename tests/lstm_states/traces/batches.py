"""Made-up traces in batches; run as a program, it writes them in a process that can be killed."""

import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import xarray as xr

from lstm_states.store.store import open_traces
from lstm_states.store.writer import TraceWriter, datasets_of

LAYERS = ["lstm", "shared/call_0", "encoder/lstm"]
ATTRS = {"model": "made up", "layers": LAYERS}
RECORDING = {"weights": "aa", "layers": ["lstm"]}


def batch(start, stop):
    """Return the traces of samples ``start`` to ``stop``, 6 steps and 3 units each."""
    nodes = {"/": xr.Dataset({"outputs": (("sample", "outputs_0"), numbers(start, stop, 2))})}
    for index, layer in enumerate(LAYERS):
        values = numbers(start, stop, 6, 3) + np.float32(index)
        node = xr.Dataset({"mask": (("sample", "time"), values[:, :, 0] > index)})
        for name in ("hidden", "cell"):
            node[name] = ("sample", "time", "unit"), values, {"long_name": name}
        node["initial_cell"] = ("sample", "unit"), values[:, 0]
        errors = numbers(start, stop) + index + 1
        nodes[layer] = node.assign_attrs(units=3, layer_output_error=float(errors.max()))
    nodes["/"].attrs = ATTRS
    return xr.DataTree.from_dict(nodes)


def numbers(start, stop, *sizes):
    """Return float32 noise that depends on the number of the sample and not on the batch."""
    rows = [np.random.default_rng(sample).normal(size=sizes) for sample in range(start, stop)]
    return np.array(rows, "float32")


def batches(sizes, start=0):
    """Yield batches of ``sizes``; those before sample ``start`` are left out or cut."""
    edges = np.cumsum([0, *sizes]).tolist()
    for left, right in pairwise([start, *(edge for edge in edges if edge > start)]):
        yield batch(left, right)


def whole(sizes):
    """Join the batches of ``sizes`` without a store."""
    trees = list(batches(sizes))
    nodes = {}
    for path in [node.path for node in trees[0].subtree]:
        parts = [tree[path].to_dataset() for tree in trees]
        nodes[path] = xr.concat(parts, "sample", combine_attrs="override") if parts[0] else parts[0]
        if "units" in nodes[path].attrs:
            error = max(part.attrs["layer_output_error"] for part in parts)
            nodes[path].attrs["layer_output_error"] = error
    return xr.DataTree.from_dict(nodes)


def write(store, sizes, pause=0.0):
    """Write batches of ``sizes`` to ``store``, or what is missing of them.

    With a ``pause`` after each, say how many samples there are: then it can be killed.
    """
    writer = TraceWriter(store, recording=RECORDING)
    print(f"resumed at {writer.recorded}")
    for part in batches(sizes, writer.recorded):
        writer.append(datasets_of(part), {"before": writer.recorded})
        if pause:
            print(writer.recorded)
            time.sleep(pause)
    writer.finish(ATTRS)


def fill(folder, mount):
    """Write to a file system until it is full, then give it room with ``mount`` and go on."""
    store, sizes = f"{folder}/states.zarr", [500] * 4
    subprocess.run([*mount, "size=700k", "none", folder], check=True)
    try:
        write(store, sizes)
    except OSError as error:
        print(f"errno {error.errno}: {error}")
    subprocess.run([*mount, "remount,size=9m", "none", folder], check=True)
    write(store, sizes)
    xr.testing.assert_identical(open_traces(store).load(), whole(sizes))
    print("identical")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], [int(size) for size in sys.argv[3:]], pause=0.05)
    else:
        fill(sys.argv[2], ["mount", "-t", "tmpfs", "-o"])
