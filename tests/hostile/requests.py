"""What hostile guests send: what is held, what is broken, and paths that are spelled oddly."""

from __future__ import annotations

MARK = b"reflected-3e1f"

GET = b"GET /openstack HTTP/1.1\r\nHost: m\r\n"
POST = b"POST /openstack/latest/password HTTP/1.1\r\nHost: m\r\n"

WAIT = "/mdsvc/v1/layout?wait_for_change=true"

HELD = {
    "silent": b"",
    "half a request line": b"GET /openst",
    "half a header": GET + b"X: " + b"x" * 1000,
    "half a body": POST + b"Content-Length: 100\r\n\r\nab",
    "a chunk that does not come": POST + b"Transfer-Encoding: chunked\r\n\r\n40\r\nab",
    "a report that does not come": (
        b"POST /mdsvc/v1/status HTTP/1.1\r\nHost: m\r\nContent-Length: 2000\r\n\r\n{"
    ),
    "answers that are not read": (GET + b"\r\n") * 200,
    "a chunk a time, without end": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"1\r\na\r\n" * 50,
    "an expectation without a body": POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "an upgrade that says nothing": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "requests without end": (GET + b"\r\n") * 2000,
    "waits": (b"GET /mdsvc/v1/layout?wait_for_change=true HTTP/1.1\r\nHost: m\r\n\r\n"),
}

BROKEN: dict[str, bytes] = {
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    "a chunked that is none": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two transfer encodings": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 2\r\n\r\nab",
    "a folded header": GET + b"X: a\r\n " + MARK + b"\r\n\r\n",
    "bare line feeds": b"GET /openstack HTTP/1.1\nHost: m\nX: a\n\n",
    "a bare carriage return": GET + b"X: a\rb: c\r\n\r\n",
    "a null byte": GET + b"X: \0\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\nab",
    "a negative length": POST + b"Content-Length: -2\r\n\r\nab",
    "a length without end": POST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\nab",
    "a chunk's length without end": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 40
    + b"\r\nab",
    "many headers": GET + b"".join(b"X%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    "a long header": GET + b"X: " + b"x" * 10**6 + b"\r\n\r\n",
    "a long path": b"GET /" + b"x" * 10**6 + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "another's URL": b"GET http://" + MARK + b".example/ HTTP/1.1\r\nHost: m\r\n\r\n",
    "another's name": b"GET / HTTP/1.1\r\nHost: " + MARK + b".example\r\n\r\n",
    "a path that is not there": b"GET /" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a proxy's method": b"CONNECT " + MARK + b":80 HTTP/1.1\r\nHost: m\r\n\r\n",
    "a method that is none": MARK + b" / HTTP/1.1\r\nHost: m\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: m\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "an upgrade": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + MARK,
    "an upgrade to HTTP/2": GET
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
    "an upgrade with a body": POST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nab"
    + MARK,
    "an authority": b"GET " + MARK + b".example:80 HTTP/1.1\r\nHost: m\r\n\r\n",
    "an authority of CONNECT, and more": b"CONNECT m:80 HTTP/1.1\r\nHost: m\r\n\r\nGET /x\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: m\r\n\r\n",
    "an asterisk that is asked for": b"GET * HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL with a user": b"GET http://u:" + MARK + b"@m/ HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL of another scheme": b"GET file:///etc/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL that is none": b"GET http://[::1/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL whose port is none": b"GET http://m:99999999/ HTTP/1.1\r\nHost: m\r\n\r\n",
    "a URL with another's zone": b"GET http://[fe80::1%25"
    + MARK
    + b"]/ HTTP/1.1\r\nHost: m\r\n\r\n",
    "a zone in the name": b"GET / HTTP/1.1\r\nHost: [fe80::a9fe:a9fe%25" + MARK + b"]\r\n\r\n",
    "a zone that is none": b"GET / HTTP/1.1\r\nHost: [fe80::1%]]" + MARK + b"\r\n\r\n",
    "a name without end": b"GET / HTTP/1.1\r\nHost: " + b"a." * 3000 + MARK + b"\r\n\r\n",
    "a name that is none": b"GET / HTTP/1.1\r\nHost: \xff\x00@" + MARK + b"\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n\r\n",
    "an empty name": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "two names": b"GET / HTTP/1.1\r\nHost: m\r\nHost: " + MARK + b"\r\n\r\n",
    "a null in the path": b"GET /openstack\0" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a null that is escaped": b"GET /openstack/%00" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "no ASCII in the path": b"GET /\xff\xfe\xc3\xa9/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "no UTF-8 that is escaped": b"GET /%ff%fe/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "half an escape": b"GET /%" + MARK + b"%2 HTTP/1.1\r\nHost: m\r\n\r\n",
    "an escape twice": b"GET /%252e%252e/%255c" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a surrogate that is escaped": b"GET /%ed%a0%80/" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "line ends that are escaped": b"GET /%0d%0aX:%20" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a way up": b"GET /openstack/../../" + MARK + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a query without end": b"GET /openstack?" + b"a=b&" * 10**5 + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a query of many": b"GET /mdsvc/v1/layout?" + b"&" * 7000 + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "a wait that is none": b"GET /mdsvc/v1/layout?wait_for_change=true&timeout_sec="
    + MARK
    + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "an etag that is none": b"GET /mdsvc/v1/layout?wait_for_change=true&last_etag=%00"
    + MARK
    + b" HTTP/1.1\r\nHost: m\r\n\r\n",
    "another expectation": POST + b"Expect: " + MARK + b"\r\nContent-Length: 2\r\n\r\nab",
    "an expectation of what is not read": GET + b"Expect: 100-continue\r\n\r\n",
    "a chunk's extension": POST
    + b"Transfer-Encoding: chunked\r\n\r\n2;"
    + b"x" * 10**5
    + b"\r\nab\r\n0\r\n\r\n",
    "a trailer": POST
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\nX: "
    + MARK
    + b"\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /openstack/latest/password HTTP/1.0\r\n"
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a body that is packed": POST
    + b"Content-Encoding: gzip\r\nContent-Length: 2000\r\n\r\n"
    + bytes(2000),
    "a length in GET": GET + b"Content-Length: 5\r\n\r\nGET /" + MARK,
}

SPELLED = (
    "/openstack/latest/meta_data.json",
    "//openstack//latest///meta_data.json/",
    "/openstack/latest/meta%5fdata.json",
    "/%6fpenstack/latest/meta_data.json",
    "http://m/openstack/latest/meta_data.json",
)
ODD = (
    "/openstack%2flatest%2fmeta_data.json",
    "/openstack/latest/../latest/meta_data.json",
    "/openstack/latest/%2e%2e/latest/meta_data.json",
    "/openstack/latest/meta_data.json%00",
    "/openstack/latest/meta_data.json%0a",
    "/openstack/latest/meta_data.json;x",
    "/openstack/latest\\meta_data.json",
    "/openstack/latest/META_DATA.JSON",
    "/openstack/%256catest/meta_data.json",
)
