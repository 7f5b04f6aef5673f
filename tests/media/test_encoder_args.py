"""Encoder options: pairs that the encoder has, and nothing that ffmpeg could take for a file."""

from __future__ import annotations

import pytest

from tests.cli.media_files import ffmpeg
from vsvfi.errors import ArgumentError
from vsvfi.media.encoder_args import merge, options, parse


def test_options_are_split_as_a_shell_does() -> None:
    assert parse("-tune film -x264-params 'aq-mode=3:me=umh' -g:v 48", ffmpeg(), "libx264") == [
        *("-tune", "film", "-x264-params", "aq-mode=3:me=umh", "-g:v", "48")
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-tune 'film", "cannot be split"),
        ("film", "'film', is not an option"),
        ("-tune film other.mkv", "'other.mkv', is not an option"),
        ("-tune", "has no value"),
        ("-shortest other.mkv", "is not an option of libx264"),
        ("-y other.mkv", "is not an option of libx264"),
        ("-map 0", "is not an option of libx264"),
        ("-tunee film", "is not an option of libx264; see 'ffmpeg -h encoder=libx264'"),
    ],
)
def test_what_could_name_a_file_is_refused(text: str, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        parse(text, ffmpeg(), "libx264")


def test_lists_of_settings_are_joined_and_the_user_has_the_last_word() -> None:
    ours = ["-crf", "18", "-x265-params", "log-level=error:hdr10=1"]
    assert merge(ours, ["-x265-params", "aq-mode=3", "-crf", "20"]) == [
        *("-crf", "18", "-x265-params", "log-level=error:hdr10=1:aq-mode=3", "-crf", "20")
    ]
    assert merge(ours, []) == ours


def test_an_ffmpeg_that_does_not_run_has_few_options() -> None:
    assert "tune" not in options("/nowhere/ffmpeg", "libx264")
