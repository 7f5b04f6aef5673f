"""Format the measurements of `vsvfi bench` as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def report(result: dict[str, Any]) -> Iterator[str]:
    """Format the result as text."""
    width, height = result["size"]
    yield (
        f"{result['model']} ({result['weights']} weights), {width}x{height}, {result['multi']}x, {result['device']}, "
        f"{result['precision']}, runtime {result['runtime']}, {result['threads']} threads"
        + (f", tiles of {result['tile']}" if result["tile"] else "")
    )
    for name, value in result["phases_ms"].items():
        yield f"  {name:<14} {value['median']:9.2f} ms   (min {value['min']:.2f})"
    for key, label in (
        ("network_pairs_per_second", "network alone"),
        ("interpolate_pairs_per_second", "interpolate()"),
    ):
        if result[key] is not None:
            yield f"  {label:<14} {result[key]['median']:9.2f} pairs/s   (max {result[key]['max']:.2f})"
    share = result["share_outside_network"]
    yield (
        f"  outside network {100 * share['median']:7.1f} % of the time of interpolate()   "
        f"(min {100 * share['min']:.1f} %)"
    )
    if "afresh" in result:
        yield from _afresh(result["afresh"])


def _afresh(found: dict[str, Any]) -> Iterator[str]:
    """Format the time of one pair without caches."""
    width, height = found["padded_size"]
    yield (
        f"  one pair afresh {found['mean_ms']:8.2f} ms   (median {found['median_ms']:.2f}, {found['calls']} calls "
        f"after {found['warm_up']}, {width}x{height})"
    )
    counts = dict(found["multiply_adds"])
    total = counts.pop("total")
    parts = ", ".join(f"{kind} {count / 1e9:.3f}" for kind, count in counts.items())
    yield f"  parameters {found['parameters'] / 1e6:.3f} M, multiply-adds {total / 1e9:.3f} G ({parts})"
