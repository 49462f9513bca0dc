# The gateway in one image: `passerelle serve` unless told otherwise. See docs/running/docker.md.
FROM python:3.11-slim-trixie AS build
WORKDIR /build
RUN python -m venv /opt/passerelle
COPY requirements/image.txt requirements/
RUN /opt/passerelle/bin/pip install --no-cache-dir --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
# What is compiled here need not be compiled at every start: the root file system may be read-only.
RUN /opt/passerelle/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/passerelle/bin/python -m compileall -q /opt/passerelle/lib

FROM python:3.11-slim-trixie
# libmagic1: linked devices ask it what a file is. postgresql-client: pg_dump 17, as the server in compose.yaml.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libmagic1 postgresql-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin passerelle \
    && install --directory --owner=passerelle --group=passerelle --mode=0700 /data
COPY --from=build /opt/passerelle /opt/passerelle
ENV PATH=/opt/passerelle/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PASSERELLE_HOST=0.0.0.0 \
    PASSERELLE_DATA_DIR=/data
USER 10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import os, urllib.request as ask; env = os.environ; ask.urlopen(f'http://127.0.0.1:{env.get(\"PASSERELLE_PORT\") or env.get(\"PORT\") or 8000}/readyz', timeout=4)"]
ENTRYPOINT ["passerelle"]
CMD ["serve"]
