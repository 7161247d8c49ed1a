"""Names on the command line."""

import pytest

from lstm_states.pipeline.cli import main


@pytest.mark.parametrize("command", ["run", "verify", "debug"])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stackd", "'stackd' is none; did you mean 'stacked'?"),
        ("maskin", "'maskin' is none; did you mean 'masking'?"),
        ("xyzzy", "'xyzzy' is none; there are stacked, intermediate_outputs, variable_length, how"),
    ],
)
def test_an_unknown_notebook_is_refused_with_the_nearest_name(capsys, command, name, hint):
    with pytest.raises(SystemExit) as exit_:
        main([command, name])
    assert exit_.value.code == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("order_bok", "no data set 'order_bok' in params.yaml; did you mean 'order_book'?"),
        ("xyzzy", "no data set 'xyzzy' in params.yaml; there are order_book, japanese_vowels"),
    ],
)
def test_an_unknown_data_set_is_refused_with_the_nearest_name(capsys, name, hint):
    assert main(["prepare", name]) == 1
    assert capsys.readouterr().err == f"lstm-states: {hint}\n"
