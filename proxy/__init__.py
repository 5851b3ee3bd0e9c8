"""streamsafe: a reverse proxy that never spoils a stream.

Words used throughout: a *client* calls us, an *upstream* is called by us; an *exchange* is one request and its answer;
a *head* is a start line with its fields; a *stream* is a response that arrives while it is being made.

Layers, each of which imports only those below it:

    cli                 commands: arguments, exit codes, printing
    app                 settings into a proxy that listens and can be changed while it does, in one process or several
    config  net  edge   what may be written │ sockets │ observers: logs, metrics, the inspector
    core                pure decisions, no sockets, no clock
    threads             what would hold up the loop, for net, edge and app

    demo                a fake LLM with a page; stands alone
    doctor              tells why an answer does not stream; needs core alone
    importer            another tool's configuration into ours; needs config alone

The life of a request (`net.handler` tells it in code):

     1  net.server      aiohttp parses the head and calls the handler in a task of its own
     2  net.planner     the head becomes a core.message.RequestHead; what was decided for the same head is known
     3  core.plan       else decides: a Reply of ours, a Refusal, or a Forward with the head that goes upstream
     4  net.upstream    `call`: a kept or new connection to the route's origin; of several upstreams `attempts` makes
                        calls to one after the other, as core.group and core.retry say
     5  net.upload      sends the head, and the request body while it arrives
     6  core.answer     the response head comes: decides fields, framing, hints, stages (`core.stages`), and what reads
                        the stream by its dialect (`core.watch`, `core.dialects`)
     7  net.downstream  the head leaves for the client, before any byte of the body
     8  net.relay       the parser's callback writes each piece to the client's connection, in the same turn of the
                        loop; a full client pauses the upstream. Events like those before them take a `lane` past the
                        parser; `heartbeat` fills silences; a 101 leads to `tunnel`
     9  net.life        gives back what the exchange held: `call` its connection to the pool. An upstream that is read
                        on for its usage goes on from there
    10  net.tap         observers are told how it ended; who wants copies gets them all along, after each write

Until 7 an error becomes an answer; from then on it can only become an abort, which every client can tell from an end.
"""

__version__ = "0.1.0"
