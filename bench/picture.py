"""The table as a picture of the terminal, for the README."""
from html import escape

from bench.measurements import PATHS
from bench.text import PATH_NAMES

STYLE = """
.page { fill: #fbfbf9; stroke: #d9d9d2 } text { fill: #1d2430; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre }
.head { font-weight: 600 } .ublk { fill: #b4550f } .direct { fill: #0b7461 } .soft { fill: #667085 }
@media (prefers-color-scheme: dark) { .page { fill: #14171c; stroke: #323843 } text { fill: #e8eaee }
.ublk { fill: #f0964f } .direct { fill: #2fb89d } .soft { fill: #98a2b3 } }
"""


def style_of(line):
    for path in PATHS:
        if line.strip().startswith(PATH_NAMES[path]):
            return path
    return "head" if line and not line.startswith(" ") else "soft"


def render(lines):
    """An SVG of lines of text, coloured by the path they are about."""
    step, margin, advance = 19, 20, 7.83
    width = round(max(len(line) for line in lines) * advance) + 2 * margin
    height = len(lines) * step + 2 * margin
    body = "\n".join(f'<text class="{style_of(line)}" x="{margin}" y="{margin + 13 + index * step}" '
                     f'xml:space="preserve" textLength="{len(line) * advance:.1f}">{escape(line)}</text>'
                     for index, line in enumerate(lines) if line)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
            f'<style>{STYLE}</style><rect class="page" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="10"/>\n'
            f'{body}\n</svg>\n')
