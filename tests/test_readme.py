from tests.readme import split_readme, verdict_table


def test_the_table_of_verdicts_is_that_of_claims_json():
    assert split_readme()[1] == verdict_table(), "run: python -m tests.readme"
