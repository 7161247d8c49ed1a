"""Padding and masks: which steps the layers skip, and which they should."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lstm_inspect.evidence import Evidence
from lstm_inspect.findings import Finding, others_too
from lstm_inspect.sensitivity import AT_END, AT_START
from lstm_states.masks import check_cudnn_mask

MATTERS = 0.01
"""A change of the outputs by this share of their range is more than rounding, and can be seen."""


def _sides(seen: Evidence) -> list[str]:
    """Return the changes that add padding where the data have it."""
    sides = dict(zip((AT_START, AT_END), seen.sides, strict=True))
    return [change for change, there in sides.items() if there]


def mask_missing(seen: Evidence) -> Iterator[Finding]:
    """Padding that a layer reads as data, since no mask reaches it."""
    moved = [seen.sensitivity[change].share for change in _sides(seen)]
    largest = max((share for share in moved if share is not None), default=None)
    severity = "wrong" if largest is None or largest > MATTERS else "risk"
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for address in seen.nodes:
        padding = seen.padding_of(address)
        if padding is None:
            continue
        read = float((seen.nodes[address]["mask"].values & ~padding.real).mean())
        if read:
            found.setdefault(_lost(seen, address), {})[address] = read
    for (how, advice, question), layers in found.items():  # a cause is told once
        first = next(iter(layers))
        told = seen.padding_of(first).told  # type: ignore[union-attr]
        yield Finding(
            severity, "mask_missing", first,
            f"It reads padding as data, {layers[first]:.0%} of all steps ({told}): "
            f"{how}.{others_too(list(layers))}",
            advice, question,
        )  # fmt: skip


def _lost(seen: Evidence, address: str) -> tuple[str, str, str]:
    """Return why no mask reaches a layer, what to do, and the question that explains it."""
    skipped = "What is the output at masked steps?"
    name = seen.masks.operation_of(address) if seen.masks else address
    node = seen.nodes[address]
    started = any(
        bool(values.values.any()) for key, values in node.data_vars.items()
        if str(key).startswith("initial_")
    )  # fmt: skip
    place = seen.places.get(address)
    if started and place and not place.layer.stateful:
        return (
            "it starts from given states, and Keras then passes it no automatic mask",
            "Pass mask= in the call of this layer.",
            "Does a decoder that starts from states skip its padding?",
        )
    if seen.masks is None:
        return "no mask reaches it", "Pass a mask to this layer in the model's call.", skipped
    if lost := seen.masks.lost_at(name):
        return (
            f"the mask is lost at {lost!r} ({seen.masks.kinds[lost]}), which hands none on",
            f"Put the masking behind {lost!r}, or replace that layer by one that supports masks.",
            skipped,
        )
    if seen.masks.made_at(name) or name in seen.masks.given:
        advice = "Let the mask skip what the data are padded with."
        return "a mask is made, but calls these steps real", advice, skipped
    embedded = "Embedding" in {seen.masks.kinds[one] for one in seen.masks.before.get(name, [])}
    padding = seen.padding_of(address)
    value = padding.value if padding else None
    if embedded:
        made = "Embedding(..., mask_zero=True)"
    elif value is None:
        made = "zeros for padding and a layer Masking() before it"
    else:
        made = f"a layer Masking(mask_value={value:g}) before it"
    return "no layer makes a mask", f"Use {made}, and train again.", skipped


def mask_hides_values(seen: Evidence) -> Iterator[Finding]:
    """Steps that are masked between real ones: zeros that may be values."""
    for address, node in seen.nodes.items():
        mask = node["mask"].values
        began = np.logical_or.accumulate(mask, 1)
        ends = np.logical_or.accumulate(mask[:, ::-1], 1)[:, ::-1]
        gaps = ~mask & began & ends
        if not gaps.any():
            continue
        yield Finding(
            "risk", "mask_hides_values", address,
            f"The mask skips {int(gaps.sum()):,} steps between real ones, in "
            f"{int(gaps.any(1).sum()):,} of {len(gaps):,} samples.",
            "If these are values rather than gaps, choose a mask_value that no value has.",
            "Which masks does cuDNN accept?",
        )  # fmt: skip


def empty_samples(seen: Evidence) -> Iterator[Finding]:
    """Samples of which a layer reads no step: their output says nothing."""
    for address, node in seen.nodes.items():
        empty = np.asarray(~node["mask"].values.any(1))
        if empty.any():
            yield Finding(
                "risk", "empty_samples", address,
                f"{int(empty.sum()):,} of {len(empty):,} samples have no real step, sample "
                f"{int(empty.argmax())} first; their states stay where they began.",
                "Leave these samples out.",
                "What is the output at masked steps?",
            )  # fmt: skip


def padding_moves_outputs(seen: Evidence) -> Iterator[Finding]:
    """Outputs that depend on how much padding a batch happens to need."""
    for change in _sides(seen):  # windows of one length are never padded
        moved = seen.sensitivity[change]
        if moved.share is not None and moved.share > MATTERS:
            yield Finding(
                "risk", "padding_moves_outputs", "model",
                f"With {change}, outputs move by up to {moved.largest:.2g}, which is "
                f"{moved.share:.0%} of their range.",
                "Let a mask reach every layer, or pad all data of training and use alike.",
                "What is the output at masked steps?",
            )  # fmt: skip


def mask_not_for_cudnn(seen: Evidence) -> Iterator[Finding]:
    """Masks that Keras's fast path on a GPU doesn't take."""
    for address, node in seen.nodes.items():
        place = seen.places.get(address)
        if place is None or not hasattr(place.layer, "use_cudnn"):
            continue
        try:
            check_cudnn_mask(node["mask"].values)
        except ValueError as error:
            yield Finding(
                "note", "mask_not_for_cudnn", address,
                f"On a GPU, cuDNN would not take its mask: {str(error).partition(';')[0]}.",
                "Pad at the end, or use use_cudnn=False.",
                "Which masks does cuDNN accept?",
            )  # fmt: skip


RULES = (
    mask_missing,
    mask_hides_values,
    empty_samples,
    padding_moves_outputs,
    mask_not_for_cudnn,
)
