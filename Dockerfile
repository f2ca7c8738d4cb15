# Two stages: the first builds a virtual environment from the locks, the second holds that and nothing else.
#   docker build --tag sms-bridge .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --publish 127.0.0.1:9877:9877 \
#     --volume sms-bridge:/data --volume ./config.yaml:/etc/sms-bridge/config.yaml:ro \
#     --volume ./secrets:/run/secrets:ro sms-bridge
# In the config: server.listen 0.0.0.0:9877 with server.allow_plain, and storage.url sqlite:/data/bridge.db.
# tests/test_packaging.py runs the RUN steps below in a clean folder, so they need no engine to be proven.

FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM python:3.13-slim AS builder
COPY --from=uv /uv /usr/local/bin/uv
# Compiled here, because the file system is read-only where it runs.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY requirements-run.lock ./
RUN uv venv --quiet --python python3 /opt/sms-bridge \
    && uv pip sync --quiet --python /opt/sms-bridge --require-hashes requirements-run.lock
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY bot bot
COPY bridge bridge
COPY storage storage
RUN uv build --quiet --wheel --require-hashes --build-constraints requirements.lock --out-dir dist \
    && uv pip install --quiet --python /opt/sms-bridge --no-deps dist/*.whl \
    && mkdir /data

FROM python:3.13-slim
LABEL org.opencontainers.image.title="sms-bridge" \
      org.opencontainers.image.description="The pager for teams who live in Telegram and pay for SMS through Mobizon" \
      org.opencontainers.image.licenses="MIT"
COPY --from=builder /opt/sms-bridge /opt/sms-bridge
COPY --from=builder --chown=10001:10001 /data /data
ENV PATH=/opt/sms-bridge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 9877
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9877/-/healthy', timeout=4)"]
ENTRYPOINT ["sms-bridge"]
CMD ["run", "--config", "/etc/sms-bridge/config.yaml"]
