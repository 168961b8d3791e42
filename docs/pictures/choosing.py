"""The decision picture of the guide: ``python docs/pictures/choosing.py``.

Writes docs/images/choosing.svg, 400 units wide, so that a phone shows its text at full size.
"""

from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).parents[1] / "images" / "choosing.svg"
WIDTH = 400
LINE = 17  # from one line of text to the next
SIZE = 12.5  # of the text
COLORS = {  # fill, frame, text: blue and orange differ for everybody
    "question": ("#e6f0fa", "#1f5f99", "#10314f"),
    "answer": ("#fdeccb", "#a85c00", "#3f2300"),
    "note": ("#f2f2f2", "#767676", "#222222"),
}


def text(x, y, words, color="#222222", *, anchor="middle", bold=False, size=SIZE):
    """One line of text whose middle is at y."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x}" y="{y + size * 0.35:.1f}" font-size="{size}" text-anchor="{anchor}"'
        f' fill="{color}"{weight}>{escape(words)}</text>'
    )


def box(kind, x, y, width, lines):
    """A box from its upper left corner; lines that begin with * are bold. Returns its height."""
    fill, frame, color = COLORS[kind]
    height = LINE * len(lines) + 14
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="7" fill="{fill}"'
        f' stroke="{frame}" stroke-width="1.5"/>'
    ]
    for i, line in enumerate(lines):
        middle = y + 7 + LINE * (i + 0.5)
        parts.append(
            text(x + width / 2, middle, line.lstrip("*"), color, bold=line.startswith("*"))
        )
    return "\n".join(parts), y + height


def arrow(x1, y1, x2, y2):
    """A line with a head."""
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#444444" stroke-width="1.5"'
        ' marker-end="url(#head)"/>'
    )


def yes_or_no(y, question, answer, otherwise=()):
    """A question, its answer to the lower right (yes), and the way on to the left (no)."""
    drawn, bottom = box("question", 10, y, 380, question)
    parts = [drawn]
    drawn, end = box("answer", 146, bottom + 28, 244, answer)
    parts += [drawn, arrow(268, bottom, 268, bottom + 26), text(288, bottom + 13, "yes", bold=True)]
    parts += [
        arrow(28, bottom, 28, end + 16),
        text(38, bottom + 13, "no", anchor="start", bold=True),
    ]
    for i, line in enumerate(otherwise, start=1):
        parts.append(text(38, bottom + 13 + LINE * i, line, anchor="start", size=12))
    return parts, end + 18


def column(x, y, width, heading, cases):
    """A heading and below it cases, each with its answer."""
    parts = []
    drawn, y = box("question", x, y, width, heading)
    parts.append(drawn)
    for i, (case, answer) in enumerate(cases):
        y += 9 if i else 16
        if case:
            drawn, y = box("note", x, y, width, case)
            parts.append(drawn)
            y += 16
        drawn, bottom = box("answer", x, y, width, answer)
        parts += [arrow(x + width / 2, y - 16, x + width / 2, y - 2), drawn]
        y = bottom
    return parts, y


def picture():
    """The SVG."""
    parts = []
    drawn, y = yes_or_no(
        10,
        ["*1. Photographs of everyday things, and", "*you may use a pretrained network?"],
        ["*a pretrained network", "(torchvision's) by module=,", "or its embeddings as rows X"],
        ["digits, letters,", "textures,", "scientific", "images"],
    )
    parts += drawn
    drawn, y = yes_or_no(
        y,
        ["*2. The same patterns again and again", "*at unknown places?"],
        ["*ConvKMeans", "cells, spikes, letters in a line,", "also in noise"],
    )
    parts += drawn
    drawn, y = box("question", 10, y, 380, ["*3. Do you have labels?"])
    parts.append(drawn)
    width, step, top = 122, 129, y + 18
    columns = [
        (
            ["*for all images"],
            [
                ([], ["*KMeansFilter-", "*Learner", "and a linear", "classifier"]),
                (
                    ["many labels,", "time or a GPU"],
                    ["compare with", "a supervised", "network", "(torch, skorch)"],
                ),
            ],
        ),
        (
            ["*for a few"],
            [
                (
                    ["about one", "of each class"],
                    ["*Cluster-", "*Classifier", "on clusters", "of all images"],
                ),
                (
                    ["ten or more", "of each class"],
                    ["*Ridge-", "*ClassifierCV", "on features", "of all images"],
                ),
            ],
        ),
        (
            ["*for none"],
            [
                (["clusters"], ["*Consensus-", "*Clusterer"]),
                (["clusters of digits,", "grey textures"], ["also", "*DeepCluster-", "*Estimator"]),
                (["features, search"], ["transform() of", "a fitted learner"]),
            ],
        ),
    ]
    ends = []
    for i, (heading, cases) in enumerate(columns):
        x = 10 + step * i
        parts.append(arrow(x + width / 2, y, x + width / 2, top - 2))
        drawn, end = column(x, top, width, heading, cases)
        parts += drawn
        ends.append(end)
    y = max(ends) + 20
    parts += [
        arrow(10 + step * i + width / 2, end, 10 + step * i + width / 2, y - 2)
        for i, end in enumerate(ends)
    ]
    drawn, y = box("question", 10, y, 380, ["*4. How many images?"])
    parts.append(drawn)
    for x, lines in (
        (10, ["*up to some 100,000", "as they are, on a CPU"]),
        (206, ["*millions", "larger stride, Dask, GPU"]),
    ):
        drawn, end = box("answer", x, y + 18, 184, lines)
        parts += [drawn, arrow(x + 92, y, x + 92, y + 16)]
    height = end + 12
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            f' width="{WIDTH}" height="{height}" font-family="Helvetica, Arial, sans-serif">',
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
            ' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#444444"/>'
            "</marker></defs>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
