"""All of it in one command: the default experiment, its controls, the source beside ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from grokcrit._version import __version__
from grokcrit.base.errors import TableError
from grokcrit.base.options import check_choice
from grokcrit.base.parallel import Progress
from grokcrit.base.vocabulary import DISAGREE, SURROGATES, THE_FIVE
from grokcrit.paper.claim_exponents import cautions, other_choices
from grokcrit.paper.claim_row import number
from grokcrit.paper.claims import Claim, claims
from grokcrit.paper.reference import ELSEWHERE
from grokcrit.plot import SOURCE
from grokcrit.report import report
from grokcrit.stages import plot
from grokcrit.stages import train as training
from grokcrit.stages.avalanche import avalanche
from grokcrit.stages.bootstrap import bootstrap
from grokcrit.stages.diagnose import diagnose
from grokcrit.stages.fss import fss
from grokcrit.stages.robustness import robustness
from grokcrit.tables import files, writing
from grokcrit.tables.schemas import TRAIN
from grokcrit.tasks.xor import TrainOptions

# One choice of METHOD, section 4, changed at a time.
OTHER_CHOICES: tuple[tuple[str, object], ...] = (
    ("activation", "relu"),
    ("activation", "sigmoid"),
    ("init", "xavier"),
    ("init", "he"),
    ("init", "normal:0.5"),
    ("init", "normal:1"),
    ("lr", 0.1),
    ("lr", 1.0),
    ("topology", "ring"),
    ("topology", "lattice"),
    ("topology", "small-world"),
    ("topology", "erdos-renyi"),
    ("topology", "random-regular"),
    ("parameter_order", "shuffled"),
    ("alpha", 0.1),
    ("alpha", 0.5),
    ("quantile", 80),
    ("quantile", 95),
    ("rule", "reset"),
    ("max_steps", 10),
    ("max_steps", 50),
)
# Sizes left out, a quarter of them.
OTHER_SIZES: tuple[tuple[str, Callable[[Sequence[int]], Sequence[int]]], ...] = (
    ("without the smallest", lambda sizes: sizes[len(sizes) // 4 :]),
    ("without the largest", lambda sizes: sizes[: -(len(sizes) // 4)]),
)
FORMATS = ("png", "pdf")
BOTH = ("none", "gaussian")


@dataclass(frozen=True)
class Scale:
    """How much of the experiment is run."""

    training: dict[str, Any] = field(default_factory=dict)
    graph_seeds: int = 6
    fss_resamples: int = 2000
    resamples: int = 10_000
    # Null models, placebos, robustness, the Gini study: seeds of the study, 0 for none of it.
    study: int = 0


SCALES = {
    # All of it on tiny sizes, for CI: its numbers mean nothing.
    "smoke": Scale({"hidden": (6, 10, 16, 24), "seeds": 2, "epochs": 150}, 2, 100, 200, study=8),
    "paper": Scale(),
    "full": Scale(study=1000),
}


def reproduce(
    out: str | Path,
    *,
    scale: str = "paper",
    seed: int = 0,
    threads: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> list[Claim]:
    """Repeat the experiment and hold the source's claims against it.

    Parameters
    ----------
    out
        Folder; made if it is missing. Gets the tables, the figures, and the claims as
        ``claims.md`` and ``claims.json``.
    scale
        ``paper`` (the source's experiment and claims), ``full`` (all that grokcrit can ask of it:
        null models, placebos, robustness, a thousand seeds for the Gini coefficient, a report) or
        ``smoke`` (``full`` on tiny sizes, its numbers mean nothing).
    seed
        Root seed.
    threads
        None for all cores. Changes no bit of the result.
    cache
        Whether to keep graphs on disk, and take them from there.
    progress
        Called with (steps done, in all).

    Returns
    -------
    list of Claim
        The rows of the table.
    """
    check_choice("scale", scale, tuple(SCALES))
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TableError(f"cannot make the folder {out}: {error.strerror}") from None
    for name in (
        "claims.md",
        "claims.json",
        "report.html",
    ):  # an older verdict must not outlive its tables
        (folder / name).unlink(missing_ok=True)
    work = Work(folder, scale, seed, threads, cache)
    steps: Sequence[Callable[[], None]] = (
        work.experiment,
        work.estimates,
        work.figures,
        work.topologies,
        work.shadow,
        *(partial(work.choice, name, value) for name, value in OTHER_CHOICES),
        *(partial(work.other_sizes, name, chosen) for name, chosen in OTHER_SIZES),
        work.choices,
        *((work.diagnoses, work.robustness, work.gini) if work.scale.study else ()),
    )
    for done, step in enumerate(steps):
        if progress:
            progress(done, len(steps))
        step()
    rows = claims(work.made)
    write_text(
        folder / "claims.md", markdown(rows, other_choices(work.made), cautions(work.made), scale)
    )
    write_text(folder / "claims.json", json.dumps([row.as_dict() for row in rows], indent=1) + "\n")
    if work.scale.study:
        report(folder, folder / "report.html")
    return rows


class Work:
    """The steps, and the tables they have made."""

    def __init__(
        self, folder: Path, scale: str, seed: int, threads: int | None, cache: bool
    ) -> None:
        """Start in a folder, with no tables."""
        self.folder, self.scale, self.seed, self.threads = folder, SCALES[scale], seed, threads
        # Added to the record of train tables; the report reads it there.
        self.named = {"scale": scale}
        # For the steps that make graphs.
        self.means: dict[str, Any] = {"threads": threads, "cache": cache}
        self.made: dict[str, pa.Table] = {}
        self.tried: list[tuple[pa.Table, pa.Table]] = []

    def path(self, name: str) -> Path:
        """Where a table is kept."""
        return self.folder / f"{name}.parquet"

    def keep(self, name: str, table: pa.Table) -> pa.Table:
        """Write a table and remember it."""
        writing.write(self.path(name), [table], table.schema)
        self.made[name] = table
        return table

    def train(self, name: str, **options: Any) -> Path:
        """Train and write a run at a time; remember the rows without their gradients."""
        settled = TrainOptions(**self.scale.training | {"seed": self.seed} | options)
        slim: list[pa.Table] = []

        def tapped() -> Iterator[pa.Table]:
            for run in training.runs(settled, **self.means):
                slim.append(run.drop_columns(["gradient"]))
                yield run

        record = training.record(settled) | self.named
        writing.write(self.path(name), tapped(), TRAIN.recorded(record))
        self.made[name] = pa.concat_tables(slim)
        return self.path(name)

    def cascades(self, source: Path | pa.Table, **options: Any) -> pa.Table:
        """Run the cascades of a train table."""
        return avalanche(source, seed=self.seed, **self.means, **options)

    def fits(self, found: pa.Table | list[pa.Table], **options: Any) -> pa.Table:
        """Fit the exponents of avalanche tables."""
        resamples = self.scale.fss_resamples
        return fss(found, threads=self.threads, resamples=resamples, seed=self.seed, **options)

    def experiment(self) -> None:
        """Train the default experiment; cascade and fit data and null."""
        source = self.train("train")
        nulls = SURROGATES if self.scale.study else BOTH
        found = self.keep("avalanche", self.cascades(source, surrogate=nulls))
        self.keep("fss", self.fits(found))

    def estimates(self) -> None:
        """Bootstrap it."""
        resamples = self.scale.resamples
        table = self.made["avalanche"]
        self.keep(
            "bootstrap",
            bootstrap(table, threads=self.threads, resamples=resamples, seed=self.seed),
        )

    def figures(self) -> None:
        """Draw the source's three figures."""
        sources = [self.path(n) for n in ("train", "avalanche", "fss", "bootstrap")]
        for figure in SOURCE:
            self.draw(figure, sources)

    def draw(self, figure: str, sources: Sequence[Path]) -> None:
        """Draw a figure in every format."""
        drawn = plot.figure(figure, sources)
        for kind in FORMATS:
            plot.save(drawn, self.folder / f"{figure}.{kind}", figure)

    def topologies(self) -> None:
        """Cascade the same gradients, and the synthetic control, on five topologies."""
        graphs = {"topology": THE_FIVE, "graph_seed": range(self.scale.graph_seeds)}
        found = self.cascades(self.path("train"), surrogate=BOTH, **graphs)
        self.keep("topologies-avalanche", found)
        self.keep("topologies-fss", self.fits(found, observable="size"))

    def shadow(self) -> None:
        """Train on the raw gradient, the cascade only measuring (alpha_train = 0)."""
        source = self.train("shadow-train", probe="shadow")
        found = self.keep("shadow-avalanche", self.cascades(source, surrogate=BOTH))
        self.keep("shadow-fss", self.fits(found, observable="size"))

    def choice(self, name: str, value: object, label: str = "") -> None:
        """Train under another choice; its avalanches are kept, its gradients are not."""
        options = self.scale.training | {"seed": self.seed, "label": label or f"{name}={value}"}
        trained = training.train(**self.means, **options | {name: value})
        self.tried.append((trained.drop_columns(["gradient"]), self.cascades(trained)))

    def other_sizes(self, name: str, chosen: Callable[[Sequence[int]], Sequence[int]]) -> None:
        """Fit other sizes: the same runs, some left out."""
        label, own = f"sizes={name}", TrainOptions(**self.scale.training)
        self.choice("hidden", chosen(own.hidden), label)

    def choices(self) -> None:
        """Fit the other choices; the range their numbers take goes into the table."""
        trained, found = zip(*self.tried, strict=True)
        self.made["choices-train"] = pa.concat_tables(
            [t.replace_schema_metadata() for t in trained]
        )
        self.keep("choices-fss", self.fits(list(found), observable="size"))

    def diagnoses(self) -> None:
        """Ask what D measures: null models, placebos and all else that diagnose answers."""
        sources = [self.path("avalanche"), self.path("train")]
        resamples = self.scale.fss_resamples
        found = diagnose(sources, threads=self.threads, resamples=resamples, seed=self.seed)
        self.keep("diagnostics", found)
        self.draw("controls", [self.path("fss"), self.path("train")])

    def robustness(self) -> None:
        """Vary the cascade on the same gradients."""
        found = robustness(
            self.path("train"),
            graph_seeds=self.scale.graph_seeds,
            resamples=self.scale.fss_resamples,
            seed=self.seed,
            **self.means,
        )
        self.keep("robustness", found)
        self.draw("robustness", [self.path("robustness")])

    def gini(self) -> None:
        """Follow the Gini coefficient over many seeds; a run at a time, no gradients."""
        options = {"seeds": self.scale.study, "gradients": False, "seed": self.seed}
        settled = TrainOptions(**self.scale.training | options)
        path = self.path("gini-train")
        writing.write(
            path,
            training.runs(settled, **self.means),
            TRAIN.recorded(training.record(settled)),
        )
        self.keep("gini-diagnostics", diagnose(path, only="gini", threads=self.threads))


COLUMNS = ("claim", "source", "ours", "interval", "null", "agrees", "basis")


def markdown(
    rows: list[Claim], choices: list[dict[str, Any]], beware: list[str], scale: str
) -> str:
    """Write the table, each row in words, and the numbers under other training choices."""
    lines = [
        "# The source beside ours",
        "",
        f"grokcrit {__version__}, scale {scale}. Source: arXiv 2604.04655. Basis: stated in the "
        "source, or reported by summaries of it. How each row is judged is said in docs/method.md.",
        "",
    ]
    if scale == "smoke":
        lines += ["Smoke scale: tiny sizes, few runs. These numbers mean nothing.", ""]
    lines += ["| " + " | ".join(COLUMNS).replace("agrees", "agrees?") + " |"]
    lines += ["|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(getattr(r, c)) for c in COLUMNS) + " |" for r in rows]
    for title, wanted in (
        ("What disagrees", DISAGREE),
        ("What could not be fitted", ("no fit",)),
        ("What agrees, or is consistent", ("yes", "consistent")),
    ):
        chosen = [row.words for row in rows if row.agrees in wanted]
        if chosen:
            lines += ["", f"## {title}", "", *[f"- {words}" for words in chosen]]
    lines += ["", "## Beware", "", *[f"- {each}" for each in beware]]
    lines += ["", "## Under other training choices", "", "Mean size; one choice changed at a time."]
    lines += ["", "| " + " | ".join(choices[0]) + " |", "|" + "---|" * len(choices[0])]
    for choice in choices:
        cells = [v if isinstance(v, str) else number(v) for v in choice.values()]
        lines.append("| " + " | ".join(cells) + " |")
    both = [c for c in choices if c["D before"] is not None and c["D after"] is not None]
    higher = sum(c["D after"] > c["D before"] for c in both)
    lines += ["", f"D after exceeds D before under {higher} of the {len(both)} with both fits."]
    lines += ["", "## What XOR cannot answer", "", *[f"- {each}" for each in ELSEWHERE], ""]
    return "\n".join(lines)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with files.replacing(path) as file:
        file.write(text.encode())
