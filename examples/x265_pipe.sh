#!/usr/bin/env bash
# Twice the frame rate into the x265 program itself: bash x265_pipe.sh VIDEO OUTPUT.hevc [x265 options]
# VIDEO "" is a small clip that vsvfi draws itself.
set -euo pipefail
here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
video="${1?VIDEO is missing}" output="${2?OUTPUT is missing}"
shift 2
[[ -z $video || $video == /* ]] || video="$PWD/$video" # vspipe evaluates the script in the script's own folder
vspipe -a "source=$video" -c y4m "$here/minimal.vpy" - | x265 --y4m - --crf 18 "$@" --output "$output"
