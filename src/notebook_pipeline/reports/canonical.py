"""The canonical form of an executed notebook: equal runs give equal bytes.

Papermill and the kernel leave times, process numbers and random ids in a notebook, so that it never
hashes the same twice. `canonical_notebook` removes exactly those and keeps everything else.
"""

from __future__ import annotations

import copy
import itertools
import re
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RUN_METADATA = frozenset({"execution", "papermill", "ExecuteTime"})
OUTPUT_METADATA = frozenset({"alt", "height", "isolated", "width"})
WIDGET = "application/vnd.jupyter.widget-view+json"

_KERNEL_FILE = re.compile(r"[^\s\"']*ipykernel_\d+[/\\]\d+\.py")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
_STYLER = re.compile(r"\bT_[0-9a-f]{5}(?![0-9A-Za-z])")
_REDRAW = re.compile(r"[\r\b]+")
# tqdm: "40%|####  | 4/10 [00:01<00:02, 3.1it/s]"; others: "4/10 ━━━━━━━━ 0s 3ms/step"
_BAR = re.compile(r".*?(?:\[[^\[\]]*(?:/s|s/\w+)[^\]]*\]|\d+[mun]?s/step)")


def canonical_notebook(executed: NotebookNode) -> NotebookNode:
    """Copies a notebook without anything that changes from run to run.

    Two executions of one notebook that computed the same give equal bytes with `nbformat.writes`,
    and a canonical notebook is its own canonical form. What is removed or replaced:

    - notebook metadata other than the kernel's name, display name and language;
    - papermill's and the kernel's metadata of cells, empty tag lists, all but the size and the alt
      text in the metadata of outputs, and widgets, which need a live kernel;
    - cell ids, execution counts and random ids in HTML tables: numbered by position;
    - the order in which stdout and stderr interleave: merged into one output each;
    - progress bars, which are recognised by the control characters that redraw them;
    - the process number in the file name of warnings, and memory addresses.

    Args:
        executed: A notebook of format 4, executed or not. It is not changed.

    Returns:
        A new notebook of format 4.5.

    Example:
        >>> notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
        >>> canonical_notebook(notebook).cells[0].id
        'cell-001'
    """
    notebook: NotebookNode = nbformat.v4.upgrade(copy.deepcopy(executed))
    notebook.metadata = _notebook_metadata(notebook.metadata)
    counts = itertools.count(1)
    for position, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{position:03d}"
        cell.metadata = _cell_metadata(cell.metadata)
        if cell.cell_type == "code":
            _renumber_count(cell, counts)
            cell.outputs = list(_canonical_outputs(cell.outputs, position))
    return notebook


def _notebook_metadata(metadata: NotebookNode) -> NotebookNode:
    """Keeps which kernel and language the notebook is for, without their versions."""
    kernel = metadata.get("kernelspec", {})
    names = ("display_name", "language", "name")
    kept = {"kernelspec": {name: kernel[name] for name in names if name in kernel}}
    language = metadata.get("language_info", {}).get("name") or kernel.get("language")
    if language:
        kept["language_info"] = {"name": language}
    return NotebookNode({key: NotebookNode(value) for key, value in kept.items() if value})


def _cell_metadata(metadata: NotebookNode) -> NotebookNode:
    """Drops what describes the run, and an empty list of tags, which papermill adds."""
    # nbconvert's ClearMetadata keeps what is listed, and leaves Markdown cells alone. This drops
    # what is listed: the rest is the author's, whatever it is.
    kept = {key: value for key, value in metadata.items() if key not in RUN_METADATA}
    if not kept.get("tags", True):
        del kept["tags"]
    return NotebookNode(kept)


def _renumber_count(cell: NotebookNode, counts: Iterator[int]) -> None:
    """Gives an executed cell, and its result, the next number."""
    if cell.execution_count is None:
        return
    cell.execution_count = next(counts)
    for output in cell.outputs:
        if output.output_type == "execute_result":
            output.execution_count = cell.execution_count


def _canonical_outputs(outputs: Iterable[NotebookNode], position: int) -> Iterator[NotebookNode]:
    """Yields the outputs of the cell at a position in their canonical form."""
    ids: dict[str, str] = {}
    for output in _merged_streams(outputs):
        if output.output_type == "stream":
            output.text = _stable_text(_without_progress(output.text))
            if not output.text:
                continue
        elif output.output_type == "error":
            output.traceback = [_stable_text(line) for line in output.traceback]
        elif WIDGET in output.data:
            continue
        else:
            _stabilise_data(output, ids, position)
        yield output


def _merged_streams(outputs: Iterable[NotebookNode]) -> Iterator[NotebookNode]:
    """Merges neighbouring streams into one stdout and one stderr.

    The kernel flushes the two on a timer, so how they interleave is chance. Anything displayed
    flushes both, so their place among the other outputs is not.
    """
    # nbconvert's CoalesceStreams merges only neighbours of one name, which keeps that chance.
    for are_streams, group in itertools.groupby(outputs, lambda o: o.output_type == "stream"):
        if not are_streams:
            yield from group
            continue
        texts: dict[str, str] = {"stdout": "", "stderr": ""}
        for output in group:
            texts[output.name] += output.text
        for name, text in texts.items():
            if text:
                yield nbformat.v4.new_output("stream", name=name, text=text)


def _without_progress(text: str) -> str:
    r"""Shows redrawn lines as a terminal would in the end, less the progress bars with their times.

    Example:
        >>> _without_progress("start\n\r 0%| | 0/2 [?it/s]\r100%|#| 2/2 [2it/s]\nend")
        'start\nend'
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text.replace("\r\n", "\n"))
    return "".join(_final_line(line) if _REDRAW.search(line) else line for line in lines)


def _final_line(redrawn: str) -> str:
    """What a redrawn line says last, besides a progress bar; empty if that is nothing."""
    drawings = [text for text in _REDRAW.split(redrawn) if text.strip()]
    final = _BAR.sub("", drawings[-1], count=1) if drawings else ""
    return final if final.strip() else ""


def _stable_text(text: str) -> str:
    """Replaces process numbers in file names and memory addresses."""
    return _ADDRESS.sub("at 0x…", _KERNEL_FILE.sub("<cell>", text))


def _stabilise_data(output: NotebookNode, ids: dict[str, str], position: int) -> None:
    """Makes the data of a displayed output stable, and its metadata minimal."""
    if "text/plain" in output.data:
        output.data["text/plain"] = _stable_text(output.data["text/plain"])
    if "text/html" in output.data:
        output.data["text/html"] = _stable_ids(output.data["text/html"], ids, position)
    output.metadata = nbformat.from_dict(
        {mime: kept for mime in output.data if (kept := _output_metadata(output, mime))}
    )


def _output_metadata(output: NotebookNode, mime: str) -> dict[str, Any]:
    """The metadata of one representation that a reader can see."""
    values = output.metadata.get(mime, {})
    return {key: value for key, value in values.items() if key in OUTPUT_METADATA}


def _stable_ids(html: str, ids: dict[str, str], position: int) -> str:
    """Numbers the random ids of pandas' styled tables and xarray's views by position.

    Args:
        html: An HTML output.
        ids: New ids by old ones, for all outputs of the cell; extended here.
        position: The cell's number, so that ids differ between cells.
    """

    def styler_id(match: re.Match[str]) -> str:
        return ids.setdefault(match[0], f"T_{position:03d}{len(ids):02d}")

    def uuid(match: re.Match[str]) -> str:
        return ids.setdefault(match[0], f"00000000-0000-4000-8000-{position:06d}{len(ids):06d}")

    return _UUID.sub(uuid, _STYLER.sub(styler_id, html))
