# vsvfi with vspipe, source filters and ffmpeg.
#
#   docker build -t vsvfi .                              for a CPU
#   docker build -t vsvfi --build-arg TORCH=cu130 .      for NVIDIA GPUs: docker run --gpus all ...
#   docker run --rm -v "$PWD:/video" vsvfi render film.mkv -o film_2x.mkv
#
# torch's CUDA wheels bring the CUDA libraries, so both need the same base and the host needs only a driver.
FROM python:3.13-slim-trixie
ARG TORCH=cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE /source/
COPY man /source/man
COPY vsvfi /source/vsvfi
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --torch-backend "$TORCH" "/source[video]" \
    && rm -rf /source
RUN vsvfi doctor
WORKDIR /video
ENTRYPOINT ["vsvfi"]
CMD ["--help"]
