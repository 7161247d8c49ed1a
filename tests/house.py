"""The layout of src, its imports and its sizes: `python -m tests.house`."""

import ast
import statistics
import tokenize
from collections import Counter

import grimp

from tests.repository import ROOT

PACKAGES = ("lstm_states", "lstm_explorer", "lstm_inspect", "notebook_pipeline", "experiments")


def room_of(module):
    """The folder or file of a package that a module stands in, such as ``lstm_states.traces``."""
    return ".".join(module.split(".")[:2])


def arrows():
    """How many imports lead from room to room, and from package to package."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    rooms, packages = Counter(), Counter()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            if room_of(module) != room_of(other):
                rooms[room_of(module), room_of(other)] += 1
            if module.partition(".")[0] != other.partition(".")[0]:
                packages[module.partition(".")[0], other.partition(".")[0]] += 1
    return rooms, packages


def sizes(package):
    """Lines of each module, lines of each function, and the share of lines with a comment."""
    modules, functions, comments = {}, [], 0
    for path in sorted((ROOT / "src" / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        modules[path.relative_to(ROOT / "src").as_posix()] = text.count("\n")
        functions += [
            node.end_lineno - node.lineno + 1
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        with path.open("rb") as file:
            comments += sum(t.type == tokenize.COMMENT for t in tokenize.tokenize(file.readline))
    return modules, functions, comments / sum(modules.values())


def main():
    rooms, packages = arrows()
    print("| package | modules | lines | lines a module | function p90 / longest | comments |")
    print("|---|---|---|---|---|---|")
    for package in PACKAGES:
        modules, functions, comments = sizes(package)
        tenths = statistics.quantiles(functions, n=10)
        print(
            f"| {package} | {len(modules)} | {sum(modules.values())} "
            f"| {statistics.mean(modules.values()):.0f} "
            f"| {tenths[-1]:.0f} / {max(functions)} | {comments:.1%} |"
        )
    print("\nImports from package to package:")
    for (one, other), count in packages.most_common():
        print(f"  {one} -> {other}: {count}")
    back = [(a, b) for a, b in rooms if (b, a) in rooms and a < b]
    print(f"\nImports from room to room: {len(rooms)} arrows, {len(back)} of them both ways")
    for one, other in back:
        print(f"  {one} <-> {other}")
    long = [
        f"  {name}: {lines}" for p in PACKAGES for name, lines in sizes(p)[0].items() if lines > 300
    ]
    print(f"\nModules of more than 300 lines: {len(long)}")
    print("\n".join(long))


if __name__ == "__main__":
    main()
