"""The command `lstm-states`: what the stages of dvc.yaml call."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lstm_states.config import (
    CONFIGURATIONS,
    TRIALS,
    ConfigError,
    load_params,
    near_or_all,
    project_root,
)
from lstm_states.errors import DataError, ExperimentError, LedgerError, ReproError, StoreError

EXPECTED = (ConfigError, DataError, ExperimentError, LedgerError, OSError, ReproError, StoreError)
"""Errors that say themselves what is wrong: no traceback is shown."""

# jsonschema, under nbformat, would import it and so build a grammar of addresses: more than a
# second at each start, for a check that no schema of notebooks asks for. None makes it go without.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 1 with a few lines on stderr if it failed."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options) or 0)
    except KeyboardInterrupt:
        print("lstm-states: interrupted", file=sys.stderr)
        return 130
    except EXPECTED as error:
        for line in (str(error), *getattr(error, "__notes__", ())):
            print(f"lstm-states: {line}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lstm-states", description="Run parts of the pipeline.")
    commands = parser.add_subparsers(required=True, metavar="command")
    prepare = commands.add_parser("prepare", help="obtain, check and process a data set")
    prepare.add_argument("dataset", help="a key of `datasets` in params.yaml")
    prepare.set_defaults(command=_prepare)
    run = commands.add_parser("run", help="run a notebook and write its report")
    run.add_argument("configuration", type=_configuration, help="such as stacked or memory")
    run.set_defaults(command=_run)
    compare = commands.add_parser("compare", help="write the index of all reports")
    compare.set_defaults(command=_compare)
    repro = commands.add_parser("repro", help="run all stages that have changed, side by side")
    repro.add_argument(
        "--jobs", type=_jobs, metavar="N", help="stages at a time; what the machine allows if left"
    )
    repro.set_defaults(command=_repro)
    claims = commands.add_parser("claims", help="decide every claim by its rule")
    claims.set_defaults(command=_claims)
    record = commands.add_parser("record", help="make the runs that MLflow lacks, from the outputs")
    record.set_defaults(command=_record)
    status = commands.add_parser("status", help="compare dvc.lock, MLflow and the reports")
    status.set_defaults(command=_status)
    origin = commands.add_parser("origin", help="say which run made a figure or another output")
    origin.add_argument("file", type=Path)
    origin.set_defaults(command=_origin)
    debug = commands.add_parser("debug", help="open a failed run's notebook at its failing cell")
    debug.add_argument("configuration", type=_configuration, help="such as stacked or memory")
    debug.add_argument("jupyter", nargs=argparse.REMAINDER, help="options for jupyter lab")
    debug.set_defaults(command=_debug)
    verify = commands.add_parser("verify", help="run from nothing in a clone, compare every byte")
    verify.add_argument(
        "configuration", nargs="*", type=_configuration, help="the whole pipeline if none is named"
    )
    verify.set_defaults(command=_verify)
    return parser


def _configuration(name: str) -> str:
    known = (*CONFIGURATIONS, *TRIALS)
    if name not in known:
        raise argparse.ArgumentTypeError(f"{name!r} is none; {near_or_all(name, known)}")
    return name


def _checked_root() -> Path:
    """Return the repository, its params.yaml checked: DVC would say less of what is wrong there."""
    root = project_root()
    load_params(root / "params.yaml")
    return root


def _prepare(options: argparse.Namespace) -> None:
    from lstm_states.datasets import prepare_dataset

    root = project_root()
    datasets = load_params(root / "params.yaml").datasets
    if options.dataset not in datasets:
        hint = near_or_all(options.dataset, datasets)
        raise ConfigError(f"no data set {options.dataset!r} in params.yaml; {hint}")
    path = prepare_dataset(options.dataset, datasets[options.dataset], root)
    print(f"wrote {path.relative_to(root)}")


def _run(options: argparse.Namespace) -> None:
    from lstm_states.pipeline.signals import end_with_dvc

    end_with_dvc()  # before the imports, which take seconds
    from lstm_states.pipeline.runner import run_experiment

    root = project_root()
    report = run_experiment(options.configuration, root)
    print(f"wrote {report.relative_to(root)}/report.html")


def _compare(_: argparse.Namespace) -> None:
    from lstm_states.pipeline.compare import write_index

    root = project_root()
    print(f"wrote {write_index(root).relative_to(root)}")


def _claims(_: argparse.Namespace) -> None:
    from lstm_states.pipeline.ledger import write_claims

    root = project_root()
    print(f"wrote {write_claims(root).relative_to(root)}")


def _record(_: argparse.Namespace) -> None:
    from lstm_states.pipeline.backfill import record_missing_runs

    for stage in record_missing_runs(_checked_root()):
        print(f"made the run of {stage} from its outputs")


def _status(_: argparse.Namespace) -> int:
    from lstm_states.pipeline.status import check_pipeline

    status = check_pipeline(_checked_root())
    problems = [f"{stage.stage}: {told}" for stage in status.stages for told in stage.problems]
    for stage in status.stages:
        what = "see below" if stage.problems else stage.run or "as dvc.lock tells"
        print(f"{stage.stage:34} {what}")
    counts = ", ".join(f"{count} {kind}" for kind, count in status.counts.items())
    print(f"runs in MLflow: {counts or 'none'}")
    problems += status.orphans
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


def _origin(options: argparse.Namespace) -> None:
    import yaml

    from lstm_states.pipeline.status import origin_of

    origin = origin_of(options.file, project_root())
    print(yaml.safe_dump(origin, sort_keys=False, allow_unicode=True), end="")


def _debug(options: argparse.Namespace) -> None:
    from lstm_states.pipeline.debugging import debug_command

    command = debug_command(options.configuration, project_root())
    os.execvp(command[0], [*command, *options.jupyter])


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _repro(options: argparse.Namespace) -> None:
    from lstm_states.pipeline.backfill import is_recorded
    from lstm_states.pipeline.parallel import default_jobs, reproduce

    root = _checked_root()
    if not reproduce(root, options.jobs or default_jobs()):
        print("everything is up to date")
    if not is_recorded(root):
        _record(options)


def _verify(options: argparse.Namespace) -> int:
    from lstm_states.pipeline.verify import verify

    result = verify(_checked_root(), options.configuration)
    for difference in result.found:
        print(difference)
    print(f"{len(result.outputs)} outputs were compared: {result.comparison}")
    print(f"{len(result.found)} differences" if result.found else "all of them agree")
    return 1 if result.found else 0
