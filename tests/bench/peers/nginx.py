"""nginx with one worker. Beyond its defaults: kept upstream connections, no buffering, no log, HTTP/1.1 upstream.

It has more places for connections than it may open files: where a sixteenth of the places is left, nginx closes young
connections to make room.
"""

from . import Peer, Site, version_of

CONFIG = """
daemon off;
worker_processes 1;
worker_rlimit_nofile <files>;
pid <folder>/nginx-<port>.pid;
error_log <folder>/nginx-<port>.log;
events { worker_connections <places>; }
http {
    access_log off;
    client_body_temp_path <folder>/client_body;
    proxy_temp_path <folder>/proxy;
    fastcgi_temp_path <folder>/fastcgi;
    uwsgi_temp_path <folder>/uwsgi;
    scgi_temp_path <folder>/scgi;
    keepalive_requests 10000000;
    map $http_upgrade $upstream_connection { default upgrade; "" ""; }
    upstream origin {
        server 127.0.0.1:<origin>;
        keepalive 256;
        keepalive_requests 10000000;
    }
    server {
        listen 127.0.0.1:<port> backlog=4096;
        location / {
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
        }
    }
}
"""


def command(site: Site) -> list[str]:
    """Its words."""
    return ["nginx", "-p", str(site.folder), "-c", str(site.write("nginx.conf", CONFIG))]


def find() -> Peer:
    """The peer. Errors: Missing."""
    version = version_of(["nginx", "-v"], 2).removeprefix("nginx/")
    return Peer("nginx", "nginx", version, command)
