"""Containers of a render: times and streams of the source, ffmpeg's arguments, checks of the output."""
