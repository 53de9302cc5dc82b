# One image for every program of Sluice; the command names the program (`worker`, `api`, ...).
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/sluice
ENV PATH=/opt/sluice/bin:$PATH
WORKDIR /src
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# The dependencies change less often than the code: their layer is kept.
COPY pyproject.toml constraints.txt ./
RUN python -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))' > needed.txt \
    && pip install -c constraints.txt -r needed.txt
COPY . .
RUN pip install -c constraints.txt --no-deps . \
    && cd / && sluice --version | grep "scoring compiled" \
    && python -m compileall -q /opt/sluice/lib

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 sluice \
    && useradd --uid 10001 --gid sluice --no-create-home --home-dir /var/lib/sluice --shell /usr/sbin/nologin sluice \
    && install -d -o sluice -g sluice -m 0750 /var/lib/sluice
COPY --from=build /opt/sluice /opt/sluice
COPY deploy/docker/health.py /opt/sluice/health.py
ENV PATH=/opt/sluice/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/sluice
ENTRYPOINT ["sluice"]
CMD ["--help"]
