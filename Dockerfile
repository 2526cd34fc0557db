# A rerank server. On a CPU:
#
#   docker build -t rag-rerankers .
#
# On an NVIDIA GPU, with the CUDA build of torch (its wheels bring CUDA's libraries; the base brings
# what the driver is found by):
#
#   docker build -t rag-rerankers:cuda \
#     --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 \
#     --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
#
# Both are run alike (docs/serving.md):
#
#   docker run -p 8080:8080 -v models:/models -v ./api-keys:/run/secrets/api-keys:ro rag-rerankers \
#     --model bge-reranker-v2-m3 --api-key-file /run/secrets/api-keys
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN command -v python3 >/dev/null && python3 -c 'import ensurepip' \
    || { apt-get update && apt-get install -y --no-install-recommends python3 python3-venv; }
RUN python3 -m venv /opt/rag-rerankers
ENV PATH=/opt/rag-rerankers/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# torch first, in a layer of its own: it is most of the image and changes least.
COPY constraints.txt ./
RUN pip install --index-url ${TORCH_INDEX} --extra-index-url https://pypi.org/simple \
    --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --constraint constraints.txt '.[cpu,server,embedded,remote]'

FROM ${BASE}
RUN command -v python3 >/dev/null \
    || { apt-get update && apt-get install -y --no-install-recommends python3 \
         && rm -rf /var/lib/apt/lists/*; }
RUN useradd --system --uid 10001 --home-dir /models --create-home reranker
COPY --from=build /opt/rag-rerankers /opt/rag-rerankers
ENV PATH=/opt/rag-rerankers/bin:$PATH \
    HF_HOME=/models \
    PYTHONUNBUFFERED=1
# Models that are fetched from the hub stay here: mount a volume, or a folder with models in it.
VOLUME /models
WORKDIR /models
USER reranker
EXPOSE 8080
# Ready, not only alive: loading a large model takes its time.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/health/ready', timeout=4)"]
# Beyond this machine a key is needed; without one the server says so and ends.
ENTRYPOINT ["rag-rerankers", "serve", "--host", "0.0.0.0", "--port", "8080"]
CMD ["--model", "minilm-maxsim", "--api-key-file", "/run/secrets/api-keys"]
