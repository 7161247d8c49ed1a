from tests.readme import split_readme, verdict_table
from tests.repository import committed


def test_the_table_of_verdicts_is_that_of_claims_json():
    """As they were committed: on another machine, or on other data, verdicts may be others."""
    table = verdict_table(committed("reports/claims.json"))
    assert split_readme(committed("README.md"))[1] == table, "run: python -m tests.readme"
