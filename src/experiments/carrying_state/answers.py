"""What the answers to the questions say of each measure, to be held against what was measured."""

from __future__ import annotations

NONE = "<= 1e-9"
"""Above rounding in double precision, 1e-13 after 100 steps, and below any effect that counts."""

SOME = ">= 1e-3"
"""The least effect that counts."""

_NONE = """
sequence_minus_h output_minus_h cell_minus_keras gates_minus_blocks second_call_moves
neighbours_move epochs_minus_carried with_callback_minus_fresh kept_moves
validation_with_callback_moves continued_minus_whole in_order_minus_whole reset_minus_stateless
left_minus_both twin_minus_model single_slot_minus_model gradient_before_stateful
handed_minus_whole by_hand_minus_whole session_minus_whole session_states_minus_whole
weights_reloaded state_reloaded restored_minus_live restored_going_on_moves nested_minus_layers
argument_minus_stateless stored_moves stored_minus_end handed_minus_whole_stack
forward_minus_last backward_minus_first forward_carried_minus_whole
"""
_SOME = """
output_minus_c gates_minus_other_order previous_step_moves epochs_minus_fresh predict_moves
evaluate_moves validation_moves submodel_moves other_slots_minus_whole shuffled_minus_whole
leftover_moves gradient_before_handed going_on_moves top_alone_minus_whole swapped_minus_whole
backward_minus_last backward_carried_minus_whole
"""
_EXACTLY = {
    "rises_per_unit": 1, "width_of_c": 1, "columns_per_unit": 4, "given_with_state": 3,
    "stacks_without_sequences": 0, "rows_in": 7, "rows_out": 8, "three_of_four_refused": 1,
    "one_batch_refused": 1, "uneven_refused": 1, "other_size_refused": 1, "flat_refused": 1,
    "given_in_both": 5, "model_resets": 0, "layer_resets": 1, "stacked_cells_reset": 0,
    "library_resets": 1, "reset_takes_states": 0, "batch_input_shape_taken": 0,
    "batch_shape_taken": 1, "open_batch_taken": 0, "asked_plain": 1, "asked_with_dropout": 1,
    "asked_with_recurrent_dropout": 0,
}  # fmt: skip

ANSWERS: dict[str, str] = {
    **dict.fromkeys(_NONE.split(), NONE),
    **dict.fromkeys(_SOME.split(), SOME),
    **{name: f">= {value}, <= {value}" for name, value in _EXACTLY.items()},
}
"""By measure the conditions under which the answers are borne out."""
