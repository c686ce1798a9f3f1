"""The wire made visible: what the bytes of gRPC, gRPC-Web and Connect say, from frames of HTTP/2 to the
fields of messages. It knows nothing of the server.

    proxy      stands between a client and a server, and copies what both send
    recorder   decodes what was copied: http2, http1 → bodies → envelopes → protobuf
    decode     decodes bytes that somebody has, of any of these layers
    text       the events for people, json_lines for programs

All of it takes bytes from strangers: what cannot be decoded is said in an event's `problem`, and the limits
in events.py bound what one message can make it show.
"""
