"""Make .assets/demo.svg, the moving picture at the head of the README.

    uv run tests/record_demo.py [--out FILE]

It runs the sample against the mock in a pseudo-terminal and keeps what is written, and when. The
recording is played into a terminal emulator, at a pace that can be followed. Each row of the screen
is drawn once for each text that it had; CSS shows a text while it lasted, and scrolls as a terminal
does. Where motion is not wanted, the picture is the last screen.
"""

import os
import re
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyte

if sys.platform == "win32":
    sys.exit("Error: The demo is recorded in a pseudo-terminal, which Windows does not have.")
import ptyprocess

ROOT = Path(__file__).parent.parent
TITLE = "uv run async_polling_example.py"

COLUMNS, ROWS = 80, 28  # So many rows hold the run from its start to the progress bar.
FILM_SECONDS, REST_SECONDS = 11, 4
# In seconds of the recording, which is then fitted into the film:
LONGEST_PAUSE = 0.5
LINE_SECONDS, BLANK_LINE_SECONDS = 0.05, 0.25
SHORTEST_STATE = 0.03  # What is redrawn may come in two parts.

FONT_SIZE, CELL_WIDTH, ROW_HEIGHT, BASELINE = 16, 9.6, 21, 16
MARGIN, TITLE_HEIGHT = 20, 44
COLOURS = {  # The keys are pyte's: its brown is elsewhere called yellow.
    "default": "#d1d7e0",
    "black": "#656c76",
    "red": "#f47067",
    "green": "#57ab5a",
    "brown": "#c69026",
    "blue": "#539bf5",
    "magenta": "#b083f0",
    "cyan": "#39c5cf",
    "white": "#d1d7e0",
}

# pyte ignores "dim". Nothing here blinks, so dim text is marked as blinking.
pyte.graphics.TEXT[2] = "+blink"

T = TypeVar("T")
Timed = tuple[float, T]  # From which second on
Row = tuple[Any, ...]  # A pyte.screens.Char for each cell


class Piece(NamedTuple):
    """Part of a row that is drawn in one go, from column start up to column end."""

    start: int
    end: int
    text: str
    style: Any  # Any of its cells


def record() -> list[Timed[bytes]]:
    """Run the sample against the mock; return what it wrote, piece by piece, each with its time."""
    process = ptyprocess.PtyProcess.spawn(
        [sys.executable, "tests/mock_group_api.py"],
        cwd=ROOT,
        env={"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        # What the mock says of itself is not the sample's.
        preexec_fn=lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2),
        dimensions=(ROWS, COLUMNS),
    )
    recording = []
    try:
        while True:
            output = process.read(65536)
            recording.append((time.monotonic(), output))
    except EOFError:
        if process.wait() != 0:
            sys.exit("Error: The run failed. To see why: uv run tests/mock_group_api.py")
    return recording


def play(recording: list[Timed[bytes]]) -> list[Timed[list[Row]]]:
    """Return what the terminal shows: long pauses are cut, and lines come one by one."""
    screen = pyte.Screen(COLUMNS, 1000)  # Too high to scroll: that is left to CSS.
    stream = pyte.ByteStream(screen)
    states: list[Timed[list[Row]]] = []
    now, lowest, last_written = 0.0, 0, recording[0][0]
    for written, output in recording:
        now += min(LONGEST_PAUSE, written - last_written)
        last_written = written
        for line in output.splitlines(keepends=True):
            stream.feed(line)
            start = now
            if screen.cursor.y > lowest:  # Else rows are redrawn, all of them at once.
                lowest = screen.cursor.y
                now += LINE_SECONDS if line.strip() else BLANK_LINE_SECONDS
            if states and start - states[-1][0] < SHORTEST_STATE:
                start, _ = states.pop()
            rows = [tuple(screen.buffer[y][x] for x in range(COLUMNS)) for y in range(lowest + 1)]
            states.append((start, rows))
    return states


def changes(timed: Iterable[Timed[T]]) -> list[Timed[T]]:
    """Leave out what is the same as before."""
    return [next(same) for _, same in groupby(timed, key=itemgetter(1))]


def split(row: Row) -> Iterator[Piece]:
    """Split a row where its style changes, and so that its columns hold in any font.

    For that, two blanks end a piece, and what not every font has stands alone.
    """
    cells = "".join(cell.data[:1] or "\0" for cell in row)  # NUL: right half of a wide character
    for match in re.finditer(r"█+|░+|[!-~]+(?: [!-~]+)*|[^ \0]\0?", cells):
        start = match.start()
        # A blank is taken to have the style of the word before it.
        styled = [row[x - 1] if cells[x] == " " else row[x] for x in range(*match.span())]
        for _, same in groupby(styled, key=lambda cell: (cell.fg, cell.bold, cell.blink)):
            part = list(same)
            text = "".join(cell.data for cell in row[start : start + len(part)])
            yield Piece(start, start + len(part) - text.endswith(" "), text.rstrip(), part[0])
            start += len(part)


def draw_row(row: Row, y: int) -> str:
    """Return a row as SVG whose text nodes, one after another, are its text with single blanks."""
    drawn, column = "", 0
    for piece in split(row):
        drawn += " " * (column < piece.start) + draw_piece(piece, y * ROW_HEIGHT)
        column = piece.end
    return drawn.strip()


def draw_piece(piece: Piece, top: int) -> str:
    x, width = piece.start * CELL_WIDTH, (piece.end - piece.start) * CELL_WIDTH
    place = f'x="{x:g}" y="{top + BASELINE}" textLength="{width:g}"'
    colour = COLOURS[piece.style.fg.removeprefix("bright")]
    style = f' fill="{colour}"' if colour != COLOURS["default"] else ""
    style += ' font-weight="bold"' * piece.style.bold + ' opacity=".6"' * piece.style.blink
    text = escape(piece.text, quote=False)
    if piece.text[0] in "█░":  # Fonts leave gaps in bars, so these are drawn; the text is unseen.
        shade = ' fill-opacity=".35"' * (piece.text[0] == "░")
        bar = f'<rect x="{x:g}" y="{top + 2}" width="{width:g}" height="{ROW_HEIGHT - 4}"'
        return f'{bar}{style}{shade}/><text {place} fill="none">{text}</text>'
    if not piece.text.isascii():
        place = f'x="{x + width / 2:g}" y="{top + BASELINE}" text-anchor="middle"'
    return f"<text {place}{style}>{text}</text>"


def draw_film(states: list[Timed[list[Row]]]) -> str:
    """Return the SVG; without its animations it is the last state."""
    end_of_film, last_rows = states[-1]
    percent = 100 * FILM_SECONDS / (FILM_SECONDS + REST_SECONDS) / end_of_film
    keyframes: list[str] = []
    drawn_rows: list[str] = []
    for y in range(len(last_rows)):
        texts = changes((start, rows[y]) for start, rows in states if y < len(rows))
        ends = [start for start, _ in texts[1:]] + [None]
        for (start, row), end in zip(texts, ends):
            if drawn := draw_row(row, y):
                name = f"r{len(drawn_rows)}"
                show = f"0%{{opacity:0}}{start * percent:.4g}%{{opacity:1}}"
                hide = f"{end * percent:.4g}%{{opacity:0}}" if end else ""
                keyframes.append(f"@keyframes {name}{{{show}{hide}}}")
                hidden = ' opacity="0"' if end else ""
                drawn_rows.append(f'<g style="animation-name:{name}"{hidden}>{drawn}</g>')
    scrolls = changes((start, ROW_HEIGHT * min(0, ROWS - len(rows))) for start, rows in states)
    steps = (f"{start * percent:.4g}%{{transform:translateY({y}px)}}" for start, y in scrolls)
    keyframes.append(f"@keyframes scroll{{{''.join(steps)}}}")
    return draw_window("\n".join(keyframes), "\n".join(drawn_rows), scrolls[-1][1])


def draw_window(keyframes: str, rows: str, last_scroll: int) -> str:
    width = COLUMNS * CELL_WIDTH + 2 * MARGIN
    height = TITLE_HEIGHT + ROWS * ROW_HEIGHT + MARGIN // 2
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" \
height="{height}" role="img" aria-labelledby="title description">
<title id="title">{TITLE}</title>
<desc id="description">A terminal: the script submits a group of requests, a progress bar fills as
they are answered, and a summary ends with a table of the questions and their answers.</desc>
<style>
#heading {{ font: 600 14px -apple-system, "Segoe UI", "Noto Sans", Arial, sans-serif; }}
#rows {{
  font: {FONT_SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-variant-ligatures: none;
}}
#rows, #rows g {{ animation: {FILM_SECONDS + REST_SECONDS}s step-end infinite; }}
#rows {{ animation-name: scroll; }}
@media (prefers-reduced-motion: reduce) {{ #rows, #rows g {{ animation: none !important; }} }}
{keyframes}
</style>
<clipPath id="screen"><rect y="{TITLE_HEIGHT}" width="100%" height="{ROWS * ROW_HEIGHT}"/>\
</clipPath>
<rect x=".5" y=".5" width="{width - 1:g}" height="{height - 1}" rx="10" fill="#1c2128" \
stroke="#444c56"/>
<circle cx="22" cy="22" r="6.5" fill="#ff5f57"/>
<circle cx="43" cy="22" r="6.5" fill="#febc2e"/>
<circle cx="64" cy="22" r="6.5" fill="#28c840"/>
<text id="heading" x="50%" y="27" text-anchor="middle" fill="#9198a1">{TITLE}</text>
<g clip-path="url(#screen)"><g transform="translate({MARGIN} {TITLE_HEIGHT})">
<g id="rows" fill="{COLOURS["default"]}" transform="translate(0 {last_scroll})">
{rows}
</g></g></g>
</svg>
"""


def main() -> None:
    parser = ArgumentParser(description="Record the moving picture at the head of the README.")
    parser.add_argument("--out", type=Path, default=ROOT / ".assets/demo.svg", metavar="FILE")
    out: Path = parser.parse_args().out
    out.parent.mkdir(exist_ok=True)
    out.write_text(draw_film(play(record())), encoding="utf-8")


if __name__ == "__main__":
    main()
