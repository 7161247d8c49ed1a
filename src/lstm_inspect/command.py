"""The command: a model and data in files, a report in a file, without code."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

PROGRAM = "python -m lstm_inspect"

SAMPLES = 64
"""Samples to inspect: enough for shares and probes, and few enough for seconds."""


class _Parser(argparse.ArgumentParser):
    """Tells of a fault in one line, as the rest of the command does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help tells more\n")


def _parser(program: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program,
        description="Record the states of a Keras model over data, and write a report: what each "
        "layer does, the traps that the model is in, and an explorer of its states.",
    )
    parser.add_argument("model", type=Path, help="a .keras or .h5 file")
    parser.add_argument("data", type=Path, help="a .npz, .npy, .csv or .parquet file")
    parser.add_argument("--labels", metavar="FILE or COLUMN", help="a label for each sample")
    parser.add_argument("--tokens", type=Path, metavar="FILE", help="a vocabulary, a word a line")
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="report.html"
    )
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE",
        help="a module with classes that the model needs; can be repeated",
    )  # fmt: skip
    parser.add_argument("--trust", action="store_true", help="let Lambda layers run their code")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, metavar="N",
        help=f"how many samples to inspect ({SAMPLES})",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Run the command, and return its exit status: 0, or 2 after one line about a fault."""
    try:
        given = _parser(program).parse_args(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)
    try:
        with _no_chatter():
            import keras  # noqa: F401
        _run(given)
    except Exception as error:  # of the user's model, too: a line says it all
        known = isinstance(error, ValueError | OSError)
        kind = "" if known else f"{type(error).__name__}: "
        print(f"{program}: {kind}{_told(error)}", file=sys.stderr)
        return 2
    return 0


def _told(error: Exception) -> str:
    """Return what an error says in one line; of one in a graph, the operation and its reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    at = re.search(r"Detected at node (\S+)", str(error))
    if at is None:
        return " ".join(lines)
    reasons = [line for line in lines if not line.startswith("[[")]
    return f"at {at[1]}: {reasons[-1]}"


@contextmanager
def _no_chatter() -> Iterator[None]:
    """Keep what TensorFlow tells while it is imported out of the one line of a fault.

    Some of it is written before any of its settings are read.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_out(out: Path, read: Sequence[Path | str | None]) -> None:
    """Refuse a place where no report can be written, before any work, or which is read."""
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}")
    if out.is_dir():
        raise ValueError(f"--out {out}: it is a folder; name a file")
    if out.exists() and any(one and Path(one).exists() and out.samefile(one) for one in read):
        raise ValueError(f"--out {out}: the report would replace what it is about")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise ValueError(f"--out {out}: it can't be written")


def _run(given: argparse.Namespace) -> None:
    # These import TensorFlow, which takes seconds that a fault in the arguments need not wait for.
    from lstm_inspect.data import fit_to_inputs, read_data, read_labels, read_tokens
    from lstm_inspect.given import check_given
    from lstm_inspect.inspection import inspect_model
    from lstm_inspect.models import load_model

    if given.samples < 1:
        raise ValueError(f"--samples is {given.samples}; it must be at least 1")
    _check_out(given.out, (given.model, given.data, given.labels, given.tokens))
    model = load_model(given.model, modules=given.modules, trust=given.trust)
    from_file = given.labels is not None and Path(given.labels).is_file()
    column = None if from_file else given.labels
    data = fit_to_inputs(read_data(given.data, model, label_column=column), model)
    labels = read_labels(Path(given.labels)) if from_file else data.labels
    tokens = None if given.tokens is None else read_tokens(given.tokens)
    whole = check_given(
        model, data.x, mask=data.mask, labels=labels, tokens=tokens, names=data.names
    )
    found = inspect_model(
        model, whole.x, mask=whole.mask, labels=whole.labels, tokens=whole.tokens,
        samples=given.samples, title=f"{given.model.name} over {given.data.name}",
    )  # fmt: skip
    found.write(given.out)
    for one in found.findings:
        print(f"{one.severity}: {one.layer}: {one.case}")
    counts = Counter(one.severity for one in found.findings)
    told = ", ".join(f"{name} {count}" for name, count in counts.items()) or "no trap found"
    print(f"wrote {given.out} ({told})")
