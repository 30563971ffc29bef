from tests.cli.reference_page import PAGE, whole_page


def test_the_reference_says_what_the_parser_takes() -> None:
    assert PAGE.read_text(encoding="utf-8") == whole_page(), "run: uv run python -m tests.cli.reference_page"
