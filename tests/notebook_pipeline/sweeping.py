"""A toy with a sweep: its section, its stages, and what came of it."""

import json
from pathlib import Path

import yaml

from tests.toy_clone import Toy

STAGES = """
  sweep:
    foreach: [{names}]
    do:
      cmd: python -m notebook_pipeline sweep ${{item}}
      deps: [data/numbers.csv, requirements.lock, src/toy/points.py]
      params: ["sweeps.${{item}}", walking]
      outs: ["reports/${{item}}/points.json"]

  sweep_page:
    foreach: [{names}]
    do:
      cmd: python -m notebook_pipeline sweep-page ${{item}}
      deps: ["reports/${{item}}/points.json"]
      outs: ["reports/${{item}}/sweep.html"]
"""

GRID = {"steps": [3, 7, 20], "factor": [1.0, 2.0]}
STEPS = {
    "question": "How far is far enough?",
    "of": "walking",
    "grid": GRID,
    "seeds": [0, 1, 2],
}


def add_sweeps(toy: Toy, **sweeps: dict) -> None:
    """Give a toy sweeps by name, and their stages."""
    set_sweeps(toy, **sweeps)
    path = toy.path / "dvc.yaml"
    text = path.read_text(encoding="utf-8") + STAGES.format(names=", ".join(sweeps))
    path.write_text(text, encoding="utf-8")
    toy.commit("sweeps")


def set_sweeps(toy: Toy, **sweeps: dict) -> None:
    """Write the section `sweeps` of a toy's params.yaml."""
    path = toy.path / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["walking"] = {"steps": 10, "factor": 1.0, "label": "a"}
    params["sweeps"] = {**params.get("sweeps", {}), **sweeps}
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def calls(toy: Toy) -> list[str]:
    """Return what the function of the points was called with, since the last time."""
    found = sorted((toy.path / "calls").glob("*"))
    for path in found:
        path.unlink()
    return [path.name.rpartition("-")[0] for path in found]


def table(toy: Toy, name: str) -> dict:
    """Return what a sweep has kept."""
    path = toy.path / "reports" / name / "points.json"
    return json.loads(path.read_text(encoding="utf-8"))


def files_of(toy: Toy, name: str) -> dict[str, bytes]:
    """Return table and page of a sweep, as far as they are there."""
    folder = Path(toy.path / "reports" / name)
    kept = (path for path in folder.glob("[!.]*") if path.name != "run.json")
    return {path.name: path.read_bytes() for path in kept}
