# streamsafe, small and without privileges: needs neither a shell nor a writable file system at run time.
#
#   docker build -t streamsafe .
#   docker run --rm --read-only --cap-drop ALL -v ./proxy.yaml:/etc/streamsafe/proxy.yaml:ro streamsafe
#
# docs/operations.md says how to reach it and how to pass secrets.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proxy ./proxy
RUN ["python", "-m", "venv", "/opt/streamsafe"]
RUN ["/opt/streamsafe/bin/python", "-m", "pip", "install", "--no-cache-dir", "--no-compile", "."]
RUN ["/opt/streamsafe/bin/python", "-m", "pip", "uninstall", "--yes", "pip"]
# Nothing can be compiled later. By hash: what makes a layer may round the times of files, which bytecode else goes by.
RUN ["/opt/streamsafe/bin/python", "-m", "compileall", "-f", "-q", "--invalidation-mode", "unchecked-hash", "/opt/streamsafe/lib"]

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="streamsafe" \
      org.opencontainers.image.description="A reverse proxy that never spoils a stream" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/streamsafe /opt/streamsafe
ENV PATH=/opt/streamsafe/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8787 8788
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["/opt/streamsafe/bin/streamsafe", "check", "--health", "-c", "/etc/streamsafe/proxy.yaml"]
ENTRYPOINT ["/opt/streamsafe/bin/streamsafe"]
CMD ["serve", "-c", "/etc/streamsafe/proxy.yaml"]
