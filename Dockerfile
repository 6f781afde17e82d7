FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.txt requirements-installer.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements-installer.txt \
    && python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --no-deps --require-hashes \
        --only-binary :all: -r requirements.txt
COPY pyproject.toml LICENSE ./
COPY mdsvc mdsvc
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && pip --python /venv/bin/python install --no-cache-dir --no-index --no-deps /dist/*.whl

FROM python:3.11-slim
RUN useradd --system --no-log-init --create-home --home-dir /var/lib/mdsvc mdsvc
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH MDSVC_STORE=sqlite:////var/lib/mdsvc/mdsvc.db
USER mdsvc
WORKDIR /var/lib/mdsvc
VOLUME /var/lib/mdsvc

# 8775 answers guests. The operator's 8776 stays on the container's own loopback.
EXPOSE 8775
HEALTHCHECK --interval=10s --timeout=3s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8776/healthz')"]
ENTRYPOINT ["mdsvc"]
CMD ["serve", "--guest", "0.0.0.0:8775"]
