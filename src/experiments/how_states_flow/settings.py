"""The parameters of `how_states_flow`."""

from __future__ import annotations

from typing import ClassVar

from experiments.shared.settings import Trial


class HowStatesFlow(Trial):
    """What a layer hands on, over whole windows of the test part."""

    stacks: ClassVar[tuple[str, ...]] = ("stacked", "intermediate_outputs")


SECTIONS = {"how_states_flow": HowStatesFlow}
