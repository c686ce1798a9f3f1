# The server in a container: see "In a container" in docs/operations.md.

FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
WORKDIR /build
COPY requirements/server.txt requirements/
RUN python3 -m venv /opt/conexiones \
    && /opt/conexiones/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/server.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/conexiones/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
    && /opt/conexiones/bin/pip uninstall --yes --quiet pip

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 libpython3.13 libseccomp2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent conexiones \
    && install -d -o conexiones -g conexiones -m 700 /data
COPY --from=build /opt/conexiones /opt/conexiones
ENV PATH=/opt/conexiones/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
ENV CONEXIONES_ADDRESS=0.0.0.0:50051 CONEXIONES_AUTH=required CONEXIONES_DATA_DIR=/data
USER conexiones
VOLUME /data
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["conexiones", "health", "--address", "127.0.0.1:50051", "--timeout", "4"]
ENTRYPOINT ["conexiones"]
CMD ["serve"]
