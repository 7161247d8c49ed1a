"""Reports that lie in folders: one report, all of a clone, or those of the work tree."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePosixPath

from dvc.scm import NoSCM

from notebook_pipeline.comparison.sides import SHORT, Report, Side
from notebook_pipeline.errors import OutputsError
from notebook_pipeline.project import project_of
from notebook_pipeline.stages.outputs import REPORT
from notebook_pipeline.stages.provenance import read_provenance, read_run
from notebook_pipeline.stages.states import open_repo, stages_of


def folder_side(text: str, root: Path) -> Side | None:
    """Return the report in a folder, or all of a folder of reports or a clone; None without any."""
    path = Path(text).expanduser()
    if (path / REPORT).is_file():
        return _one_report(path.resolve(), root)
    for folder in (path / "reports", path):
        if any(folder.glob(f"*/{REPORT}")):
            if folder.resolve() == (root / "reports").resolve():
                return work_tree(root)
            return _all_reports(folder.resolve())
    return None


def work_tree(root: Path) -> Side:
    """Return the reports as they lie in the repository, with DVC's digests of what lies there.

    Raises:
        OutputsError: if there are none.
    """
    names = sorted(path.parent.name for path in (root / "reports").glob(f"*/{REPORT}"))
    if not names:
        raise OutputsError(
            f"there is no report in {root / 'reports'}; `dvc pull` or `{project_of(root).command} "
            "repro` brings them"
        )
    digests = {name: dict.fromkeys(_outputs_in(root / "reports" / name), "") for name in names}
    with open_repo(root) as repo:
        commit = "" if isinstance(repo.scm, NoSCM) else repo.get_rev()
        for out in (out for stage in stages_of(repo) for out in stage.outs):
            name, output, is_whole = report_and_output(out.def_path)
            if is_whole and output in digests.get(name, ()) and out.exists:
                digests[name][output] = out.get_hash().value
    reports = {n: Report(n, kept, root / "reports" / n) for n, kept in digests.items()}
    identity = str((root / "reports").resolve())
    return Side("work tree", "work tree at this commit", commit[:SHORT], reports, identity)


def report_and_output(path: str) -> tuple[str, str, bool]:
    """Split the path of a stage's output into the names of a report and of an output in it.

    Returns:
        Both names, empty where it is no output of a report, and whether it is the whole of the
        output, not a file deeper in it.
    """
    parts = PurePosixPath(path).parts
    if len(parts) < 3 or parts[0] != "reports":
        return "", "", False
    return parts[1], parts[2], len(parts) == 3


def _one_report(folder: Path, root: Path) -> Side:
    if folder.is_relative_to(root.resolve()):
        label = folder.relative_to(root.resolve()).as_posix()
    else:  # where clones lie is no matter of the page
        *_, clone, above, name = ("", *folder.parts)
        label = f"{above}/{name} of {clone}" if clone else f"{above}/{name}"
    report = Report(folder.name, dict.fromkeys(_outputs_in(folder), ""), folder)
    reports = {folder.name: report}
    return Side(label, "report folder", _commit_of(folder), reports, str(folder), is_single=True)


def _all_reports(folder: Path) -> Side:
    """Return all reports in a folder of them, called by the clone that they lie in."""
    found = sorted(path.parent for path in folder.glob(f"*/{REPORT}"))
    reports = {p.name: Report(p.name, dict.fromkeys(_outputs_in(p), ""), p) for p in found}
    label = folder.parent.name if folder.name == "reports" else folder.name
    return Side(label, "folder of reports", "", reports, str(folder))


def _outputs_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))


def _commit_of(folder: Path) -> str:
    """Return the commit that a report's own record tells of; empty if the record is of another."""
    with suppress(ValueError, KeyError):  # of a file that can't be read, as the page will say
        record, made = read_run(folder), read_provenance(folder) or {}
        if record and record["key"] == made.get("key"):
            return str(record["commit"])[:SHORT]
    return ""
