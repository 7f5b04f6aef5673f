"""Build the page of a comparison: one HTML file that needs no network.

Without its script it is a plain document with images below each other; the script overlays them.
"""

from __future__ import annotations

import html
import importlib.resources
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from statistics import fmean

from vsvfi.compare.images import GAIN, as_url
from vsvfi.compare.result import Result, Shot, Tally, duration

PLACES = 6
"""Default number of places whose images are shown."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_TITLES = {"truth": "true frame", "before": "frame before", "after": "frame after"}


def page(result: Result, places: int = PLACES) -> str:
    """Return the whole page.

    Args:
        result: the results so far.
        places: number of places whose images are shown.
    """
    style, script = (
        importlib.resources.files("vsvfi.compare").joinpath(name).read_text(encoding="utf-8")
        for name in ("page.css", "page.js")
    )
    title = f"Interpolation of {result.video} compared"
    body = "\n".join(_body(result, places))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n{body}\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _body(result: Result, places: int) -> Iterator[str]:
    escape = html.escape
    frames = sum(len(place) // 2 for place in result.places)
    noun = "place" if len(result.places) == 1 else "places"
    yield f"<header><h1>{escape(result.video)}: which model interpolates it best</h1>"
    yield (
        f'<p class="facts">{result.size[0]}x{result.size[1]}, {float(result.rate):.6g} frames per second'
        f"{' on average' if result.times else ''}, "
        f"{result.frames} frames. {frames} frames at {len(result.places)} {noun} were removed, predicted from their "
        f"neighbours and compared with the true ones. Models ran on {escape(result.device)}.</p></header>"
    )
    yield "<main>"
    stopped = "" if result.complete else '<p class="note">Stopped early: this is what was done until then.</p>'
    verdict = "".join(f"<p>{escape(line)}</p>" for line in result.verdict())
    yield f'<section aria-label="Verdict" class="verdict">{verdict}{stopped}</section>'
    if result.ranked:
        yield "<h2>Scores and cost</h2>"
        yield from _table(result)
    if result.left_out:
        yield "<h2>Left out</h2><ul>"
        for name, reason in result.left_out.items():
            yield f"<li><strong>{escape(name)}</strong>: {escape(reason)}</li>"
        yield "</ul>"
    shots = telling(result, places) if result.ranked else []
    if shots:
        yield "<h2>Look for yourself</h2>"
        yield (
            '<p class="note">The frames where methods differ most. The slider divides the image: left of it the true '
            "frame, right of it a prediction. Blink puts one in the place of the other.</p>"
        )
        yield (
            '<p class="note keys">Keys, inside a place: <kbd>B</kbd> blink, <kbd>N</kbd> <kbd>P</kbd> or '
            f"<kbd>1</kbd>-<kbd>9</kbd> another prediction, <kbd>E</kbd> its errors ({GAIN} times larger), "
            "<kbd>+</kbd> <kbd>-</kbd> <kbd>0</kbd> zoom, arrows on the slider or, zoomed, on the image.</p>"
        )
        for number, shot in enumerate(shots, 1):
            yield from _place(result, shot, number)
    if result.ranked:
        yield from _every_frame(result)
    yield "</main>"


def telling(result: Result, places: int) -> list[Shot]:
    """Return the shots where methods differ most, in this order."""

    def spread(shot: Shot) -> float:
        values = [tally.scores["psnr"][shot.frame] for tally in result.ranked]
        return max(values) - min(values) if values else 0.0

    return sorted(result.shots, key=spread, reverse=True)[:places]


type _Column = tuple[str, Callable[[Tally], float | None], Callable[[float], str], Callable[[Sequence[float]], float]]


def _columns(result: Result) -> list[_Column]:
    columns: list[_Column] = [
        ("PSNR, dB", lambda tally: tally.mean("psnr"), "{:.2f}".format, max),
        ("SSIM", lambda tally: tally.mean("ssim"), "{:.4f}".format, max),
        ("LPIPS", lambda tally: tally.mean("lpips"), "{:.4f}".format, min),
        ("worst PSNR", lambda tally: tally.scores["psnr"][tally.worst], "{:.2f}".format, max),
        ("flicker", lambda tally: fmean(tally.flicker), "{:.2f}".format, min),
        ("per new frame", lambda tally: tally.seconds_per_frame, duration, min),
        ("whole video", lambda tally: 3600 * result.hours[tally.name], duration, min),
    ]
    known = {score for tally in result.ranked for score in tally.scores}
    return [column for column in columns if column[0] not in ("SSIM", "LPIPS") or column[0].lower() in known]


def _table(result: Result) -> Iterator[str]:
    columns = _columns(result)
    yield (
        '<p class="note">PSNR and SSIM: higher is better; LPIPS and flicker (change of the error from one predicted '
        f"frame to the next, in 1/255): lower. Time for {float(result.rate * result.factor):.6g} frames per second, "
        "without encoding. The best model of a column is marked.</p>"
    )
    yield '<div class="wide" role="region" aria-label="Scores and cost" tabindex="0"><table>'
    heads = "".join(f'<th scope="col">{name}</th>' for name, *_ in columns)
    yield f'<thead><tr><th scope="col">method</th>{heads}</tr></thead><tbody>'
    models = [tally for tally in result.ranked if tally.model]
    marks = [best([value(tally) or 0.0 for tally in models]) if models else None for _, value, _, best in columns]
    for tally in result.ranked:
        cells = []
        for (_, value, written, _), mark in zip(columns, marks, strict=True):
            found = value(tally)
            kind = ' class="best"' if tally.model and len(models) > 1 and found == mark else ""
            cells.append(f"<td{kind}>{written(found or 0.0)}</td>")
        plain = "" if tally.model else ' class="plain"'
        yield f'<tr{plain}><th scope="row">{html.escape(tally.name)}</th>{"".join(cells)}</tr>'
    yield "</tbody></table></div>"


def _place(result: Result, shot: Shot, number: int) -> Iterator[str]:
    escape = html.escape
    scores = {tally.name: tally.scores["psnr"][shot.frame] for tally in result.ranked}
    order = sorted((name for name in scores if name in shot.shown), key=lambda name: -scores[name])
    labels = {**_TITLES, **{name: f"{name}, {scores[name]:.2f} dB" for name in order}}
    where = clock(result.time_of(shot.frame))
    yield f'<section class="place" aria-labelledby="place{number}">'
    yield f'<h3 id="place{number}">{where}, frame {shot.frame}</h3>'
    others = f" (the others down to {scores[order[-1]]:.2f} dB)" if len(order) > 1 else ""
    yield f'<p class="note">Nearest to the true frame: {escape(labels[order[0]])}{others}.</p>'
    first = ["truth", *order, "before", "after"]
    yield f'<div class="stage" tabindex="0" role="group" aria-label="Images at {where}">'
    yield f'<div class="stack" style="--ratio: {result.size[0] / result.size[1]:.5f}">'
    for name in first:
        yield _figure(name, labels[name], f"{labels[name]}, at {where}", shot.shown[name])
    for name in order:
        label = f"errors of {name}"
        yield _figure(f"error {name}", label, f"Where {name} differs from the true frame", shot.errors[name])
    yield "</div></div>"
    yield '<div class="tags" aria-hidden="true" hidden><span></span><span></span></div>'
    yield '<p class="hidden" role="status"></p>'
    yield '<div class="controls" hidden>'
    yield f"<label>Left{_select(first, labels, 'truth')}</label>"
    yield f"<label>Right{_select([*order, 'truth', 'before', 'after'], labels, order[0])}</label>"
    yield (
        '<label class="long">Divide<input type="range" min="0" max="100" value="50" step="1" '
        f'aria-label="Where the image is divided, in percent from the left, place {number}"></label>'
    )
    yield f'<label class="check"><input type="checkbox">Errors, {GAIN}x</label>'
    yield '<button type="button" class="blink" aria-pressed="false">Blink</button>'
    for zoom in (1, 2, 4):
        yield f'<button type="button" class="zoom" value="{zoom}" aria-pressed="false">{zoom}x</button>'
    yield "</div></section>"


def _figure(name: str, label: str, description: str, content: bytes) -> str:
    name, label, description = (html.escape(text) for text in (name, label, description))
    return (
        f'<figure data-name="{name}" data-label="{label}"><img src="{as_url(content)}" alt="{description}" '
        f'draggable="false"><figcaption>{label}</figcaption></figure>'
    )


def _select(names: Sequence[str], labels: dict[str, str], chosen: str) -> str:
    options = []
    for name in names:
        chosen_one = " selected" if name == chosen else ""
        options.append(f'<option value="{html.escape(name)}"{chosen_one}>{html.escape(labels[name])}</option>')
    return f"<select>{''.join(options)}</select>"


def _every_frame(result: Result) -> Iterator[str]:
    """Tabulate the PSNR of every predicted frame."""
    yield "<details><summary>PSNR of every predicted frame</summary>"
    yield '<div class="wide" role="region" aria-label="PSNR of every predicted frame" tabindex="0"><table><thead><tr>'
    names = "".join(f'<th scope="col">{html.escape(tally.name)}</th>' for tally in result.ranked)
    yield f'<th scope="col">time, frame</th>{names}</tr></thead><tbody>'
    for frame in sorted(frame for place in result.places for frame in place[1::2]):
        cells = "".join(f"<td>{tally.scores['psnr'][frame]:.2f}</td>" for tally in result.ranked)
        yield f'<tr><th scope="row">{clock(result.time_of(frame))}, {frame}</th>{cells}</tr>'
    yield "</tbody></table></div></details>"


def clock(seconds: Fraction) -> str:
    """Format a time in a video: 1:02:03.45."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"
