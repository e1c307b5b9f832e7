# ablate in a container: torch's default wheels, which run on NVIDIA GPUs and on CPUs; smaller ones for CPUs alone:
# docker build --build-arg TORCH_INDEX=... -t ablate:cpu . with the index that torch's "get started" page names.
#
#   docker build -t ablate .
#   docker run --rm -v "$PWD:/work" -v ablate-cache:/cache ablate run study.yaml
#   docker run --rm --gpus all -v "$PWD:/work" -v ablate-cache:/cache ablate:cuda run study.yaml
#
# Results land in /work/results. With --user "$(id -u):$(id -g)" they belong to who runs it.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm

# Where torch's wheels come from; empty: the usual index (the driver of a GPU comes from the host).
ARG TORCH_INDEX=
# Extras of the project, separated by commas.
ARG EXTRAS=postgres

# First and alone: the largest layer, which changes least.
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY ablate ablate
RUN pip install --no-cache-dir "/src[${EXTRAS}]"

# /cache is open to every user, for who runs it under an id of their own.
RUN useradd --create-home --uid 1000 ablate \
    && install --directory --owner=ablate /work \
    && install --directory --mode=1777 /cache /cache/home
ENV ABLATE_CACHE=/cache \
    HOME=/cache/home \
    HF_HOME=/cache/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib \
    USER=ablate \
    PYTHONUNBUFFERED=1

WORKDIR /work
COPY --chown=ablate studies studies
USER ablate
ENTRYPOINT ["ablate"]
CMD ["--help"]
