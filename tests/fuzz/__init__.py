"""Random conversations with a running proxy, judged by what RFC 9112 says they are.

reading     where messages end, out of bytes: the ground truth, written without a look at the proxy
world       one event loop with an origin and a proxy on it, and what has to hold when an example is over
mutations   bytes changed, and bytes sent in pieces
requests    what clients send: conversations to start from          test_requests   changed, sent, judged
responses   what upstreams send: answers to start from              test_responses  changed, sent, judged
plans       answers of known shape and what has to come of them     test_machine    many clients, any order
profile     how long: a fixed short run in `make test`, a random one in `make fuzz`
"""
