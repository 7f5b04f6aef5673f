"""Give output frames their props: the source frame's own, but the output's timing and scene marks."""

from __future__ import annotations

import vapoursynth as vs

from vsvfi.clip import decisions
from vsvfi.clip.alpha import ALPHA, MISSING
from vsvfi.clip.colour import check_progressive
from vsvfi.clip.failures import reporting
from vsvfi.clip.log import once
from vsvfi.plan.timeline import Copy, Interpolate


def finished(
    image: vs.VideoNode,
    props_source: vs.VideoNode,
    plan: vs.VideoNode,
    output: vs.VideoNode,
    alpha: vs.VideoNode | None = None,
) -> vs.VideoNode:
    """Frames with all props of the source frame, but the output's own timing, scene marks and, if given, alpha.

    Planes are not copied.
    """

    warn = once(vs.MESSAGE_TYPE_WARNING)

    def finish(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        times, decision = decisions.timing(f[2]), decisions.shown(f[2])
        check_progressive(f[1].props)
        out = f[0].copy()
        props = out.props
        if isinstance(decision, Interpolate):
            props.clear()
            props.update(f[1].props)
            if alpha is None and isinstance(props.get(ALPHA), vs.VideoFrame):
                warn(
                    f"frame {n} keeps the {ALPHA} of the source frame before it: the first frame of the clip carries "
                    "none that can be interpolated"
                )
            for transparency in f[3:]:
                if MISSING not in transparency.props:
                    props[ALPHA] = transparency
        if not times.on_source or not isinstance(decision, Copy):
            props.pop("_AbsoluteTime", None)
        _mark_scene(props, times, first=n == 0, last=n == output.num_frames - 1)
        if times.duration is None:
            props.pop("_DurationNum", None)
            props.pop("_DurationDen", None)
        else:
            props["_DurationNum"], props["_DurationDen"] = times.duration.as_integer_ratio()
        return out

    template = image.std.BlankClip(length=output.num_frames, keep=True)
    inputs = [image, props_source, plan, *([] if alpha is None else [alpha])]
    return template.std.ModifyFrame(inputs, reporting(finish))


def _mark_scene(props: vs.FrameProps, times: decisions.Timing, *, first: bool, last: bool) -> None:
    """Set the scene change props so that each scene has one first and one last frame.

    The first and last frame of the clip keep the source's props. Frames without these props only get them at a cut.
    """
    for name, mark, keep in (
        ("_SceneChangePrev", times.scene_first, first),
        ("_SceneChangeNext", times.scene_last, last),
    ):
        if not keep and (mark or name in props):
            props[name] = int(mark)
