"""The image, built from the Dockerfile and run as it will be, where there is no Docker engine: `make image-test`."""
