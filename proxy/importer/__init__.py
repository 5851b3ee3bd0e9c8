"""Reads the proxy part of another tool's configuration and writes ours.

    draft        a route in the making, with notes of what broke streams and what could not be carried over
    node         runs Node on a JavaScript or TypeScript file; evaluate.cjs, entries.cjs, functions.cjs are its side
    javascript   what Node told of webpack, vue-cli, vite, umi and http-proxy-middleware -> drafts
    contexts     which requests an entry takes; options: its other keys, one by one
    hooks        what the functions of an entry did when they were run -> header rules
    nginx        what crossplane read of nginx -> drafts; nginx_target and nginx_directives are parts of it
    rewriting    how a path is changed, checked on sample paths
    fields       header rules, secrets taken out
    write        drafts -> YAML that loads

What cannot be carried over exactly is said in a comment and not guessed.
"""
