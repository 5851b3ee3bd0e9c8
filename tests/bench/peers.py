"""How the subjects are started: streamsafe as a user would, nginx as a reverse proxy that lets streams stream."""

import shutil
import subprocess
import sys
from pathlib import Path

NGINX_CONNECTIONS = 20_000
# Without a keep-alive pool or with buffering nginx would be slower than it can be; it logs nothing, where we do.
NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 10000000;
    map $http_upgrade $upstream_connection {{ default upgrade; "" ""; }}
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 256;
        keepalive_requests 10000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_buffering off;
            gzip off;
            proxy_read_timeout 600s;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $upstream_connection;
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


def streamsafe(origin: int, port: int) -> list[str]:
    """Our own command, from the environment that runs the bench, with its defaults; its access log goes to a file."""
    script = Path(sys.executable).parent / "streamsafe"
    command = [str(script)] if script.exists() else [sys.executable, "-m", "proxy"]
    return [*command, "serve", f"http://127.0.0.1:{origin}", "--listen", f"127.0.0.1:{port}", "--admin", "off"]


def nginx(origin: int, port: int, folder: Path, files: int) -> list[str]:
    """nginx with one worker. `files` is how many it may open."""
    values = {"origin": origin, "port": port, "folder": folder, "files": files}
    config = folder / f"nginx-{port}.conf"
    config.write_text(NGINX.format(connections=min(files, NGINX_CONNECTIONS), **values))
    return ["nginx", "-p", str(folder), "-c", str(config)]


def nginx_version() -> str | None:
    """`nginx/1.22.1`, or None where it is not installed."""
    if not shutil.which("nginx"):
        return None
    told = subprocess.run(["nginx", "-v"], capture_output=True, text=True, timeout=10).stderr
    return told.strip().removeprefix("nginx version: ")
