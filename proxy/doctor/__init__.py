"""Finds out why a stream does not stream: asks once, watches the bytes and the clock, and says what it saw.

    observation   what was seen: moments, fields, bytes; data and nothing else
    probe  wire   make one: dial, send, read. The only modules here with sockets and a clock
    reading       what the bytes mean: decoded pieces, frames and events with their moments
    grammar       what is wrong with an event stream's text
    endings       which provider's format it is, and whether it ended as that format ends
    suspects      which products a head gives away, and how each is told to let streams pass
    rules         observations -> findings; one table, each rule pure
    report        a verdict and findings, for people and for machines
    live          what stands on the screen meanwhile

Nothing is accused on a hunch: where the evidence does not suffice there is no finding, and the verdict says so.
"""
