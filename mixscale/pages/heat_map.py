"""Tables whose cells are coloured by what they say: better, worse, and how much."""

from __future__ import annotations

from mixscale.pages.elements import Child, Html
from mixscale.pages.tables import cell

Colour = tuple[int, int, int]

# Paper, and the strongest colour of each side, on which the text keeps a contrast of 4.5.
_LIGHT: tuple[Colour, Colour, Colour] = ((255, 255, 255), (120, 184, 226), (240, 160, 110))
_DARK: tuple[Colour, Colour, Colour] = ((21, 23, 26), (16, 84, 128), (140, 66, 20))


def heat_cell(text: Child, strength: float, **attributes: object) -> Html:
    """Write a cell of a heat map.

    Args:
        text: The number, which colour alone must not carry.
        strength: From -1, worst, by 0 to 1, best.
        attributes: Of the cell.
    """
    part = min(max(strength, -1.0), 1.0)
    style = f"--light:{_mixed(_LIGHT, part)};--dark:{_mixed(_DARK, part)}"
    return cell(text, class_="heat", style=style, **attributes)


def _mixed(colours: tuple[Colour, Colour, Colour], part: float) -> str:
    paper, better, worse = colours
    strong = better if part > 0 else worse
    mixed = (round(p + abs(part) * (s - p)) for p, s in zip(paper, strong, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)
