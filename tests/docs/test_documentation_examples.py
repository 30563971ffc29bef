"""The code of the documentation runs: what a page shows is a program, and it prints what the page says.

The blocks of one page are one script, with every line at its number in the page, so that a traceback points into it.
The rules stand in docs/how-to/develop.md.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.forking import Ran, run_script

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]

FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,})(?P<language>\w*) *(?P<words>.*)$")


@dataclass(frozen=True, kw_only=True)
class Block:
    language: str
    words: tuple[str, ...]
    # The line of the page on which the block's first line stands, from 1.
    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Program:
    page: Path
    source: str
    # None: the page does not say what the program prints.
    output: str | None
    line: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks_of(text: str) -> list[Block]:
    """Read the fenced blocks of a page in their order."""
    found: list[Block] = []
    opening: re.Match[str] | None = None
    start = 0
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if opening is None:
            opening, start = FENCE.match(line), number + 1
        elif line.strip() == opening["marks"]:
            body = tuple(inner.removeprefix(opening["indent"]) for inner in lines[start:number])
            words = tuple(opening["words"].split())
            found.append(Block(language=opening["language"], words=words, line=start + 1, lines=body))
            opening = None
    assert opening is None, f"a fence opened on line {start} is never closed"
    return found


def programs_of(page: Path, text: str) -> list[Program]:
    """Join a page's blocks into the programs they are parts of."""
    parts: list[list[Block]] = []
    for block in blocks_of(text):
        match block.language, block.words:
            case "python", ("notest",):
                pass
            case "python", ("new",):
                parts.append([block])
            case "python", ():
                parts = parts or [[]]
                parts[-1].append(block)
            case "text", ("output",):
                assert parts, f"{page.name}:{block.line} shows the output of no program"
                parts[-1].append(block)
            case "python", words:
                raise AssertionError(f"{page.name}:{block.line} has unknown words: {words}")
            case _:
                pass
    return [_program(page, blocks) for blocks in parts]


def _program(page: Path, blocks: list[Block]) -> Program:
    code = [block for block in blocks if block.language == "python"]
    shown = [line for block in blocks if block.language == "text" for line in block.lines]
    lines = [""] * max(block.line - 1 + len(block.lines) for block in code)
    for block in code:
        lines[block.line - 1 : block.line - 1 + len(block.lines)] = block.lines
    has_output = len(code) < len(blocks)
    output = "\n".join(shown) + "\n" if has_output else None
    return Program(page=page, source="\n".join(lines) + "\n", output=output, line=code[0].line)


def run(program: Program, tmp_path: Path) -> Ran:
    """Run a program in the working directory that it finds there."""
    script = tmp_path / f"{program.page.stem.replace('-', '_').lower()}_page.py"
    script.write_text(program.source, encoding="utf-8")
    directory = tmp_path / "directory"
    directory.mkdir(exist_ok=True)
    return run_script(script, directory=directory)


@pytest.mark.parametrize("program", [p for page in PAGES for p in programs_of(page, page.read_text("utf-8"))], ids=str)
def test_the_program_of_a_page_runs_and_prints_what_the_page_says(program: Program, tmp_path: Path) -> None:
    ran = run(program, tmp_path)
    assert ran.code == 0, f"{program}\n{ran.out}{ran.err}"
    if program.output is not None:
        assert ran.out == program.output


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/tutorial.md"], ids=lambda page: page.name)
def test_a_newcomer_may_run_the_first_programs_again_on_the_same_database(page: Path, tmp_path: Path) -> None:
    (program,) = programs_of(page, page.read_text("utf-8"))
    for _ in range(2):
        ran = run(program, tmp_path)
        assert (ran.code, ran.out) == (0, program.output), ran.err


def test_the_blocks_of_a_page_are_one_program_at_their_line_numbers() -> None:
    page = "# Page\n\n```python\na = 1\n```\n\nThen:\n\n    ```python\n    b = a\n    ```\n\n```text output\n1\n```\n"
    (program,) = programs_of(ROOT / "page.md", page)
    assert program.source.splitlines()[3] == "a = 1"
    assert program.source.splitlines()[9] == "b = a"
    assert program.output == "1\n"
    assert str(program) == "page.md:4"


def test_a_block_may_begin_another_program_or_stay_out() -> None:
    page = "```python\na\n```\n```python new\nb\n```\n```python notest\nc\n```\n```console\n$ d\n```\n"
    assert [program.source.split() for program in programs_of(ROOT / "page.md", page)] == [["a"], ["b"]]


def test_an_unknown_word_and_an_open_fence_are_refused() -> None:
    with pytest.raises(AssertionError, match="unknown words"):
        programs_of(ROOT / "page.md", "```python skip\na\n```\n")
    with pytest.raises(AssertionError, match="never closed"):
        programs_of(ROOT / "page.md", "```python\na\n")
