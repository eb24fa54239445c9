"""What the tests of pages look at: window sizes, and whether text can be read."""

from __future__ import annotations

from typing import Final

WIDE: Final = {"width": 1400, "height": 900}
NARROW: Final = {"width": 390, "height": 844}
CONTRAST_MIN: Final = 4.5
"""What WCAG 2.2 asks of text (1.4.3)."""
CONTRASTS: Final = """(pairs) => pairs.map(([front, property, back, backProperty]) => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const of = (selector, name) => light(parse(getComputedStyle(document.querySelector(selector))[name]));
    const [a, b] = [of(front, property), of(back, backProperty)].sort((x, y) => y - x);
    return [front, (a + 0.05) / (b + 0.05)];
})"""
