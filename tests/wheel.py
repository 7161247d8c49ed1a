"""Wheels of a few lines, and what builds the small project of test_setup.py."""

import tomllib
from pathlib import Path
from zipfile import ZipFile


def build_editable(folder, *_):
    """The hook of PEP 660 that `pip install --editable .` calls in the project's folder."""
    here = Path.cwd()
    project = tomllib.loads((here / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = here / "src" if (here / "src").is_dir() else here
    scripts = [f"{command} = {call}\n" for command, call in project.get("scripts", {}).items()]
    entry_points = "[console_scripts]\n" + "".join(scripts)
    name = project["name"]
    return write_wheel(folder, name, {f"{name}.pth": str(code)}, entry_points).name


def write_wheel(folder, name, files, entry_points=""):
    """Write a wheel that holds ``files``, text by name, and return its path."""
    about = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": entry_points,
        "RECORD": "",
    }
    wheel = Path(folder) / f"{name}-1-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for place, text in files.items():
            archive.writestr(place, text)
        for place, text in about.items():
            archive.writestr(f"{name}-1.dist-info/{place}", text)
    return wheel
