"""nginx: location blocks as guides for streams publish them, and as they come."""

from pathlib import Path

import pytest

from .carried import Carried, carried


def nginx(tmp_path: Path, *locations: str, http: str = "", server: str = "") -> Carried:
    text = "events {}\nhttp {\n%s\nserver {\n  listen 80;\n%s\n%s\n}\n}\n"
    return carried(tmp_path, "nginx.conf", text % (http, server, "\n".join(locations)))


@pytest.mark.parametrize(
    ("location", "passed", "asked", "given"),
    [
        ("/api/", "http://127.0.0.1:3000", "/api/x?q", "/api/x?q"),
        ("/api/", "http://127.0.0.1:3000/", "/api/x", "/x"),
        ("/api/", "http://127.0.0.1:3000/v2/", "/api/x", "/v2/x"),
        ("/api", "http://127.0.0.1:3000/v2", "/api/x", "/v2/x"),
        ("/api/", "http://127.0.0.1:3000/v2", "/api/x", "/v2x"),
        ("/", "http://127.0.0.1:3000", "/any", "/any"),
        ("/", "http://127.0.0.1:3000/base/", "/any", "/base/any"),
        ("= /chat", "http://127.0.0.1:3000", "/chat", "/chat"),
        ("~ ^/v[0-9]+/chat", "http://127.0.0.1:3000", "/v1/chat", "/v1/chat"),
        ("~* \\.(stream|sse)$", "http://127.0.0.1:3000", "/a.SSE", "/a.SSE"),
        ("~ ^/user/(.+)$", "http://127.0.0.1:3000/u/$1$is_args$args", "/user/7?x=1", "/u/7?x=1"),
        ("^~ /api/", "http://127.0.0.1:3000$request_uri", "/api/x", "/api/x"),
    ],
)
def test_where_a_location_sends_a_request(tmp_path: Path, location: str, passed: str, asked: str, given: str) -> None:
    made = nginx(tmp_path, f"location {location} {{ proxy_pass {passed}; }}")
    assert made.goes_to(asked) == f"http://127.0.0.1:3000{given}"


def test_a_location_of_one_path_takes_no_other(tmp_path: Path) -> None:
    made = nginx(tmp_path, "location = /chat { proxy_pass http://127.0.0.1:1; }")
    assert made.goes_to("/chat/x") == made.goes_to("/chatx") == "NoRoute"


def test_as_it_comes_everything_that_breaks_streams_is_told(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        "location /api/ { proxy_pass http://127.0.0.1:9000; proxy_cache one; }",
        http="gzip on;\ngzip_types text/plain text/event-stream;",
    )
    assert made.says("broke streams:", "proxy_buffering is on by default")
    assert made.says("broke streams (line 4)", "gzip")
    assert made.says("broke streams", "HTTP/1.0")
    assert made.says("broke streams", "60s by default")
    assert made.says("broke streams", "proxy_cache")


def test_the_mends_for_streams_are_known_and_not_needed(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """location /events {
    proxy_pass http://127.0.0.1:9000;
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header Upgrade $http_upgrade;
    proxy_buffering off;
    proxy_cache off;
    chunked_transfer_encoding on;
    proxy_read_timeout 24h;
    add_header X-Accel-Buffering no;
  }""",
    )
    assert not made.says("broke streams")
    assert not made.says("not carried over")
    assert made.says("look (line 15)", "proxy_buffering off")
    assert "Host: localhost:5173" in made.sends("/events")
    assert made.config.routes[0].timeouts.idle == 86400


def test_fields_limits_and_redirects(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """location /api/ {
    proxy_pass https://back.example/;
    proxy_set_header X-Team red;
    proxy_set_header Cookie "";
    proxy_set_header X-Odd $request_id;
    add_header Access-Control-Allow-Origin https://app.example always;
    add_header X-Served-By nginx;
    proxy_hide_header X-Powered-By;
    proxy_redirect off;
    proxy_connect_timeout 5s;
    client_max_body_size 20m;
    proxy_ssl_name other.example;
    proxy_cookie_path /back /;
    auth_basic "closed";
  }""",
    )
    sent = made.sends("/api/x", b"Cookie: a=b")
    assert "X-Team: red" in sent
    assert not [line for line in sent if line.startswith("Cookie")]
    (route,) = made.config.routes
    assert dict(route.headers.response.add) == {"X-Served-By": ("nginx",)}
    assert route.headers.response.remove == ("X-Powered-By",)
    assert route.cors is not None
    assert route.cors.origins == ("https://app.example",)
    assert (route.redirects, route.timeouts.connect, route.limits.request_body) == ("pass", 5, 20 * 2**20)
    assert route.tls.server_name == "other.example"
    assert dict(route.cookies.path) == {"/back": "/"}
    assert made.says("not carried over (line 20)", "auth_basic", "whoever reaches the listener")
    assert made.says("not carried over (line 11)", "$request_id")
    assert made.says("look", "certificate")


UPSTREAM = """upstream back {
  least_conn;
  server 127.0.0.1:9001 weight=3;
  server 127.0.0.1:9002;
  server 127.0.0.1:9003 backup;
}"""


def test_an_upstream_block_gives_its_servers_as_far_as_they_may_be_written(tmp_path: Path) -> None:
    made = nginx(tmp_path, "location / { proxy_pass http://back; }", http=UPSTREAM)
    assert made.goes_to("/x") == "http://127.0.0.1:9001/x"
    assert made.says("not carried over", "127.0.0.1:9003 backup")
    (route,) = made.config.routes
    assert route.balance == "least_streams"
    assert [(str(one.url), one.weight) for one in route.upstream] == [
        ("http://127.0.0.1:9001", 3),
        ("http://127.0.0.1:9002", 1),
    ]


@pytest.mark.parametrize(
    ("rule", "asked", "given"),
    [
        ("rewrite ^/api/(.*)$ /$1 break;", "/api/a/b", "/a/b"),
        ("rewrite ^/api/v1/(.*) /legacy/$1 break;", "/api/v1/x", "/legacy/x"),
        ("rewrite /old/ /new break;", "/api/old/x", "/new"),
    ],
)
def test_a_rewrite_in_front_of_the_upstream(tmp_path: Path, rule: str, asked: str, given: str) -> None:
    made = nginx(tmp_path, f"location /api/ {{ {rule} proxy_pass http://127.0.0.1:9000; }}")
    assert made.goes_to(asked) == f"http://127.0.0.1:9000{given}"


def test_variables_are_followed_as_far_as_they_are_set_in_the_file(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        "location /a { set $up http://127.0.0.1:1; proxy_pass $up; }",
        "location /b { proxy_pass http://$arg_host; }",
        "location /c { return 204; }",
        "location /d { root /srv; location /d/e { proxy_pass http://127.0.0.1:2; } }",
    )
    assert made.goes_to("/a/x") == "http://127.0.0.1:1/a/x"
    assert made.goes_to("/b") == "NoRoute"
    assert made.goes_to("/d/e/f") == "http://127.0.0.1:2/d/e/f"
    assert made.says("not carried over", "proxy_pass http://$arg_host")
    assert made.says("not carried over (line 9)", "location /c has no proxy_pass")


def test_several_servers_become_routes_by_host(tmp_path: Path) -> None:
    text = (
        "server { server_name a.example; location / { proxy_pass http://127.0.0.1:1; } }\n"
        "server { server_name b.example *.c.example; location / { proxy_pass http://127.0.0.1:2; } }\n"
        "server { server_name _; location / { proxy_pass http://127.0.0.1:3; } }\n"
    )
    made = carried(tmp_path, "site.conf", text)
    assert made.goes_to("/x", host=b"a.example") == "http://127.0.0.1:1/x"
    assert made.goes_to("/x", host=b"b.example") == "http://127.0.0.1:2/x"
    assert made.goes_to("/x") == "http://127.0.0.1:3/x"
    assert made.says("not carried over (line 2)", "*.c.example")


def test_the_names_of_a_lone_server_are_served_too(tmp_path: Path) -> None:
    """Beside those of this machine, and without a route for each."""
    made = carried(
        tmp_path,
        "site.conf",
        "server { server_name a.example www.a.example; location / { proxy_pass http://127.0.0.1:1; } }\n",
    )
    for host in (b"a.example", b"www.a.example", b"localhost"):
        assert made.goes_to("/x", host=host) == "http://127.0.0.1:1/x"
    assert 'allowed_hosts: ["a.example", "www.a.example"]' in made.text
    assert "host: " not in made.text


def test_a_location_alone_is_enough(tmp_path: Path) -> None:
    made = carried(
        tmp_path, "snippet.conf", "location /v1/ { proxy_pass https://api.openai.com; proxy_ssl_server_name on; }"
    )
    assert made.goes_to("/v1/models") == "https://api.openai.com:443/v1/models"


def test_secrets_of_fields_and_urls_never_reach_the_output(tmp_path: Path) -> None:
    key = "sk-live-0123456789"
    made = carried(
        tmp_path,
        "nginx.conf",
        f"""location /a {{ proxy_pass http://127.0.0.1:1; proxy_set_header X-Api-Key "{key}$arg_x"; }}
location /b {{ proxy_pass http://user:{key}@$host; }}
location /c {{ proxy_pass http://user:{key}@127.0.0.1:3; }}
location /d {{ proxy_pass http://127.0.0.1:4; proxy_set_header X-Api-Key {key}; }}
""",
        load_with={"UPSTREAM_X_API_KEY": "sk-other-0123456789"},
    )
    assert key not in made.text + made.told
    assert "X-Api-Key: sk-other-0123456789" in made.sends("/d")
    assert made.goes_to("/b") == made.goes_to("/c") == "NoRoute"
    assert made.says("not carried over", "user info")
