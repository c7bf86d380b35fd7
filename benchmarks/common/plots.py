"""The plots of the report: what a suite wants drawn, and its drawing. Needs matplotlib to draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.common.figures import Results, median_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Colours = Mapping[str, str]

OTHERS = "#b8c4cc"
OTHER_LINES = "#59a14f"
STYLES = ("o-", "s-", "d--", "^--", "v-")


class Panel(Protocol):
    """One of the drawings of a plot."""

    def draw(self, axes: Axes, results: Results, colours: Colours) -> None:
        """Draw what there are figures for."""


@dataclass(frozen=True)
class Compared:
    """A bar for each peer of a row, the best on top."""

    row: str
    figure: str
    title: str

    def draw(self, axes: Axes, results: Results, colours: Colours) -> None:
        """Draw them, each with its figure."""
        from matplotlib.ticker import NullFormatter

        names = results.get(self.row, {})
        found = [(name, median_of(results, self.row, name, self.figure)) for name in names]
        is_rate = self.figure.endswith("per_s")
        shown = sorted(((v, n) for n, v in found if v is not None), reverse=not is_rate)
        bars = [n for _, n in shown], [v for v, _ in shown]
        axes.barh(*bars, color=[colours.get(n) or OTHERS for _, n in shown])
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())  # the figures stand at the bars
        for place, (value, _) in enumerate(shown):
            axes.text(value, place, f" {value:,.0f}", va="center", fontsize=8)
        axes.margins(x=0.2)
        axes.set_title(self.title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)


@dataclass(frozen=True)
class Growth:
    """A line for each peer through a figure of several rows."""

    peers: tuple[str, ...]
    points: tuple[tuple[int, str], ...]
    """Abscissa and row."""
    figure: str
    label: str
    figure_label: str
    has_legend: bool = False

    def draw(self, axes: Axes, results: Results, colours: Colours) -> None:
        """Draw the lines, both axes logarithmic."""
        from matplotlib.ticker import NullFormatter

        for name, style in zip(self.peers, STYLES, strict=True):
            found = [(x, median_of(results, row, name, self.figure)) for x, row in self.points]
            line = [(x, y) for x, y in found if y is not None]
            if line:
                colour = colours.get(name) or OTHER_LINES
                axes.plot(*zip(*line, strict=True), style, label=name, color=colour)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(self.label)
        axes.set_ylabel(self.figure_label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if self.has_legend:
            axes.legend(fontsize=8)


@dataclass(frozen=True)
class Plot:
    """A picture of the report."""

    name: str
    needs: str
    """The row without whose figures it is left out."""
    panels: tuple[Panel, ...]
    """Three in a row, or four in two."""

    def draw(self, results: Results, colours: Colours, path: Path) -> None:
        """Draw it into a file."""
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        rows, columns, size = (1, 3, (12, 4)) if len(self.panels) == 3 else (2, 2, (10, 7))
        picture, grid = plt.subplots(rows, columns, figsize=size, layout="constrained")
        for axes, panel in zip(grid.flat, self.panels, strict=True):
            panel.draw(axes, results, colours)
        picture.savefig(path, dpi=110)
        plt.close(picture)


def draw(plots: Iterable[Plot], results: Results, colours: Colours, folder: Path) -> list[str]:
    """Draw the plots there are figures for; returns their names."""
    wanted = [plot for plot in plots if results.get(plot.needs)]
    for plot in wanted:
        plot.draw(results, colours, folder / f"{plot.name}.png")
    return [plot.name for plot in wanted]
