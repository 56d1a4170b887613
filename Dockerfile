# Build: docker build -t healer .          What it does is its command: docker run healer exporter --listen :9877
FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY requirements.runtime.lock ./
RUN python -m venv --without-pip /opt/healer \
    && python -m pip --python /opt/healer install --require-hashes --only-binary :all: -r requirements.runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN python -m pip --python /opt/healer install --no-deps .

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="healer" org.opencontainers.image.licenses="Apache-2.0"
# Volumes take over who owns the folder that they are mounted on.
RUN install -d -o 10001 -g 10001 /etc/healer /var/lib/healer
COPY --from=build /opt/healer /opt/healer
ENV PATH=/opt/healer/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 STATE_DIRECTORY=/var/lib/healer
USER 10001:10001
WORKDIR /var/lib/healer
ENTRYPOINT ["healer"]
CMD ["--help"]
