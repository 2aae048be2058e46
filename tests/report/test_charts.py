"""Charts: what they draw, that they are the same bytes each time, and that a page can hold many of them."""

import math
import re
from xml.etree import ElementTree

import pytest

from distil.report.charts.kinds import (
    MAX_POINTS,
    DotRow,
    Mark,
    ScatterPoint,
    dot_chart,
    line_chart,
    scatter_chart,
    size_chart,
    spread,
    thin,
)
from distil.report.charts.svg import STYLES

ROWS = [
    DotRow("Hausa <&>", {"student": Mark(92.0, (88.0, 96.5)), "tfidf": Mark(99.0)}, "92.0 %"),
    DotRow("Igbo", {"student": Mark(103.0), "tfidf": Mark(90.0)}, "103.0 %", total=True),
]
CURVES = {
    "all": [(0.0, 10.0), (10.0, 5.0), (20.0, 4.0)],
    "Hausa": [(0.0, 11.0), (20.0, 4.1)],
    "Igbo": [(0.0, 9.0), (20.0, 4.2)],
}


def dots(name="dots"):
    return dot_chart(name, "Title <1>", "Says & shows", ROWS, (100.0, "teacher"))


def lines(name="lines", curves=CURVES):
    return line_chart(name, "Title", "Words", curves, "step", "nats")


def sizes(name="sizes"):
    return size_chart(name, "Title", "Words", [("Teacher", 80, 20, "100"), ("Student", 8, 2, "10 (10 %)")])


def scatter(name="scatter"):
    points = [
        ScatterPoint("teacher", 2000.0, Mark(80.0, (78.0, 82.0))),
        ScatterPoint("student", 20.0, Mark(75.0, (73.0, 77.0))),
        ScatterPoint("student_int8", 5.0, Mark(74.0)),
    ]
    return scatter_chart(name, "Title", "Words", points, {"TF-IDF": 70.0}, "MB", "points")


CHARTS = pytest.mark.parametrize("draw", [dots, lines, sizes, scatter])


@CHARTS
def test_the_same_chart_is_the_same_bytes(draw):
    assert draw() == draw()


@CHARTS
def test_a_chart_is_well_formed_and_has_a_name_and_a_description(draw):
    root = ElementTree.fromstring(draw())
    ids = {element.get("id"): element for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert ids[root.get("aria-labelledby")].tag == "title"
    assert ids[root.get("aria-describedby")].tag == "desc"


@CHARTS
def test_colours_are_only_variables_of_the_page(draw):
    assert not re.findall(r"(?:fill|stroke): (?!none|var\(--)[^;\"]+", draw())


@CHARTS
def test_text_is_text_in_the_fonts_of_the_page(draw):
    chart = draw()
    assert "<text" in chart and "font-family" not in chart and "DejaVu" not in chart


@CHARTS
def test_every_reference_points_at_an_id_that_starts_with_the_name(draw):
    chart = draw("mine")
    ids = re.findall(r' id="([^"]+)"', chart)
    assert len(ids) == len(set(ids))
    assert all(each.startswith("mine-") for each in ids)
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', chart)) <= {(i, "") for i in ids} | {("", i) for i in ids}


@CHARTS
def test_a_chart_names_no_address(draw):
    assert "http" not in draw()


def test_labels_are_escaped():
    chart = dots()
    assert "Hausa &lt;&amp;&gt;" in chart and '<title id="dots-t">Title &lt;1&gt;</title>' in chart


def test_mathematics_in_a_label_stays_text():
    assert "$x_1$" in lines(curves={"$x_1$": [(0.0, 1.0), (1.0, 2.0)]})


def test_bars_are_in_proportion():
    # 400 px are 100 parameters; the student's 8 and 2 are 32 and 8 px wide
    widths = [float(b) - float(a) for a, b in re.findall(r'd="M ([\d.]+) [\d.]+ L ([\d.]+) [\d.]+ L', sizes())]
    assert {320.0, 80.0, 32.0, 8.0} <= {round(width, 1) for width in widths}


def test_dots_lie_in_the_order_of_their_values():
    places = [float(x) for x in re.findall(r'<use href="#dots-m[0-9a-f]+" x="([\d.]+)" y="59', dots())]
    tfidf, student = places  # the student is drawn last, on top
    assert student < tfidf  # Hausa: 92 and 99


def test_intervals_of_two_series_lie_below_each_other_and_their_dots_on_them():
    marks = {"no_teacher": Mark(3.0, (1.0, 5.0)), "tfidf": Mark(2.0, (-1.0, 6.0))}
    chart = dot_chart("two", "t", "d", [DotRow("a", marks)], (0, "level"), {"tfidf": "over it"})
    dots_at = [float(y) for y in re.findall(r'<use href="#two-m[0-9a-f]+" x="[\d.]+" y="([\d.]+)"', chart)]
    assert len(set(dots_at)) >= 2 and ">over it<" in chart


def test_a_legend_that_is_too_long_for_one_line_takes_two():
    marks = {series: Mark(1.0) for series in ("student", "no_teacher", "teacher", "student_plain", "tfidf")}
    wide = dot_chart("a", "t", "d", [DotRow("a", marks)], None, dict.fromkeys(STYLES, "a rather long name"))
    narrow = dot_chart("a", "t", "d", [DotRow("a", marks)])
    heights = [float(re.search(r'viewBox="0 0 400 ([\d.]+)"', chart)[1]) for chart in (wide, narrow)]
    assert heights[0] == heights[1] + 18


def test_a_curve_name_stands_at_the_height_of_its_end():
    chart = lines(curves={"low": [(0.0, 1.0), (9.0, 1.0)], "high": [(0.0, 1.0), (9.0, 5.0)]})
    names = {name: float(y) for y, name in re.findall(r'y="([\d.]+)"[^>]*>(low|high)<', chart)}
    ends = [float(y) for y in re.findall(r"M 5\d[\d.]* [\d.]+ L [\d.]+ ([\d.]+) ", chart)]
    assert names["high"] == pytest.approx(min(ends), abs=6)
    assert names["low"] == pytest.approx(max(ends), abs=6)


def test_a_wide_range_is_drawn_on_a_logarithmic_scale_and_says_so():
    assert "nats, log scale" in lines(curves={"a": [(0.0, 100.0), (1.0, 1.0)]})
    assert "log scale" not in lines(curves={"a": [(0.0, 10.0), (1.0, 1.0)]})
    assert "log scale" not in lines(curves={"a": [(0.0, 10.0), (1.0, 0.0)]})


def test_one_point_and_equal_values_can_be_drawn():
    assert "<use" in lines(curves={"a": [(5.0, 2.0)]})
    assert "<svg" in dot_chart("d", "t", "d", [DotRow("a", {"student": Mark(50.0)}, "50")])


def test_more_languages_than_colours_are_told_apart_by_dashes():
    chart = lines(curves={f"l{at}": [(0.0, 1.0 + at), (1.0, 2.0 + at)] for at in range(8)})
    assert "stroke-dasharray" in chart
    assert "stroke-dasharray" not in lines()


def test_a_long_curve_is_thinned_by_means():
    # 300 points in runs of 2: the first is the mean of (0, 0) and (1, 2)
    points = thin([(float(x), 2.0 * x) for x in range(300)])
    assert len(points) == MAX_POINTS and points[0] == (0.5, 1.0) and points[-1] == (298.5, 597.0)
    assert thin([(1.0, 2.0)]) == [(1.0, 2.0)]


def test_labels_are_moved_apart_and_kept_inside():
    assert spread([10.0, 50.0], 14, 0, 100) == [10.0, 50.0]
    assert spread([10.0, 10.0, 10.0], 14, 0, 100) == [10.0, 24.0, 38.0]
    assert spread([99.0, 98.0], 14, 0, 100) == [100.0, 86.0]


def test_smaller_models_lie_left_and_better_ones_higher_on_a_logarithmic_scale():
    drawn = re.findall(r'<use href="#scatter-m[0-9a-f]+" x="([\d.]+)" y="([\d.]+)"', scatter())
    dots = [(float(x), float(y)) for x, y in drawn]
    small, student, teacher = sorted(dot for dot in dots if dot[1] > 48)  # those above are the legend's
    assert teacher[1] < student[1] < small[1]
    # 5, 20 and 2000 MB: a factor of 4, then of 100
    assert (teacher[0] - student[0]) / (student[0] - small[0]) == pytest.approx(math.log(100) / math.log(4), rel=0.01)
