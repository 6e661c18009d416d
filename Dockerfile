# One machine with everything: CPU, or NVIDIA GPUs with --gpus all. For a cluster see cluster/Dockerfile.
#   docker build -t nas .
#   docker run --rm -it --shm-size 4g --gpus all -v "$PWD:/data" --user "$(id -u):$(id -g)" nas fit photos
FROM python:3.12-slim
COPY . /tmp/nas
RUN pip install --no-cache-dir '/tmp/nas[onnx,postgres,heic]' && rm -r /tmp/nas
# What is kept between runs (studies, decoded images, downloaded data) lies in the folder that is mounted.
ENV HOME=/data/.home NAS_CACHE=/data/.nas-cache
WORKDIR /data
ENTRYPOINT ["nas"]
