"""Give output frames their props: the source frame's own, but the output's timing and scene marks."""

from __future__ import annotations

import vapoursynth as vs

from vsvfi.clip import decisions
from vsvfi.clip.colour import check_progressive
from vsvfi.clip.failures import reporting


def finished(picture: vs.VideoNode, props_source: vs.VideoNode, plan: vs.VideoNode, output: vs.VideoNode) -> vs.VideoNode:
    """Frames with all props of the source frame, but the output's own timing and scene marks; planes are not copied."""

    def finish(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        decision = decisions.read(f[2])
        check_progressive(f[1].props)
        out = f[0].copy()
        props = out.props
        if decision.blend is not None:
            props.clear()
            props.update(f[1].props)
        if not decision.on_source or decision.blend is not None:
            props.pop("_AbsoluteTime", None)
        _mark_scene(props, decision, first=n == 0, last=n == output.num_frames - 1)
        if decision.duration is None:
            props.pop("_DurationNum", None)
            props.pop("_DurationDen", None)
        else:
            props["_DurationNum"], props["_DurationDen"] = decision.duration.numerator, decision.duration.denominator
        return out

    template = picture.std.BlankClip(length=output.num_frames, keep=True)
    return template.std.ModifyFrame([picture, props_source, plan], reporting(finish))


def _mark_scene(props: vs.FrameProps, decision: decisions.Decision, *, first: bool, last: bool) -> None:
    """One first and one last frame per scene; the source's own word stands at both ends of the clip, and frames without marks get none but real ones."""
    for name, mark, keep in (("_SceneChangePrev", decision.scene_first, first), ("_SceneChangeNext", decision.scene_last, last)):
        if not keep and (mark or name in props):
            props[name] = int(mark)
